"""Who gets a second opinion, what it says and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.sampling.feature_table import FeatureTable, table_from_sums
from localmin.sampling.features import example_features
from localmin.sampling.second_opinion.patches import MIN_PIXELS, Patches
from localmin.sampling.second_opinion.ridge import leave_one_out_predictions, ridge_operations, tempered
from localmin.sampling.second_opinion.waves import MAX_INPUTS, Waves
from localmin.tasks.task import Task

__all__ = ["applies_to", "average_tables", "description_for", "has_opinion", "opinion_cost", "second_opinion"]

MAX_EXAMPLES = 100_000
_PHRASE = "a second opinion"
_MAX_WAVES, _MIN_WAVES, _STEP = 500, 20, 10
_AFFORDABLE = 0.1  # of a training: what waves may cost


def description_for(task: Task) -> Patches | Waves | None:
    """Choose how the examples of a task are described to the regression.

    Images of 12 pixels a side and more by patches, smaller ones and vectors by waves: as many, up to 500 and
    half of the examples, as a tenth of a training of the task's network pays for.

    Args:
        task: Its training part is looked at.

    Returns:
        The description; None where labels are no classes, inputs are something else, there are more than
        100,000 examples, or 20 waves are too dear.
    """
    inputs, labels = task.train.inputs, task.train.labels
    if labels.is_floating_point() or labels.ndim != 1 or len(labels) > MAX_EXAMPLES:
        return None
    if inputs.ndim == 4 and min(inputs.shape[2:]) >= MIN_PIXELS:
        patches = Patches(*inputs.shape[1:])
        return patches if _epoch_operations(task) > 0 else None
    if inputs.ndim == 4 or (inputs.ndim == 2 and inputs.is_floating_point()):
        return _affordable_waves(task, inputs[0].numel())
    return None


def applies_to(task: Task) -> bool:
    """Tell whether a task can have a second opinion, see `description_for`."""
    return description_for(task) is not None


def second_opinion(task: Task, *, seed: int, weights: Float[Tensor, " n"] | None = None) -> FeatureTable:
    """Compute the features of all training examples from predictions that left each example out.

    Args:
        task: See `description_for`.
        seed: Of patches or waves.
        weights: Relative weights of the fit, shape ``(n,)``; None weighs all equally.

    Returns:
        Loss, renormed entropy and gradient bound, as from a network.

    Cost:
        See `opinion_cost`; memory for two ``(n, d)`` matrices, ``d`` 1,800 for images and at most 1,000 for
        vectors.
    """
    description = description_for(task)
    assert description is not None, "ask applies_to first"
    labels = task.train.labels.cpu()
    features = description.features(task.train.inputs.cpu(), seed=seed)
    values = leave_one_out_predictions(features, labels, num_classes=task.num_classes, weights=weights)
    logits = tempered(values, labels)
    found = example_features(logits, labels)
    return table_from_sums(
        found.loss.double(),
        found.renormed_entropy.double(),
        found.gradient_bound.double(),
        logits.argmax(1),
        source=f"ridge regression on {description.name}, each example left out",
    )


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


def opinion_cost(task: Task) -> float:
    """Express the cost of a second opinion in epochs of the task's network, by counting operations.

    Args:
        task: Gives examples and network.

    Returns:
        Epochs of training; counted, not timed, so that it is the same on every machine. 0 where there is no
        second opinion.
    """
    description = description_for(task)
    return 0.0 if description is None else _operations(description, len(task.train)) / _epoch_operations(task)


def _operations(description: Patches | Waves, num_examples: int) -> float:
    return description.operations(num_examples) + ridge_operations(num_examples, description.num_features)


def _affordable_waves(task: Task, num_inputs: int) -> Waves | None:
    n = len(task.train)
    if num_inputs > MAX_INPUTS:
        return None
    budget = _AFFORDABLE * task.epochs * _epoch_operations(task)
    return next((w for w in _wave_counts(n, num_inputs) if _operations(w, n) <= budget), None)


def _wave_counts(num_examples: int, num_inputs: int) -> Iterator[Waves]:
    most = min(_MAX_WAVES, num_examples // 2)
    for count in range(most - most % _STEP, _MIN_WAVES - 1, -_STEP):
        yield Waves(num_inputs, count)


def _epoch_operations(task: Task) -> float:
    """Count the operations of one epoch of the task's network, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    size = min(8, len(task.train))
    model = task.build_model(0)
    with torch.random.fork_rng(devices=[]), FlopCounterMode(display=False) as counter:
        logits = model(task.prepare(task.train.inputs[:size]))
        task.loss(logits, task.train.labels[:size]).sum().backward()  # type: ignore[no-untyped-call]
    return float(counter.get_total_flops()) / size * len(task.train)
