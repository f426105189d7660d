"""Networks of several trials trained at once in this process, where measuring shows that it pays."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import OutOfMemoryError
from localmin.sampling.trial import FoldOutcome, HitWatcher, TrialPlan, outside
from localmin.sampling.weighted_draw import epoch_draw
from localmin.tasks.joint_training import JointTraining, why_not_together
from localmin.tasks.memory import is_shortage
from localmin.tasks.task import Task
from localmin.tasks.training import EpochDraw, mix_seed, train_model

__all__ = ["JointProbe", "probe", "run_folds_together"]

# Together must save this much of a step, or the probe's own noise would decide.
_WORTH_IT = 0.9
_STEPS, _EPOCHS, _REPEATS = 12, 4, 3


@dataclass(frozen=True)
class JointProbe:
    """What measuring showed.

    Args:
        together: Whether networks are trained at once from now on.
        count: How many.
        seconds_alone: Of a step of one network by itself; None if nothing was measured.
        seconds_together: Of a step of all, divided by their number.
        reason: In words.
    """

    together: bool
    count: int
    seconds_alone: float | None
    seconds_together: float | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """List the values, for JSON."""
        return asdict(self)


def probe(task: Task, count: int, *, device: torch.device) -> JointProbe:
    """Measure whether steps of several networks at once are faster than one after another.

    Args:
        task: Gives network, data and recipe.
        count: Networks to be trained at once.
        device: Where to train.

    Returns:
        The verdict.

    Cost:
        Some dozens of optimiser steps.
    """
    reason = why_not_together(task, task.recipe)
    if reason is not None:
        return JointProbe(False, 1, None, None, reason)
    try:
        alone = _seconds_alone(task, device)
    except OutOfMemoryError:
        # Not even one network fits, and the trials will say so.
        return JointProbe(False, 1, None, None, "memory ran out with one network")
    try:
        joint = _seconds_together(task, count, device) / count
    except Exception as error:
        if is_shortage(error):
            return JointProbe(False, 1, None, None, f"memory ran out with {count} networks at once")
        # A network may do what torch.func cannot batch; then its trials run one by one.
        line = (str(error).strip().splitlines() or [""])[0]
        return JointProbe(False, 1, None, None, f"torch.func cannot batch the network ({line})")
    ratio = joint / alone
    together = ratio < _WORTH_IT
    reason = f"a step of one of {count} networks takes {ratio:.2f} of the time it takes alone"
    return JointProbe(together, count if together else 1, alone, joint, reason)


def run_folds_together(
    task: Task,
    weights: Sequence[Float[Tensor, " n"]],
    plan: TrialPlan,
    number: int,
    *,
    device: torch.device | str = "cpu",
    on_draws: Callable[[int], None] | None = None,
) -> list[FoldOutcome]:
    """Train one network of each of several trials, all at once; see `trial.run_fold`.

    Args:
        task: Of the trials.
        weights: Of each trial, shape ``(n,)``.
        plan: Of all of them.
        number: Of the fold, from 0.
        device: Where to train.
        on_draws: Called with the number of examples drawn since the last call.

    Returns:
        What `trial.run_fold` gives for each, up to rounding.
    """
    fold = plan.folds[number]
    training = JointTraining(
        task,
        task.train,
        [epoch_draw(weight, len(fold), members=fold) for weight in weights],
        seed=mix_seed(plan.seed, number),
        model_seed=mix_seed(plan.seed, number, 1),
        epochs=plan.epochs,
        lr_scale=plan.lr_scale,
        start=plan.start,
        device=device,
    )
    watchers = [HitWatcher(task, outside(task, fold), plan.epochs) for _ in weights]
    tell = None if on_draws is None else (lambda epoch, epochs: on_draws(len(fold)))
    training.run(watchers, on_epoch=tell)
    return [
        FoldOutcome(watcher.hits / max(1, watcher.num_looks), watcher.last, draws, diverged)
        for watcher, draws, diverged in zip(watchers, training.num_draws, training.diverged, strict=True)
    ]


def _step_seconds(train: Callable[[int], None], device: torch.device, steps: int) -> float:
    """Time a step by what more epochs cost, without what every training costs."""
    train(1)
    shortest = {1: float("inf"), _EPOCHS: float("inf")}
    for _ in range(_REPEATS):
        for epochs in shortest:
            began = time.perf_counter()
            train(epochs)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            shortest[epochs] = min(shortest[epochs], time.perf_counter() - began)
    return max(shortest[_EPOCHS] - shortest[1], 1e-9) / ((_EPOCHS - 1) * steps)


def _probed_steps(task: Task) -> tuple[EpochDraw, int]:
    size = task.recipe.batch_size
    steps = max(1, min(_STEPS, len(task.train) // (2 * size)))
    return epoch_draw(torch.ones(len(task.train), dtype=torch.float64), steps * size), steps


def _seconds_alone(task: Task, device: torch.device) -> float:
    draw, steps = _probed_steps(task)

    def train(epochs: int) -> None:
        # The learning rate is nought: nothing can diverge.
        train_model(task, task.train, draw, seed=0, epochs=epochs, lr_scale=0.0, device=device)

    return _step_seconds(train, device, steps)


def _seconds_together(task: Task, count: int, device: torch.device) -> float:
    draw, steps = _probed_steps(task)

    def train(epochs: int) -> None:
        training = JointTraining(
            task, task.train, [draw] * count, seed=0, model_seed=0, epochs=epochs, lr_scale=0.0, device=device
        )
        for epoch in range(1, epochs + 1):
            training.epoch(epoch)

    return _step_seconds(train, device, steps)
