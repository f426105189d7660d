"""The training loop: indexes tensors directly and leaves the order of examples to its caller."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from localmin.errors import DataError, InputError
from localmin.tasks.checkpoint import CheckpointFile
from localmin.tasks.data_parallel import Ranks, current_ranks
from localmin.tasks.examples import Examples
from localmin.tasks.memory import naming_shortage
from localmin.tasks.random_state import keeping_random_state, seed_default_generator
from localmin.tasks.recipe import Recipe, learning_rate_factor
from localmin.tasks.task import Task

__all__ = [
    "EpochDraw",
    "Observer",
    "Start",
    "TrainedModel",
    "count_steps",
    "mix_seed",
    "train_model",
    "uniform_draw",
]

EpochDraw = Callable[[torch.Generator], Tensor]
EpochProgress = Callable[[int, int], None]

# The first two are not part of what a run is: it can be taken up with others.
SHORTAGE_REMEDY = (
    "lower --together or --workers, where given, and repeat the command: it goes on where it stopped; or "
    "start another run with a lower --batch-size or --limit, or a smaller --model"
)


class Observer(Protocol):
    """Looks on while a model is trained; must not change it.

    ``watches_steps`` false spares the loop the call per step.
    """

    watches_steps: bool

    def on_step(self, epoch: int, indices: Tensor, logits: Tensor, labels: Tensor) -> None:
        """See the logits of one training batch, before the update it causes."""

    def on_epoch(self, epoch: int, model: nn.Module) -> None:
        """See the model at the end of an epoch (counted from 1), in training mode."""

    def state(self) -> dict[str, Tensor]:
        """List what must survive an interruption."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up the state of an interrupted run."""


