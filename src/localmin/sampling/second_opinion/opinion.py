"""Who gets a second opinion, what it says and what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from localmin.sampling.feature_table import FeatureTable, table_from_sums
from localmin.sampling.features import example_features
from localmin.sampling.second_opinion.patches import MIN_PIXELS, Patches
from localmin.sampling.second_opinion.ridge import leave_one_out_predictions, ridge_operations, tempered
from localmin.sampling.second_opinion.waves import MAX_INPUTS, Waves
from localmin.tasks.random_state import seeded
from localmin.tasks.task import Task

__all__ = ["Opinion", "average_tables", "has_opinion", "plan_opinion"]

MAX_EXAMPLES = 100_000
_PHRASE = "a second opinion"
_MAX_WAVES, _MIN_WAVES, _STEP = 500, 20, 10
_IMAGE_DIMENSIONS, _VECTOR_DIMENSIONS = 4, 2
_AFFORDABLE = 0.1  # of a training: what waves may cost


@dataclass(frozen=True)
class Opinion:
    """How a task gets its second opinion.

    Args:
        description: Of the examples to the regression.
        epochs: Its cost in epochs of the task's network. Operations are counted, not timed, so that it is
            the same on every machine.
    """

    description: Patches | Waves
    epochs: float

    def table(self, task: Task, *, seed: int, weights: Float[Tensor, " n"] | None = None) -> FeatureTable:
        """Compute the features of all training examples from predictions that left each example out.

        Args:
            task: The one this was planned for.
            seed: Of patches or waves.
            weights: Relative weights of the fit, shape ``(n,)``; None weighs all equally.

        Returns:
            Loss, renormed entropy and gradient bound, as from a network.

        Cost:
            ``epochs``; memory for two ``(n, d)`` matrices, ``d`` 1,800 for images and at most 1,000 for
            vectors.
        """
        labels = task.train.labels.cpu()
        features = self.description.features(task.train.inputs.cpu(), seed=seed)
        values = leave_one_out_predictions(features, labels, num_classes=task.num_classes, weights=weights)
        logits = tempered(values, labels)
        found = example_features(logits, labels)
        return table_from_sums(
            found.loss.double(),
            found.renormed_entropy.double(),
            found.gradient_bound.double(),
            logits.argmax(1),
            source=f"ridge regression on {self.description.name}, each example left out",
        )


def plan_opinion(task: Task) -> Opinion | None:
    """Choose how the examples of a task are described to the regression.

    Images of 12 pixels a side and more by patches, smaller ones and vectors by waves: as many, up to 500 and
    half of the examples, as a tenth of a training of the task's network pays for.

    Args:
        task: Its training part is looked at.

    Returns:
        The plan; None where labels are no classes, inputs are something else, there are more than 100,000
        examples, or 20 waves are too dear.
    """
    inputs, labels = task.train.inputs, task.train.labels
    n = len(labels)
    if labels.is_floating_point() or labels.ndim != 1 or n > MAX_EXAMPLES:
        return None
    is_image = inputs.ndim == _IMAGE_DIMENSIONS
    if is_image and min(inputs.shape[2:]) >= MIN_PIXELS:
        described: Iterator[Patches | Waves] = iter([Patches(*inputs.shape[1:])])
        limit = math.inf
    elif is_image or (inputs.ndim == _VECTOR_DIMENSIONS and inputs.is_floating_point()):
        described, limit = _waves(n, inputs[0].numel()), _AFFORDABLE * task.epochs
    else:
        return None
    per_epoch = _epoch_operations(task)
    if per_epoch == 0:
        return None
    plans = (Opinion(one, _operations(one, n) / per_epoch) for one in described)
    return next((plan for plan in plans if plan.epochs <= limit), None)


def average_tables(network: FeatureTable, opinion: FeatureTable) -> FeatureTable:
    """Average the features of a network and of a second opinion; predictions are those of the latter.

    Args:
        network: Of n examples.
        opinion: Of the same examples.

    Returns:
        A table of the same columns.
    """
    return FeatureTable(
        network.names,
        (network.values + opinion.values) / 2,
        (network.gradient + opinion.gradient) / 2,
        opinion.predictions,
        f"{network.source}, averaged with {_PHRASE}: {opinion.source}",
    )


def has_opinion(origin: dict[str, Any]) -> bool:
    """Tell from a policy's origin whether its features were averaged with a second opinion."""
    return _PHRASE in str(origin.get("feature_source", ""))


def _operations(description: Patches | Waves, num_examples: int) -> float:
    return description.operations(num_examples) + ridge_operations(num_examples, description.num_features)


def _waves(num_examples: int, num_inputs: int) -> Iterator[Waves]:
    """List what may be tried, the most waves first."""
    if num_inputs > MAX_INPUTS:
        return
    most = min(_MAX_WAVES, num_examples // 2)
    for count in range(most - most % _STEP, _MIN_WAVES - 1, -_STEP):
        yield Waves(num_inputs, count)


def _epoch_operations(task: Task) -> float:
    """Count the operations of one epoch of the task's network, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    size = min(8, len(task.train))
    model = task.build_model(0)
    with seeded(), FlopCounterMode(display=False) as counter:
        # Not the task's loss, which is cheap and may count what it is given.
        model(task.prepare(task.train.inputs[:size])).sum().backward()
    return float(counter.get_total_flops()) / size * len(task.train)
