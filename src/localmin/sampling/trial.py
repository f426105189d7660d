"""A trial: train under a candidate sampler, score it on examples it has not seen.

One function serves every proxy and the guard; a `TrialPlan` says on what the network is trained, for how
long, and from where:

* cross-fit: one network on each of two random halves, from scratch; each is scored on the other half's
  (noisy) labels and on the validation examples;
* quick: one network on a quarter or a half, scored on the rest;
* guard: as cross-fit, at full length, or on four fifths;
* warm-start: one network on everything, from a shared checkpoint, scored on the validation examples.

All trials of a plan share initial weights and random numbers, so their scores are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from localmin.errors import DataError
from localmin.sampling.weight_table import effective_sample_size
from localmin.sampling.weighted_draw import epoch_draw
from localmin.tasks.prediction import credits
from localmin.tasks.run_folder import Stage
from localmin.tasks.splits import stratified_split
from localmin.tasks.task import Task
from localmin.tasks.training import Start, mix_seed, train_model

__all__ = [
    "FoldOutcome",
    "HitWatcher",
    "ScoreWeights",
    "TrialOutcome",
    "TrialPlan",
    "cross_fit_folds",
    "is_supported",
    "join_folds",
    "outside",
    "run_fold",
    "run_trial",
    "untried",
]

_SHARE_SCORED = 4  # the last quarter of the epochs is averaged


@dataclass(frozen=True, eq=False)
class TrialPlan:
    """Say how candidates are tried; equal for all trials of a round.

    Args:
        folds: For each network the indices it is trained on; it is scored on all others.
        epochs: Passes over a fold.
        seed: Of weights and random numbers, shared by all trials.
        start: Shared weights to fine-tune from, or None for fresh ones.
        lr_scale: Multiplies the learning rate.
        min_effective: Candidates with fewer effective examples in a fold are rejected untried.
    """

    folds: tuple[Int64[Tensor, " m"], ...]
    epochs: int
    seed: int
    start: Start | None = None
    lr_scale: float = 1.0
    min_effective: float = 1.0

    @property
    def num_draws(self) -> int:
        """Examples drawn by one trial."""
        return self.epochs * sum(len(fold) for fold in self.folds)


@dataclass(frozen=True, eq=False)
class TrialOutcome:
    """What a trial shows.

    Args:
        hits: Share of looks at which an item was classified as its label says (the mean credit of other
            kinds of task), shape ``(n + v,)``: training examples first, then validation examples; 0 where an
            item was not looked at.
        last_hits: The same for the last pass alone.
        looks: Networks that looked at the item, shape ``(n + v,)``.
        num_draws: Examples drawn.
        status: ``"done"``, ``"diverged"`` or ``"rejected"`` (too few effective examples).
    """

    hits: Float[Tensor, " m"]
    last_hits: Float[Tensor, " m"]
    looks: Float[Tensor, " m"]
    num_draws: int
    status: Literal["done", "diverged", "rejected"] = "done"

    def to_stage(self) -> Stage:
        """Split into what JSON holds and arrays, for a run folder."""
        arrays = {"hits": self.hits, "last_hits": self.last_hits, "looks": self.looks}
        return {"num_draws": self.num_draws, "status": self.status}, arrays

    @classmethod
    def from_stage(cls, content: dict[str, Any], arrays: dict[str, Tensor]) -> TrialOutcome:
        """Rebuild from `to_stage`."""
        return cls(
            arrays["hits"], arrays["last_hits"], arrays["looks"], content["num_draws"], content["status"]
        )


@dataclass(frozen=True, eq=False)
class ScoreWeights:
    """Weigh items so that a mean over them estimates the metric that is wanted.

    Args:
        labels: Classes of the training examples, then of the validation examples, shape ``(n + v,)``; all 0
            where a task has none.
        class_mix: What each class counts, shape ``(C,)``, sum 1; None weighs all looks equally.
    """

    labels: Int64[Tensor, " m"]
    class_mix: Float[Tensor, " c"] | None = None

    @classmethod
    def for_task(cls, task: Task, class_mix: Float[Tensor, " c"] | None) -> ScoreWeights:
        """Weigh the items of a task, all equally or so that classes count as in ``class_mix``."""
        mix = None if class_mix is None else class_mix.double().cpu()
        groups = task.kind.groups(task.validation.labels.cpu())
        return cls(torch.cat([task.train_groups, groups]), mix)

    def mean(self, values: Float[Tensor, " m"], looks: Float[Tensor, " m"]) -> float:
        """Average values over the items that were looked at; NaN if there are none."""
        weight = self._weights(looks)
        return float((weight * values).sum() / weight.sum())

    def standard_error(self, values: Float[Tensor, " m"], looks: Float[Tensor, " m"]) -> float:
        """Estimate the standard error of `mean` over independent items."""
        weight = self._weights(looks)
        spread = weight * (values - self.mean(values, looks))
        return float(spread.square().sum().sqrt() / weight.sum())

    def _weights(self, looks: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
        if self.class_mix is None:
            return looks
        # Divided by the looks a class got, not by its size: folds and validation have mixes of their own.
        looked = self.labels.bincount(weights=looks, minlength=len(self.class_mix))
        share = torch.where(looked > 0, self.class_mix / looked.clamp_min(1e-300), 0.0)
        return share[self.labels] * looks

    def score(self, outcome: TrialOutcome) -> tuple[float, float]:
        """Give the score of a trial and its standard error over items; the worst score if it failed."""
        if outcome.status != "done":
            return 0.0, 0.0
        return self.mean(outcome.hits, outcome.looks), self.standard_error(outcome.hits, outcome.looks)

    def paired_difference(
        self, first: TrialOutcome, second: TrialOutcome, *, last: bool = False
    ) -> tuple[float, float]:
        """Compare two trials item by item.

        Args:
            first: Of the same plan as ``second``.
            second: Subtracted.
            last: Use the last pass alone instead of the mean over the last quarter.

        Returns:
            Mean difference of the hits and its standard error.
        """
        looks = torch.minimum(first.looks, second.looks)
        difference = (first.last_hits - second.last_hits) if last else (first.hits - second.hits)
        return self.mean(difference, looks), self.standard_error(difference, looks)


def cross_fit_folds(
    labels: Int64[Tensor, " n"], *, share: float, num_folds: int, seed: int
) -> tuple[Int64[Tensor, " m"], ...]:
    """Choose the examples that the networks of a trial are trained on.

    Args:
        labels: For stratification, shape ``(n,)``.
        share: Of the examples in a fold: 1/2 gives two disjoint halves; at most 1/2 gives disjoint
            folds, more gives complements of disjoint parts.
        num_folds: Networks of a trial.
        seed: Of the choice.

    Returns:
        Index tensors.

    Raises:
        DataError: If there are too few examples.

    Example:
        >>> folds = cross_fit_folds(torch.zeros(10, dtype=torch.int64), share=0.8, num_folds=2, seed=0)
        >>> [len(fold) for fold in folds]
        [8, 8]
    """
    n = len(labels)
    # Rounded down where rounding up would not leave room for all folds: 7 examples have no two halves of 4.
    size = min(round(n * share), n // num_folds) if share <= 0.5 else round(n * share)
    left_out = min(n - size, n // num_folds)
    if size < 2 or left_out < 1:
        raise DataError(f"{n} training examples are too few to hold a share of {1 - share:.0%} out")
    if share <= 0.5:
        return stratified_split(labels, [size] * num_folds, seed=seed)
    held_out = stratified_split(labels, [left_out] * num_folds, seed=seed)
    everything = torch.ones(n, dtype=torch.bool)
    folds = []
    for part in held_out:
        inside = everything.clone()
        inside[part] = False
        folds.append(torch.nonzero(inside).flatten())
    return tuple(folds)


def run_trial(
    task: Task,
    weights: Float[Tensor, " n"],
    plan: TrialPlan,
    *,
    device: torch.device | str = "cpu",
    on_draws: Callable[[int], None] | None = None,
) -> TrialOutcome:
    """Train under ``weights`` as the plan says and look at the examples left out.

    Args:
        task: Its training part is sampled; its validation part is always looked at.
        weights: Relative drawing weights, shape ``(n,)``.
        plan: Shared by all trials that are to be compared.
        device: Where to train.
        on_draws: Called with the number of examples drawn since the last call.

    Returns:
        Hits per item.

    Cost:
        ``plan.num_draws`` examples trained on, and a forward pass over the items in each of the last
        quarter of the epochs.
    """
    if not is_supported(weights, plan):
        return untried(task)
    folds: list[FoldOutcome] = []
    for number in range(len(plan.folds)):
        folds.append(run_fold(task, weights, plan, number, device=device, on_draws=on_draws))
        if folds[-1].diverged:
            break
    return join_folds(task, plan, folds)


def is_supported(weights: Float[Tensor, " n"], plan: TrialPlan) -> bool:
    """Tell whether enough examples of every fold are drawn for a trial to be worth its cost."""
    return all(_has_effective(weights[fold], plan.min_effective) for fold in plan.folds)


def untried(task: Task) -> TrialOutcome:
    """Give the outcome of a candidate that was rejected without training."""
    nothing = torch.zeros(len(task.train) + len(task.validation), dtype=torch.float64)
    return TrialOutcome(nothing, nothing.clone(), nothing.clone(), 0, "rejected")


@dataclass(frozen=True, eq=False)
class FoldOutcome:
    """What one network of a trial shows on the items it was not trained on.

    Args:
        hits: Share of looks at which an item was right, shape ``(m,)``: held-out training examples, then
            validation examples. Whatever was counted before, if the training diverged.
        last_hits: The same for the last pass alone.
        num_draws: Examples drawn.
        diverged: Whether the loss became NaN or infinite.
    """

    hits: Float[Tensor, " m"]
    last_hits: Float[Tensor, " m"]
    num_draws: int
    diverged: bool


def run_fold(
    task: Task,
    weights: Float[Tensor, " n"],
    plan: TrialPlan,
    number: int,
    *,
    device: torch.device | str = "cpu",
    on_draws: Callable[[int], None] | None = None,
) -> FoldOutcome:
    """Train one network of a trial; networks of a trial are independent of each other.

    Args:
        task: As in `run_trial`.
        weights: Relative drawing weights of all examples, shape ``(n,)``.
        plan: Of the trial.
        number: Of the fold, from 0.
        device: Where to train.
        on_draws: Called with the number of examples drawn since the last call.

    Returns:
        Hits of the items outside the fold.
    """
    fold = plan.folds[number]
    watcher = HitWatcher(task, outside(task, fold), plan.epochs)
    trained = train_model(
        task,
        task.train,
        epoch_draw(weights, len(fold), members=fold),
        seed=mix_seed(plan.seed, number),
        model_seed=mix_seed(plan.seed, number, 1),
        epochs=plan.epochs,
        lr_scale=plan.lr_scale,
        start=plan.start,
        observer=watcher,
        device=device,
        on_epoch=None if on_draws is None else _EpochDraws(on_draws, len(fold)),
    )
    hits = watcher.hits / max(1, watcher.num_looks)
    return FoldOutcome(hits, watcher.last, trained.num_draws, trained.diverged)


def join_folds(task: Task, plan: TrialPlan, folds: Sequence[FoldOutcome]) -> TrialOutcome:
    """Join the networks of a trial.

    The first one that diverged ends the trial: what comes after it is not looked at, so that the result is
    the same whether the networks were trained one after another or at once.

    Args:
        task: As in `run_trial`.
        plan: Of the trial.
        folds: In order; none need follow one that diverged.

    Returns:
        The outcome of the trial.
    """
    n, v = len(task.train), len(task.validation)
    total, last, looks = (torch.zeros(n + v, dtype=torch.float64) for _ in range(3))
    draws = 0
    for fold, found in zip(plan.folds, folds, strict=False):
        draws += found.num_draws
        if found.diverged:
            return TrialOutcome(total, last, looks, draws, "diverged")
        items = torch.cat([outside(task, fold), torch.arange(n, n + v)])
        total[items] += found.hits
        last[items] += found.last_hits
        looks[items] += 1
    return TrialOutcome(total / looks.clamp_min(1), last / looks.clamp_min(1), looks, draws)


def outside(task: Task, fold: Int64[Tensor, " m"]) -> Int64[Tensor, " k"]:
    """List the training examples that are not in a fold."""
    inside = torch.zeros(len(task.train), dtype=torch.bool)
    inside[fold] = True
    return torch.nonzero(~inside).flatten()


def _has_effective(weights: Float[Tensor, " m"], min_effective: float) -> bool:
    total = float(weights.sum())
    return total > 0 and effective_sample_size(weights) >= min_effective


@dataclass(frozen=True)
class _EpochDraws:
    report: Callable[[int], None]
    per_epoch: int

    def __call__(self, epoch: int, epochs: int) -> None:
        del epoch, epochs
        self.report(self.per_epoch)


class HitWatcher:
    """Sum the credits of held-out items over the last quarter: how often each is classified as labelled."""

    watches_steps = False

    def __init__(self, task: Task, outside: Tensor, epochs: int) -> None:
        self.task, self.outside = task, outside
        self.first_epoch = epochs - max(1, epochs // _SHARE_SCORED) + 1
        self.hits = torch.zeros(len(outside) + len(task.validation), dtype=torch.float64)
        self.last = torch.zeros_like(self.hits)
        self.num_looks = 0

    def on_step(self, epoch: int, indices: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Do nothing: looks happen between epochs."""

    def on_epoch(self, epoch: int, model: nn.Module) -> None:
        """Look at the held-out items once."""
        if epoch < self.first_epoch:
            return
        self.last = credits(model, self.task, self.task.validation)
        if len(self.outside):
            held_out = credits(model, self.task, self.task.train, indices=self.outside)
            self.last = torch.cat([held_out, self.last])
        self.hits += self.last
        self.num_looks += 1

    def state(self) -> dict[str, Tensor]:
        """List nothing: trials are short and are repeated as a whole."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up nothing."""