@dataclass(frozen=True, eq=False)
class Start:
    """Where a training begins, when not from freshly drawn weights.

    Args:
        model: A ``state_dict``.
        optimizer: A ``state_dict`` of the optimiser, or None for a fresh one.
    """

    model: dict[str, Tensor]
    optimizer: dict[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """What a training leaves.

    Args:
        model: In evaluation mode.
        losses: Mean training loss of each epoch, nats.
        num_draws: Examples drawn in all; ``num_draws / n`` is the cost in epochs.
        num_steps: Optimiser steps.
        diverged: Whether the loss became NaN or infinite; the training stopped there.
        optimizer: State of the optimiser at the end.
    """

    model: nn.Module
    losses: tuple[float, ...]
    num_draws: int
    num_steps: int
    diverged: bool
    optimizer: dict[str, Any]


def uniform_draw(num_examples: int) -> EpochDraw:
    """Draw each epoch as a permutation: the ordinary shuffled epoch."""

    def draw(generator: torch.Generator) -> Tensor:
        return torch.randperm(num_examples, generator=generator)

    return draw


def count_steps(num_draws: int, batch_size: int) -> int:
    """Count the optimiser steps of an epoch; a last batch of one example joins the one before it."""
    full, rest = divmod(num_draws, batch_size)
    return max(1, full + (1 if rest > 1 else 0))


def mix_seed(seed: int, *parts: int) -> int:
    """Derive the seed of an independent stream from a seed and integer labels.

    Args:
        seed: Any integer.
        *parts: What distinguishes the stream: an epoch, a purpose.

    Returns:
        An integer in [0, 2**63), well mixed (the SplitMix64 finaliser).

    Example:
        >>> mix_seed(0, 1) == mix_seed(0, 1), mix_seed(0, 1) == mix_seed(1, 0)
        (True, False)
    """
    value = 0
    for part in (seed, *parts):
        value = (value * 0x9E3779B97F4A7C15 + part + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        value ^= value >> 31
    return value >> 1


def train_model(
    task: Task,
    examples: Examples,
    draw: EpochDraw,
    *,
    seed: int,
    epochs: int | None = None,
    recipe: Recipe | None = None,
    lr_scale: float = 1.0,
    model_seed: int | None = None,
    start: Start | None = None,
    observer: Observer | None = None,
    device: torch.device | str = "cpu",
    checkpoint: CheckpointFile | None = None,
    on_epoch: EpochProgress | None = None,
) -> TrainedModel:
    """Train the task's network on examples in the order that ``draw`` gives.

    Everything random is derived from ``seed`` and the epoch: the order, the augmentation and drop-out.
    The caller's random state is left as it was. Equal arguments on the same machine and the same
    number of threads give equal weights, interrupted or not.

    Args:
        task: Gives the model, the loss and the normalisation.
        examples: What ``draw``'s indices point into.
        draw: Called once an epoch with a seeded generator; gives int64 indices, any number of them.
        seed: Of order, augmentation and drop-out.
        epochs: Calls of ``draw``; None is the recipe's number. The schedule spans all of them.
        recipe: Replaces the task's.
        lr_scale: Multiplies the learning rate.
        model_seed: Of the initial weights; None is ``seed``.
        start: Weights to begin from instead.
        observer: Looks on.
        device: Where to train.
        checkpoint: Where to save progress now and then, and to continue from.
        on_epoch: Called with (epochs done, epochs in all).

    Returns:
        The trained model, in evaluation mode, with its history.

    Raises:
        InputError: If ``epochs`` is not positive.
        OutOfMemoryError: If memory runs out.

    Cost:
        One forward and one backward pass per draw. Memory: the examples, the model, its optimiser state.
    """
    recipe = recipe or task.recipe
    epochs = recipe.epochs if epochs is None else epochs
    if epochs < 1:
        raise InputError(f"a training needs at least one epoch, got {epochs}")
    device = torch.device(device)
    with naming_shortage(f"while training with batches of {recipe.batch_size}", SHORTAGE_REMEDY):
        model = task.build_model(seed if model_seed is None else model_seed).to(device)
        if start is not None:
            model.load_state_dict(start.model)
        ranks = current_ranks()
        if ranks is not None:
            watches = observer is not None and observer.watches_steps
            parts = (task,) if examples is task.train else (task, examples)
            ranks.tell(_Order(draw, recipe, seed, epochs, lr_scale, device.type, watches), once=parts)
        loop = _Loop(task, examples, draw, recipe, model, observer, seed, epochs, lr_scale, device)
        if start is not None and start.optimizer is not None:
            loop.optimizer.load_state_dict(start.optimizer)
        with keeping_random_state([device] if device.type == "cuda" else []):
            loop.run(checkpoint, on_epoch)
    return TrainedModel(
        model.eval(),
        tuple(loop.losses),
        loop.num_draws,
        loop.num_steps,
        loop.diverged,
        loop.optimizer.state_dict(),
    )


@dataclass(frozen=True, eq=False)
class _Order:
    """What the leader of several ranks tells them of a training, beside the task and the examples."""

    draw: EpochDraw
    recipe: Recipe
    seed: int
    epochs: int
    lr_scale: float
    device: str
    watches_steps: bool


def join_training(order: Any, task: Task, examples: Examples | None = None) -> None:
    """Take part in a training that another process leads; the weights come from there.

    Args:
        order: What the leader sent.
        task: As the leader has it.
        examples: None for the training part of the task.
    """
    device = torch.device(order.device)
    model = task.build_model(order.seed).to(device)
    watcher = _Gathering() if order.watches_steps else None
    examples = task.train if examples is None else examples
    loop = _Loop(
        task, examples, order.draw, order.recipe, model, watcher, order.seed, order.epochs, order.lr_scale,
        device,
    )  # fmt: skip
    with keeping_random_state([device] if device.type == "cuda" else []):
        loop.run(None, None)


class _Gathering:
    """Stand for the leader's observer: the ranks have to know that it wants to see every step."""

    watches_steps = True

    def on_step(self, epoch: int, indices: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Do nothing."""

    def on_epoch(self, epoch: int, model: nn.Module) -> None:
        """Do nothing."""

    def state(self) -> dict[str, Tensor]:
        """List nothing."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up nothing."""


class _Loop:
    """The state of one training."""

    def __init__(
        self,
        task: Task,
        examples: Examples,
        draw: EpochDraw,
        recipe: Recipe,
        model: nn.Module,
        observer: Observer | None,
        seed: int,
        epochs: int,
        lr_scale: float,
        device: torch.device,
    ) -> None:
        self.task, self.draw, self.recipe, self.model = task, draw, recipe, model
        self.observer, self.seed, self.epochs, self.device = observer, seed, epochs, device
        # Tables are normalised once; 8-bit images stay small and are scaled a batch at a time.
        self.scale_batches = not examples.inputs.is_floating_point()
        inputs, self.labels = _placed(examples, device)
        self.inputs = inputs if self.scale_batches else task.prepare(inputs)
        self.ranks = current_ranks()
        self.optimizer = recipe.make_optimizer(model.parameters())
        self.peaks = [group["lr"] * lr_scale for group in self.optimizer.param_groups]
        self.losses: list[float] = []
        self.num_draws = 0
        self.num_steps = 0
        self.diverged = False

    def run(self, checkpoint: CheckpointFile | None, on_epoch: EpochProgress | None) -> None:
        if checkpoint is not None:
            self._restore(checkpoint)
        if self.ranks is None:
            self._run(checkpoint, on_epoch)
            return
        self.ranks.is_training = True
        self._agree(self.ranks)
        with self.ranks.batch_norm_over_all(self.model):
            self._run(checkpoint, on_epoch)
        self.ranks.is_training = False

    def _agree(self, ranks: Ranks) -> None:
        """Start all ranks from the leader's weights and epoch."""
        if ranks.leads:
            ranks.tell(self._state())
        else:
            self._take_up(ranks.hear()[0])

    def _run(self, checkpoint: CheckpointFile | None, on_epoch: EpochProgress | None) -> None:
        for epoch in range(len(self.losses) + 1, self.epochs + 1):
            if self.diverged:
                break
            self._epoch(epoch)
            if self.observer is not None and not self.diverged:
                self.observer.on_epoch(epoch, self.model)
            if on_epoch is not None:
                on_epoch(epoch, self.epochs)
            # A diverged run is over; saved as progress it would be taken up as a healthy one.
            if checkpoint is not None and epoch < self.epochs and not self.diverged and checkpoint.is_due():
                self._save(checkpoint)

    def _epoch(self, epoch: int) -> None:
        # Seeding each epoch anew makes a run that continues from a checkpoint equal to an unbroken one.
        generator = torch.Generator().manual_seed(mix_seed(self.seed, epoch))
        ranks = self.ranks
        alone = ranks is None or ranks.leads
        seed_default_generator(
            mix_seed(self.seed, epoch, 1, *(() if alone or ranks is None else (ranks.rank,))), self.device
        )
        order = self.draw(generator)
        steps_per_epoch = count_steps(len(order), self.recipe.batch_size)
        watch = self.observer if self.observer is not None and self.observer.watches_steps else None
        plain_loss = self.task.has_plain_cross_entropy
        smoothing = self.recipe.label_smoothing
        total = torch.zeros((), device=self.device)
        self.model.train()
        for step, chosen in enumerate(_batches(order.to(self.inputs.device), self.recipe.batch_size)):
            self._set_learning_rate((epoch - 1) * steps_per_epoch + step, steps_per_epoch)
            mine = chosen if ranks is None else ranks.share(chosen)
            if self.recipe.augmentation == "none":
                inputs = self._inputs(mine)
            else:
                # Ranks augment the whole batch, so that each example is turned as it is in one process.
                inputs = self.recipe.augment(self._inputs(chosen), generator)
                inputs = inputs if ranks is None else ranks.share(inputs)
            labels = self.labels[mine].to(self.device, non_blocking=True)
            logits = self.model(inputs)
            if self.num_steps == 0 and step == 0:
                check_logits(logits, self.task)
            if plain_loss:
                loss = nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
            else:
                loss = self.task.example_loss(logits, labels).mean()
            if ranks is not None:
                # The mean over the batch is the sum of what the ranks hold of it.
                loss = loss * (1 / ranks.size if ranks.repeats(len(chosen)) else len(mine) / len(chosen))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if ranks is not None:
                ranks.sum_gradients(self.model)
            self.optimizer.step()
            total += loss.detach() * len(chosen)
            if watch is not None:
                shown = logits.detach()
                if ranks is not None:
                    shown = ranks.gather(shown, len(chosen))
                    labels = self.labels[chosen].to(self.device)
                watch.on_step(epoch, chosen, shown, labels)
        if ranks is not None:
            total = ranks.sum(total)
        self.num_draws += len(order)
        self.num_steps += steps_per_epoch
        self.losses.append(float(total) / len(order))
        self.diverged = not math.isfinite(self.losses[-1])

    def _set_learning_rate(self, step: int, steps_per_epoch: int) -> None:
        factor = learning_rate_factor(
            self.recipe, step, num_steps=self.epochs * steps_per_epoch, steps_per_epoch=steps_per_epoch
        )
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor

    def _inputs(self, chosen: Tensor) -> Tensor:
        inputs = self.inputs[chosen].to(self.device, non_blocking=True)
        return self.task.prepare(inputs) if self.scale_batches else inputs

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "losses": self.losses,
            "num_draws": self.num_draws,
            "num_steps": self.num_steps,
        }

    def _save(self, checkpoint: CheckpointFile) -> None:
        observer = {} if self.observer is None else self.observer.state()
        checkpoint.save(self._state() | {"observer": observer})

    def _restore(self, checkpoint: CheckpointFile) -> None:
        saved = checkpoint.load()
        if saved is None:
            return
        if self.observer is not None:
            self.observer.restore(saved["observer"])
        self._take_up(saved)

    def _take_up(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.losses = list(state["losses"])
        self.num_draws, self.num_steps = state["num_draws"], state["num_steps"]


def _placed(examples: Examples, device: torch.device) -> tuple[Tensor, Tensor]:
    """Move examples to a GPU where they take at most a quarter of its free memory; leave them otherwise."""
    if device.type == "cuda" and examples.inputs.device.type == "cpu":
        free, _ = torch.cuda.mem_get_info(device)
        if examples.inputs.numel() * examples.inputs.element_size() <= free // 4:
            return examples.inputs.to(device), examples.labels.to(device)
    return examples.inputs, examples.labels


def _batches(order: Int64[Tensor, " n"], size: int) -> Iterator[Tensor]:
    """Cut an epoch into batches; a single last example, which batch norm cannot take, joins its neighbour."""
    steps = count_steps(len(order), size)
    for step in range(steps - 1):
        yield order[step * size : (step + 1) * size]
    yield order[(steps - 1) * size :]


def check_logits(logits: Float[Tensor, "b ..."], task: Task) -> None:
    """Check that a model's output fits the task.

    Args:
        logits: Output for a batch.
        task: Gives the number of classes and the kind.

    Raises:
        DataError: If the shape is not ``(b, num_classes)``, or what the kind expects instead.
    """
    expected = task.kind.output_shape(tuple(task.train.inputs.shape[1:]), task.num_classes)
    if tuple(logits.shape[1:]) != expected:
        raise DataError(
            f"the model must map a batch to logits of shape (b, {', '.join(map(str, expected))}), it gave "
            f"{tuple(logits.shape)}; check the last layer"
        )


def shortened(recipe: Recipe, *, final_lr_fraction: float) -> Recipe:
    """Give a recipe whose learning rate ends higher, for runs that stop half-way."""
    return replace(recipe, final_lr_fraction=max(final_lr_fraction, recipe.final_lr_fraction))
