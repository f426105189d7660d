"""Examples in memory: an input tensor, one label each, and where each came from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from localmin.errors import DataError, ShapeError

__all__ = ["Examples"]

_LABEL_SHAPES = {torch.int64: (1, 2), torch.float32: (1,), torch.float64: (1,)}


@dataclass(frozen=True, eq=False)
class Examples:
    """Hold n examples as tensors that the training loop indexes directly.

    Images stay 8-bit and are scaled to floating point one batch at a time
    (see `Normalization`); everything else is floating point.

    Args:
        inputs: Shape ``(n, ...)``. Images: uint8 ``(n, channels, height, width)``;
            tables: float32 ``(n, num_features)``; tokens: integers ``(n, length)``. May be memory-mapped.
        labels: Classes, shape ``(n,)``, int64, each in ``[0, num_classes)``; targets of a regression, shape
            ``(n,)``, floating point; or next tokens, shape ``(n, length)``, int64. The kind of the task
            says which.
        identifiers: One name per example (a file), or None for the number of its row.
        rows: Row of each example in what it was taken from, shape ``(n,)``, int64; None is 0, 1, ...
            `subset` keeps it, so that row 17 of a file is called that in every part.

    Raises:
        ShapeError: If the lengths differ or the labels are of another type.
        DataError: If a floating-point input is NaN or infinite.

    Example:
        >>> import torch
        >>> examples = Examples(torch.zeros(3, 2), torch.tensor([0, 1, 0]))
        >>> len(examples), examples.subset(torch.tensor([1])).labels.tolist()
        (3, [1])
    """

    inputs: Tensor
    labels: Shaped[Tensor, "n ..."]
    identifiers: tuple[str, ...] | None = None
    rows: Int64[Tensor, " n"] | None = None

    def __post_init__(self) -> None:
        shapes = _LABEL_SHAPES.get(self.labels.dtype, ())
        if self.labels.ndim not in shapes:
            raise ShapeError(
                "labels must be an int64 tensor of shape (n,) (classes) or (n, length) (tokens), or a "
                f"floating-point tensor of shape (n,) (a regression), got {self.labels.dtype} of shape "
                f"{tuple(self.labels.shape)}; class names can be turned into integers with numpy.unique"
            )
        if len(self.inputs) != len(self.labels):
            raise ShapeError(f"{len(self.inputs)} inputs but {len(self.labels)} labels; one label per input")
        if self.identifiers is not None and len(self.identifiers) != len(self.labels):
            raise ShapeError(f"{len(self.identifiers)} identifiers for {len(self.labels)} examples")
        if self.rows is not None and self.rows.shape != self.labels.shape[:1]:
            raise ShapeError(f"{len(self.rows)} row numbers for {len(self.labels)} examples")
        self._check_finite()

    def _check_finite(self) -> None:
        if not self.inputs.is_floating_point():
            return
        # One sum finds a problem at the price of one pass; the rows are only looked up when there may be one:
        # the sum of huge finite numbers overflows too.
        if len(self.inputs) == 0 or bool(torch.isfinite(self.inputs.sum())):
            return
        rows = torch.nonzero(~torch.isfinite(self.inputs).reshape(len(self.inputs), -1).all(1)).flatten()
        if len(rows) == 0:
            return
        raise DataError(
            f"{len(rows)} of {len(self)} examples have NaN or infinite features, the first is "
            f"{self.identifier(int(rows[0]))}; remove or fill them before reading the data"
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_image(self) -> bool:
        """Whether inputs are 8-bit images of shape ``(n, channels, height, width)``."""
        return self.inputs.dtype == torch.uint8 and self.inputs.ndim == 4

    def identifier(self, index: int) -> str:
        """Name example ``index``: its file where known, the number of its row (from 0) otherwise."""
        if self.identifiers is not None:
            return self.identifiers[index]
        return f"row {index if self.rows is None else int(self.rows[index])}"

    def subset(self, indices: Int64[Tensor, " m"]) -> Examples:
        """Take the examples at ``indices`` (int64, shape ``(m,)``), in that order."""
        names = self.identifiers
        kept = None if names is None else tuple(names[i] for i in indices.tolist())
        rows = indices.cpu() if self.rows is None else self.rows[indices.cpu()]
        return Examples(self.inputs[indices], self.labels[indices], kept, rows)

    def with_labels(self, labels: Shaped[Tensor, "n ..."]) -> Examples:
        """Give the same examples other labels."""
        return replace(self, labels=labels)

    def to(self, device: torch.device) -> Examples:
        """Move inputs and labels to a device."""
        return replace(self, inputs=self.inputs.to(device), labels=self.labels.to(device))
