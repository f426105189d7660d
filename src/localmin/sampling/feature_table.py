"""The features of all training examples, as one table."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from localmin.errors import InputError

__all__ = ["FeatureTable"]


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Hold n examples by k features, in float64, with what the same network predicted.

    Args:
        names: Of the columns.
        values: Shape ``(n, k)``.
        gradient: Gradient-norm bounds, shape ``(n,)``: the masses of the cgf transform.
        predictions: Most likely class, shape ``(n,)``, at the last time it was looked at.
        source: How the features came about, in words.
    """

    names: tuple[str, ...]
    values: Float[Tensor, "n k"]
    gradient: Float[Tensor, " n"]
    predictions: Int64[Tensor, " n"]
    source: str

    def column(self, name: str) -> Float[Tensor, " n"]:
        """Take one feature.

        Args:
            name: Of the column.

        Returns:
            Shape ``(n,)``.

        Raises:
            InputError: If the table has no such column.
        """
        if name not in self.names:
            raise InputError(f"no feature {name!r}; the table has {', '.join(self.names)}")
        return self.values[:, self.names.index(name)]

    def to_tensors(self) -> dict[str, Tensor]:
        """List the arrays, for safetensors."""
        return {"values": self.values, "gradient": self.gradient, "predictions": self.predictions}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], names: tuple[str, ...], source: str) -> FeatureTable:
        """Rebuild from `to_tensors`."""
        return cls(names, tensors["values"], tensors["gradient"], tensors["predictions"], source)


def table_from_sums(
    loss: Float[Tensor, " n"],
    entropy: Float[Tensor, " n"],
    gradient: Float[Tensor, " n"],
    predictions: Int64[Tensor, " n"],
    *,
    source: str,
) -> FeatureTable:
    """Build the usual table from averaged features."""
    values = torch.stack([loss, entropy, gradient], dim=1).double().cpu()
    return FeatureTable(
        ("loss", "renormed-entropy", "gradient-bound"),
        values,
        values[:, 2].clone(),
        predictions.cpu(),
        source,
    )
