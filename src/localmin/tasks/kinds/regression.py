"""Regression: a label is a number; wrong labels are outliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from localmin.errors import DataError
from localmin.tasks.examples import Examples
from localmin.tasks.metrics import Metric

__all__ = ["OUTLIER_SHIFT", "Regression"]

# A median absolute deviation times this estimates the standard deviation of a normal distribution.
_NORMAL = 1.4826
OUTLIER_SHIFT = (3.0, 6.0)


@dataclass(frozen=True)
class Regression:
    """Predict a number; squared error of the standardised target, R^2 or mean absolute error.

    The network predicts ``(target - centre) / scale``, so that recipes do not depend on units.
    Centre and scale are the median and 1.4826 times the median absolute deviation of the training targets
    as given: a minority of outliers, however large, moves them little.

    Args:
        centre: In units of the target.
        scale: As ``centre``, positive.

    Example:
        >>> kind = Regression(centre=10.0, scale=2.0)
        >>> outputs, labels = torch.tensor([[0.5], [0.0]]), torch.tensor([11.0, 14.0])
        >>> kind.loss(outputs, labels).tolist(), kind.predict(outputs, labels).tolist()
        ([0.0, 4.0], [11.0, 10.0])
    """

    centre: float = 0.0
    scale: float = 1.0

    name: ClassVar[str] = "regression"
    metrics: ClassVar[tuple[Metric, ...]] = ("r2", "mae")
    noise_kinds: ClassVar[tuple[str, ...]] = ("outliers", "shuffle")
    needs_raw_inputs: ClassVar[bool] = False

    def fitted(self, train: Examples) -> Regression:
        """Measure centre and scale on the training targets, robustly."""
        labels = train.labels.double()
        centre = labels.median()
        scale = _NORMAL * (labels - centre).abs().median()
        if not float(scale) > 0:
            # More than half of the targets are equal.
            scale = labels.std(correction=0)
        return replace(self, centre=float(centre), scale=float(scale) if float(scale) > 0 else 1.0)

    def check_examples(self, examples: Examples, num_classes: int, *, where: str) -> None:
        """Check that labels are numbers.

        Args:
            examples: Of one part.
            num_classes: Must be 1: one output.
            where: Which part of which data, for messages.

        Raises:
            DataError: If they are not finite floating-point numbers, one each.
        """
        labels = examples.labels
        if not labels.is_floating_point() or labels.ndim != 1 or num_classes != 1:
            raise DataError(
                f"a regression has floating-point labels of shape (n,) and one output; {where} has "
                f"{labels.dtype} of shape {tuple(labels.shape)} and {num_classes} outputs"
            )
        if not bool(torch.isfinite(labels).all()):
            wrong = int(torch.nonzero(~torch.isfinite(labels))[0])
            raise DataError(
                f"the target of {examples.identifier(wrong)} in {where} is not finite; remove the row"
            )

    def check_training_part(self, train: Examples, num_classes: int, *, where: str) -> None:
        """Check that the targets are not all equal.

        Args:
            train: The training part.
            num_classes: 1.
            where: The data, for messages.

        Raises:
            DataError: If they are.
        """
        del num_classes
        if float(train.labels.max()) == float(train.labels.min()):
            raise DataError(f"all targets of the training part of {where} are equal; nothing can be learned")

    def output_shape(self, input_shape: Sequence[int], num_classes: int) -> tuple[int, ...]:
        """Give ``(1,)``."""
        del input_shape, num_classes
        return (1,)

    def loss(self, outputs: Tensor, labels: Tensor) -> Float[Tensor, " b"]:
        """Compute ``(output - (label - centre) / scale)^2``."""
        return (outputs[:, 0] - self._standardised(labels, outputs)).square()

    def predict(self, outputs: Tensor, labels: Tensor) -> Float[Tensor, " b"]:
        """Give predictions in the units of the target, float64."""
        del labels
        return outputs[:, 0].double() * self.scale + self.centre

    def credit(self, predictions: Tensor, labels: Tensor) -> Float[Tensor, " b"]:
        """Give ``1 - |error| / scale``: linear in the error.

        Two networks differ on an example by no more than their predictions do, however far off its target
        is: outliers among the held-out examples cannot decide a comparison, as they would with squares.

        Args:
            predictions: In units of the target.
            labels: As given.

        Returns:
            At most 1; 0 for an error of one robust standard deviation of the targets.
        """
        return 1.0 - (predictions.double() - labels.double()).abs() / self.scale

    def score(self, predictions: Tensor, labels: Tensor, metric: Metric, *, num_classes: int) -> float:
        """Compute the coefficient of determination, or the mean absolute error in units of the target.

        Args:
            predictions: Shape ``(n,)``.
            labels: Shape ``(n,)``.
            metric: ``"r2"`` or ``"mae"``.
            num_classes: Not used.

        Returns:
            R^2, at most 1 and 0 for the mean of these very labels; or an error, at least 0.
        """
        del num_classes
        error = predictions.double() - labels.double()
        if metric == "mae":
            return float(error.abs().mean())
        spread = (labels.double() - labels.double().mean()).square().sum()
        return 1.0 - float(error.square().sum() / spread) if float(spread) > 0 else float("nan")

    def as_classification(self, outputs: Tensor, labels: Tensor) -> None:
        """Give None: a number has no classes."""
        del outputs, labels

    def groups(self, labels: Tensor) -> Int64[Tensor, " n"]:
        """Put all examples into one group."""
        return torch.zeros(len(labels), dtype=torch.int64, device=labels.device)

    def num_groups(self, num_classes: int) -> int:
        """Give 1."""
        del num_classes
        return 1

    def differs(self, labels: Tensor, others: Tensor) -> Bool[Tensor, " n"]:
        """Tell where two targets are not equal."""
        return labels != others

    def corrupt(self, examples: Examples, rate: float, kind: str, *, num_classes: int, seed: int) -> Examples:
        """Make a share of the targets wrong.

        Args:
            examples: With right targets.
            rate: Share, in [0, 1].
            kind: ``"outliers"`` moves a target up or down by 3 to 6 robust standard deviations (uniformly);
                ``"shuffle"`` gives it the target of another chosen example.
            num_classes: Not used.
            seed: Of the choice.

        Returns:
            Examples with exactly ``round(rate n)`` targets changed; ties among shuffled ones may leave fewer.
        """
        del num_classes
        generator = torch.Generator().manual_seed(seed)
        labels = examples.labels
        chosen = torch.randperm(len(labels), generator=generator)[: round(rate * len(labels))]
        noisy = labels.clone()
        if kind == "shuffle":
            # A cyclic shift of a random order: no example keeps its own target.
            noisy[chosen] = labels[chosen.roll(1)]
        else:
            low, high = OUTLIER_SHIFT
            size = low + (high - low) * torch.rand(len(chosen), generator=generator, dtype=torch.float64)
            sign = 2.0 * torch.randint(0, 2, (len(chosen),), generator=generator) - 1.0
            scale = self.fitted(examples).scale
            noisy[chosen] = labels[chosen] + (sign * size * scale).to(labels.dtype)
        return examples.with_labels(noisy)

    def show_label(self, label: Tensor, class_names: Sequence[str]) -> str:
        """Write the number with five digits."""
        del class_names
        return f"{float(label):.5g}"

    def show_prediction(self, prediction: Tensor, class_names: Sequence[str]) -> str:
        """Write the number with five digits."""
        return self.show_label(prediction, class_names)

    def to_dict(self) -> dict[str, Any]:
        """List name, centre and scale."""
        return {"name": self.name, "centre": self.centre, "scale": self.scale}

    def _standardised(self, labels: Tensor, like: Tensor) -> Float[Tensor, " b"]:
        return ((labels - self.centre) / self.scale).to(like.dtype)
