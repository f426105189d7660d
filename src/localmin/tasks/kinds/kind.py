"""What tells one kind of task from another: loss, score, noise, and what a label is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from localmin.tasks.examples import Examples
from localmin.tasks.metrics import Metric

__all__ = ["TaskKind"]


class TaskKind(Protocol):
    """Everything in which classification, regression and language modelling differ.

    The training loop, the features, the trials and the reports ask the kind and never for its name, so
    that a new kind is a new file. Kinds are frozen dataclasses: data, no state.

    Attributes:
        name: ``"classification"``, ``"regression"``, ``"language-model"``.
        metrics: That can be reported; the first is the default.
        noise_kinds: How labels can be made wrong; the first is the default.
        needs_raw_inputs: Whether inputs reach the network as they are, as tokens do.
    """

    @property
    def name(self) -> str:
        """Name the kind."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """List the metrics, default first."""

    @property
    def noise_kinds(self) -> tuple[str, ...]:
        """List the kinds of noise, default first."""

    @property
    def needs_raw_inputs(self) -> bool:
        """Tell whether inputs are not normalised."""

    def fitted(self, train: Examples) -> TaskKind:
        """Measure what the kind needs on the training examples: a scale, frequencies."""

    def check_examples(self, examples: Examples, num_classes: int, *, where: str) -> None:
        """Raise a `DataError` if labels are none of this kind."""

    def check_training_part(self, train: Examples, num_classes: int, *, where: str) -> None:
        """Raise a `DataError` if nothing can be learned from the training part."""

    def output_shape(self, input_shape: Sequence[int], num_classes: int) -> tuple[int, ...]:
        """Give the shape of the network's output for one example."""

    def loss(self, outputs: Tensor, labels: Tensor) -> Float[Tensor, " b"]:
        """Compute the training loss of each example."""

    def predict(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Reduce the output for each example to what is scored and shown, shape ``(b,)``."""

    def credit(self, predictions: Tensor, labels: Tensor) -> Float[Tensor, " b"]:
        """Judge each example for a trial, float64, higher is better, robust to wrong labels.

        0 is worthless (a prediction that ignores the input, at best), 1 is perfect.
        """

    def score(self, predictions: Tensor, labels: Tensor, metric: Metric, *, num_classes: int) -> float:
        """Compute the reported metric."""

    def as_classification(self, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        """See the examples as classifications: logits ``(b k, C)`` and labels ``(b k,)``.

        None where there are no classes. With k above 1 features are averaged over the k.
        """

    def groups(self, labels: Tensor) -> Int64[Tensor, " n"]:
        """Give the group of each example, for stratified splits and class priors; all 0 without classes."""

    def num_groups(self, num_classes: int) -> int:
        """Count the groups."""

    def differs(self, labels: Tensor, others: Tensor) -> Bool[Tensor, " n"]:
        """Tell for which examples two versions of the labels differ."""

    def corrupt(self, examples: Examples, rate: float, kind: str, *, num_classes: int, seed: int) -> Examples:
        """Make exactly ``round(rate n)`` examples wrong."""

    def show_label(self, label: Tensor, class_names: Sequence[str]) -> str:
        """Write one label for people."""

    def show_prediction(self, prediction: Tensor, class_names: Sequence[str]) -> str:
        """Write one prediction for people."""

    def to_dict(self) -> dict[str, Any]:
        """List name and measured constants, in JSON types."""
