"""Runs of training that are watched for the features of every example.

Three ways to look. ``checkpoint``: one pass with the final weights of the run. ``epoch-mean``: passes at
the end of each epoch, averaged; one forward pass per epoch more. ``step-mean``: the values at the very
step in which an example is trained on, averaged; free. Averaging over epochs is what separates wrong
labels best: a network that has memorised a wrong label late still disagreed with it for most of the run.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import DataError, InputError
from localmin.sampling.feature_table import FeatureTable, table_from_sums
from localmin.sampling.features import ExampleFeatures, kind_features
from localmin.sampling.weighted_draw import epoch_draw
from localmin.tasks.checkpoint import CheckpointFile
from localmin.tasks.examples import Examples
from localmin.tasks.kinds import TaskKind
from localmin.tasks.prediction import batched_logits
from localmin.tasks.recipe import Recipe
from localmin.tasks.task import Task
from localmin.tasks.training import EpochProgress, TrainedModel, shortened, train_model

__all__ = ["FEATURE_SOURCES", "EpochMean", "FeatureSource", "StepMean", "features_at", "run_features"]

FeatureSource = Literal["checkpoint", "epoch-mean", "step-mean"]
FEATURE_SOURCES: tuple[FeatureSource, ...] = ("checkpoint", "epoch-mean", "step-mean")

_FIRST_EPOCH_OF_MEAN = 3
_FIRST_EPOCH_OF_STEPS = 2


class _RunningSums:
    """Sums of features per example over the times it was looked at."""

    def __init__(self, num_examples: int, kind: TaskKind) -> None:
        self.kind = kind
        self.sums = torch.zeros(3, num_examples, dtype=torch.float64)
        self.counts = torch.zeros(num_examples, dtype=torch.float64)
        self.predictions: Tensor | None = None

    def add(self, where: Tensor | slice, outputs: Tensor, labels: Tensor) -> None:
        """Add one look at some examples; an example at most once in a call."""
        features: ExampleFeatures = kind_features(self.kind, outputs, labels)
        predictions = self.kind.predict(outputs, labels).cpu()
        if self.predictions is None:
            self.predictions = torch.zeros(len(self.counts), dtype=predictions.dtype)
        looked = torch.stack([features.loss, features.renormed_entropy, features.gradient_bound])
        self.sums[:, where] += looked.double().cpu()
        self.counts[where] += 1
        self.predictions[where] = predictions

    def table(self, source: str) -> FeatureTable:
        loss, entropy, gradient = self.sums / self.counts.clamp_min(1)
        assert self.predictions is not None  # somebody has looked
        return table_from_sums(loss, entropy, gradient, self.predictions, source=source)

    def state(self) -> dict[str, Tensor]:
        predictions = {} if self.predictions is None else {"predictions": self.predictions}
        return {"sums": self.sums, "counts": self.counts, **predictions}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.sums, self.counts, self.predictions = state["sums"], state["counts"], state.get("predictions")


class EpochMean:
    """Average the features of all examples over the ends of epochs.

    Args:
        task: Gives the normalisation.
        examples: To look at, without augmentation.
        first_epoch: Looks begin here, counted from 1.
    """

    watches_steps = False

    def __init__(self, task: Task, examples: Examples, *, first_epoch: int = _FIRST_EPOCH_OF_MEAN) -> None:
        self.task, self.examples, self.first_epoch = task, examples, first_epoch
        self.looks = _RunningSums(len(examples), task.kind)

    def on_step(self, epoch: int, indices: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Do nothing: looks happen between epochs."""

    def on_epoch(self, epoch: int, model: nn.Module) -> None:
        """Look at all examples once."""
        if epoch >= self.first_epoch:
            _look(self.looks, model, self.task, self.examples)

    def state(self) -> dict[str, Tensor]:
        """List the running sums."""
        return self.looks.state()

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up running sums."""
        self.looks.restore(state)


class StepMean:
    """Average the features of an example over the steps in which it was trained on.

    Args:
        num_examples: n.
        kind: Of the task.
        first_epoch: Steps of earlier epochs are ignored, counted from 1.
    """

    watches_steps = True

    def __init__(
        self, num_examples: int, kind: TaskKind, *, first_epoch: int = _FIRST_EPOCH_OF_STEPS
    ) -> None:
        self.first_epoch = first_epoch
        self.looks = _RunningSums(num_examples, kind)

    def on_step(self, epoch: int, indices: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Look at the examples of a batch, as the network saw them."""
        if epoch >= self.first_epoch:
            self.looks.add(indices.cpu(), logits, labels)

    def on_epoch(self, epoch: int, model: nn.Module) -> None:
        """Do nothing: looks happen in steps."""

    def state(self) -> dict[str, Tensor]:
        """List the running sums."""
        return self.looks.state()

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up running sums."""
        self.looks.restore(state)


def features_at(model: nn.Module, task: Task, examples: Examples) -> FeatureTable:
    """Compute the features of examples with one model, in one pass without augmentation.

    Args:
        model: Maps normalised inputs to logits.
        task: Gives the normalisation.
        examples: n of them.

    Returns:
        The table of loss, renormed entropy and gradient bound.
    """
    looks = _RunningSums(len(examples), task.kind)
    _look(looks, model, task, examples)
    return looks.table("one pass with a checkpoint")


def run_features(
    task: Task,
    *,
    source: FeatureSource,
    epochs: int,
    seed: int,
    model_seed: int,
    weights: Float[Tensor, " n"] | None = None,
    final_lr_fraction: float = 0.5,
    recipe: Recipe | None = None,
    device: torch.device | str = "cpu",
    checkpoint: CheckpointFile | None = None,
    on_epoch: EpochProgress | None = None,
) -> tuple[FeatureTable, TrainedModel]:
    """Train for a while and record the features of every training example.

    Args:
        task: The training part is looked at.
        source: ``"checkpoint"``, ``"epoch-mean"`` or ``"step-mean"``.
        epochs: Length of the run; half a training by default of the presets.
        seed: Of order and augmentation.
        model_seed: Of the initial weights.
        weights: Draw by these instead of uniformly (a refresh); examples that are never drawn are
            looked at all the same, so ``"step-mean"`` is not possible then.
        final_lr_fraction: The cosine ends here instead of at zero, so that the network keeps moving.
        recipe: Replaces the task's.
        device: Where to train.
        checkpoint: Where to save progress now and then.
        on_epoch: Called with (epochs done, epochs in all).

    Returns:
        The table, and the trained network.

    Raises:
        InputError: If the source is unknown, or is ``"step-mean"`` with weights.
        DataError: If the training diverged: it has no features to give.

    Cost:
        ``epochs`` epochs; ``"epoch-mean"`` adds a forward pass per epoch.
    """
    if source not in FEATURE_SOURCES:
        raise InputError(f"unknown feature source {source!r}; choose one of {', '.join(FEATURE_SOURCES)}")
    if source == "step-mean" and weights is not None:
        raise InputError("step-mean features need a uniform run: examples that are not drawn have no step")
    examples = task.train
    observer: EpochMean | StepMean | None = None
    if source == "epoch-mean":
        observer = EpochMean(task, examples, first_epoch=min(_FIRST_EPOCH_OF_MEAN, epochs))
    elif source == "step-mean":
        observer = StepMean(len(examples), task.kind, first_epoch=min(_FIRST_EPOCH_OF_STEPS, epochs))
    trained = train_model(
        task,
        examples,
        epoch_draw(weights, len(examples)),
        seed=seed,
        model_seed=model_seed,
        epochs=epochs,
        recipe=shortened(recipe or task.recipe, final_lr_fraction=final_lr_fraction),
        observer=observer,
        device=device,
        checkpoint=checkpoint,
        on_epoch=on_epoch,
    )
    if trained.diverged:
        raise DataError(
            f"the training for the features diverged in epoch {len(trained.losses)} of {epochs}; lower the "
            "learning rate (--lr)"
        )
    if observer is None:
        return features_at(trained.model, task, examples), trained
    first = observer.first_epoch
    kind = "ends of epochs" if source == "epoch-mean" else "training steps of epochs"
    return observer.looks.table(f"mean over the {kind} {first} to {epochs}"), trained


def _look(looks: _RunningSums, model: nn.Module, task: Task, examples: Examples) -> None:
    device = next(model.parameters()).device
    for part, logits in batched_logits(model, task, examples):
        looks.add(part, logits, examples.labels[part].to(device))
