"""Who gets a second opinion, what it says and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.sampling.feature_table import FeatureTable, table_from_sums
from localmin.sampling.features import kind_features
from localmin.sampling.second_opinion.ngrams import MAX_TOKENS, NgramModel, ngram_operations
from localmin.sampling.second_opinion.patches import MIN_PIXELS, Patches
from localmin.sampling.second_opinion.ridge import leave_one_out_predictions, ridge_operations, tempered
from localmin.sampling.second_opinion.waves import MAX_INPUTS, Waves
from localmin.tasks.random_state import seeded
from localmin.tasks.task import Task

__all__ = ["LeftOutNgrams", "LeftOutRidge", "Opinion", "average_tables", "has_opinion", "plan_opinion"]

MAX_EXAMPLES = 100_000
_PHRASE = "a second opinion"
_MAX_WAVES, _MIN_WAVES, _STEP = 500, 20, 10
_IMAGE_DIMENSIONS, _VECTOR_DIMENSIONS = 4, 2
_AFFORDABLE = 0.1  # of a training: what waves may cost


@dataclass(frozen=True)
class LeftOutRidge:
    """A ridge regression that predicts classes from a description of the examples.

    Args:
        description: Of images or vectors.

    Cost:
        Memory for two ``(n, d)`` matrices, ``d`` 1,800 for images and at most 1,000 for vectors.
    """

    description: Patches | Waves

    @property
    def name(self) -> str:
        """Name it where features are described."""
        return f"ridge regression on {self.description.name}, each example left out"

    def operations(self, num_examples: int) -> float:
        """Count floating-point operations."""
        fit = ridge_operations(num_examples, self.description.num_features)
        return self.description.operations(num_examples) + fit

    def predictions(
        self, task: Task, *, seed: int, weights: Float[Tensor, " n"] | None
    ) -> Iterator[tuple[slice, Tensor]]:
        """Predict all examples at once."""
        labels = task.train.labels.cpu()
        features = self.description.features(task.train.inputs.cpu(), seed=seed)
        values = leave_one_out_predictions(features, labels, num_classes=task.num_classes, weights=weights)
        yield slice(0, len(labels)), tempered(values, labels)


@dataclass(frozen=True)
class LeftOutNgrams:
    """An n-gram model that predicts the tokens of each sequence from the other sequences.

    Args:
        length: Tokens of a sequence, L.
        num_tokens: V.

    Cost:
        Memory for counts of at most 200 MB, and for 64 sequences times ``L V`` numbers.
    """

    length: int
    num_tokens: int

    name = "n-gram counts, each sequence left out"

    def operations(self, num_examples: int) -> float:
        """Count floating-point operations."""
        return ngram_operations(num_examples, self.length, self.num_tokens)

    def predictions(
        self, task: Task, *, seed: int, weights: Float[Tensor, " n"] | None
    ) -> Iterator[tuple[slice, Tensor]]:
        """Predict block by block; nothing is random."""
        del seed
        inputs, targets = task.train.inputs.cpu().long(), task.train.labels.cpu().long()
        model = NgramModel.count(inputs, targets, num_tokens=self.num_tokens, weights=weights)
        for rows in model.blocks():
            yield rows, model.left_out(rows)


@dataclass(frozen=True)
class Opinion:
    """How a task gets its second opinion.

    Args:
        witness: Who is asked.
        epochs: Its cost in epochs of the task's network. Operations are counted, not timed, so that it is
            the same on every machine.
    """

    witness: LeftOutRidge | LeftOutNgrams
    epochs: float

    def table(self, task: Task, *, seed: int, weights: Float[Tensor, " n"] | None = None) -> FeatureTable:
        """Compute the features of all training examples from predictions that left each example out.

        Args:
            task: The one this was planned for.
            seed: Of what is random in it.
            weights: Relative weights of the fit, shape ``(n,)``; None weighs all equally.

        Returns:
            Loss, renormed entropy and gradient bound, as from a network.

        Cost:
            ``epochs``; memory as the witness says.
        """
        labels = task.train.labels.cpu()
        features, predicted = [], []
        for rows, logits in self.witness.predictions(task, seed=seed, weights=weights):
            found = kind_features(task.kind, logits, labels[rows])
            features.append(torch.stack([found.loss, found.renormed_entropy, found.gradient_bound]))
            predicted.append(task.kind.predict(logits, labels[rows]))
        loss, entropy, gradient = torch.cat(features, 1).double()
        return table_from_sums(loss, entropy, gradient, torch.cat(predicted), source=self.witness.name)


def plan_opinion(task: Task) -> Opinion | None:
    """Choose who is asked about the examples of a task.

    Classes of images of 12 pixels a side and more are predicted from patches, of smaller ones and of vectors
    from waves: as many, up to 500 and half of the examples, as a tenth of a training of the task's network
    pays for. Sequences of up to 1,024 different tokens are predicted by an n-gram model.

    Args:
        task: Its training part is looked at.

    Returns:
        The plan; None for regression and other inputs, for more than 100,000 examples, and where 20 waves are
        too dear.
    """
    if len(task.train) > MAX_EXAMPLES:
        return None
    witnesses = _witnesses(task)
    per_epoch = _epoch_operations(task) if witnesses else 0.0
    if per_epoch == 0:
        return None
    plans = (Opinion(one, one.operations(len(task.train)) / per_epoch) for one in witnesses)
    return next((plan for plan in plans if _is_affordable(plan, task)), None)


def _witnesses(task: Task) -> list[LeftOutRidge | LeftOutNgrams]:
    """List who may be asked, the best first."""
    inputs, n = task.train.inputs, len(task.train)
    if task.kind.name == "language-model":
        fits = task.num_classes <= MAX_TOKENS
        return [LeftOutNgrams(inputs.shape[1], task.num_classes)] if fits else []
    if task.kind.name != "classification":
        return []
    is_image = inputs.ndim == _IMAGE_DIMENSIONS
    if is_image and min(inputs.shape[2:]) >= MIN_PIXELS:
        return [LeftOutRidge(Patches(*inputs.shape[1:]))]
    if is_image or (inputs.ndim == _VECTOR_DIMENSIONS and inputs.is_floating_point()):
        return [LeftOutRidge(waves) for waves in _waves(n, inputs[0].numel())]
    return []


def _is_affordable(plan: Opinion, task: Task) -> bool:
    """Waves come in any number, so their price has a limit; patches and counts do not."""
    witness = plan.witness
    limited = isinstance(witness, LeftOutRidge) and isinstance(witness.description, Waves)
    return not limited or plan.epochs <= _AFFORDABLE * task.epochs


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
