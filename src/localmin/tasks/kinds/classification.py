"""Classification: a label is one of C classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from localmin.errors import DataError
from localmin.tasks.examples import Examples
from localmin.tasks.metrics import Metric
from localmin.tasks.noise import NOISE_KINDS, flip_labels

__all__ = ["Classification", "classification_score"]


@dataclass(frozen=True)
class Classification:
    """Predict one of C classes from logits; cross-entropy, accuracy, flipped labels.

    Example:
        >>> kind = Classification()
        >>> logits, labels = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
        >>> kind.credit(kind.predict(logits, labels), labels).tolist()
        [1.0, 0.0]
    """

    name: ClassVar[str] = "classification"
    metrics: ClassVar[tuple[Metric, ...]] = ("accuracy", "balanced-accuracy")
    noise_kinds: ClassVar[tuple[str, ...]] = NOISE_KINDS
    needs_raw_inputs: ClassVar[bool] = False

    def fitted(self, train: Examples) -> Classification:
        """Give the kind itself: it has nothing to measure."""
        del train
        return self

    def check_examples(self, examples: Examples, num_classes: int, *, where: str) -> None:
        """Check that labels are classes.

        Args:
            examples: Of one part.
            num_classes: C.
            where: Which part of which data, for messages.

        Raises:
            DataError: If they are not integers, or outside ``[0, C)``.
        """
        labels = examples.labels
        if labels.dtype != torch.int64 or labels.ndim != 1:
            raise DataError(
                f"the labels of {where} must be int64 classes of shape (n,), got {labels.dtype} of shape "
                f"{tuple(labels.shape)}; for quantities use kind regression"
            )
        outside = (labels < 0) | (labels >= num_classes)
        if bool(outside.any()):
            wrong = int(torch.nonzero(outside)[0])
            raise DataError(
                f"{examples.identifier(wrong)} in {where} has label {int(labels[wrong])}; "
                f"labels must be 0 to {num_classes - 1}"
            )

    def check_training_part(self, train: Examples, num_classes: int, *, where: str) -> None:
        """Check that there are two classes at least.

        Args:
            train: The training part.
            num_classes: C.
            where: The data, for messages.

        Raises:
            DataError: If not.
        """
        if num_classes < 2:
            raise DataError(
                f"{where} has {num_classes} class; a classifier needs at least two: check the "
                "label column and any --limit"
            )
        if len(torch.unique(train.labels)) < 2:
            raise DataError(f"the training part of {where} holds a single class; nothing can be learned")

    def output_shape(self, input_shape: Sequence[int], num_classes: int) -> tuple[int, ...]:
        """Give ``(C,)``: one logit a class."""
        del input_shape
        return (num_classes,)

    def loss(self, outputs: Tensor, labels: Tensor) -> Float[Tensor, " b"]:
        """Compute ``-log softmax(logits)[label]``, nats."""
        return torch.nn.functional.cross_entropy(outputs, labels, reduction="none")

    def predict(self, outputs: Tensor, labels: Tensor) -> Int64[Tensor, " b"]:
        """Give the most likely class."""
        del labels
        return outputs.argmax(1)

    def credit(self, predictions: Tensor, labels: Tensor) -> Float[Tensor, " b"]:
        """Give 1 for the class of the label, else 0."""
        return (predictions == labels).double()

    def score(self, predictions: Tensor, labels: Tensor, metric: Metric, *, num_classes: int) -> float:
        """Compute accuracy or balanced accuracy."""
        return classification_score(predictions, labels, metric, num_classes=num_classes)

    def as_classification(self, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Give logits and labels as they are."""
        return outputs, labels

    def groups(self, labels: Tensor) -> Int64[Tensor, " n"]:
        """Give the classes."""
        return labels

    def num_groups(self, num_classes: int) -> int:
        """Give the number of classes."""
        return num_classes

    def differs(self, labels: Tensor, others: Tensor) -> Bool[Tensor, " n"]:
        """Tell where two labels are not the same class."""
        return labels != others

    def corrupt(self, examples: Examples, rate: float, kind: str, *, num_classes: int, seed: int) -> Examples:
        """Flip labels, see `flip_labels`."""
        flipped = flip_labels(examples.labels, rate, num_classes=num_classes, kind=kind, seed=seed)
        return examples.with_labels(flipped)

    def show_label(self, label: Tensor, class_names: Sequence[str]) -> str:
        """Give the name of the class."""
        return class_names[int(label)]

    def show_prediction(self, prediction: Tensor, class_names: Sequence[str]) -> str:
        """Give the name of the class."""
        return class_names[int(prediction)]

    def to_dict(self) -> dict[str, Any]:
        """Give the name."""
        return {"name": self.name}


def classification_score(
    predictions: Int64[Tensor, " n"], labels: Int64[Tensor, " n"], metric: Metric, *, num_classes: int
) -> float:
    """Compute accuracy, or its mean over the classes that occur.

    Args:
        predictions: Shape ``(n,)``.
        labels: Shape ``(n,)``.
        metric: ``"accuracy"`` or ``"balanced-accuracy"``.
        num_classes: C.

    Returns:
        A number in [0, 1].

    Example:
        >>> labels = torch.tensor([0, 0, 0, 1])
        >>> predictions = torch.zeros(4, dtype=torch.int64)
        >>> classification_score(predictions, labels, "balanced-accuracy", num_classes=2)
        0.5
    """
    hits: Bool[Tensor, " n"] = predictions == labels
    if metric == "accuracy":
        return float(hits.double().mean())
    counts = labels.bincount(minlength=num_classes)
    right = labels[hits].bincount(minlength=num_classes)
    present = counts > 0
    recall: Float[Tensor, " c"] = right[present].double() / counts[present].double()
    return float(recall.mean())
