"""Potentials with known minima, saddles and exact answers, for experiments and tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError

__all__ = ["DoubleWell", "Potential", "Quadratic", "SheetDoubleWell"]


@runtime_checkable
class Potential(Protocol):
    """A function F of batched points and its gradient."""

    def value(self, x: Float[Tensor, "*chains d"]) -> Float[Tensor, " *chains"]:
        """Compute F."""

    def gradient(self, x: Float[Tensor, "*chains d"]) -> Float[Tensor, "*chains d"]:
        """Compute the gradient of F."""


@dataclass(frozen=True)
class Quadratic:
    """F = sum of curvature_i x_i^2 / 2.

    Args:
        curvatures: Positive curvatures, one per coordinate.

    Example:
        >>> Quadratic((1.0, 4.0)).gradient(torch.tensor([1.0, 1.0]))
        tensor([1., 4.])
    """

    curvatures: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.curvatures or min(self.curvatures) <= 0:
            raise InputError(f"curvatures must be above 0, got {self.curvatures}")

    def value(self, x: Float[Tensor, "*chains d"]) -> Float[Tensor, " *chains"]:
        """Compute F."""
        return (x * x * x.new_tensor(self.curvatures)).sum(-1) / 2

    def gradient(self, x: Float[Tensor, "*chains d"]) -> Float[Tensor, "*chains d"]:
        """Compute the gradient of F."""
        return x * x.new_tensor(self.curvatures)


@dataclass(frozen=True)
class DoubleWell:
    """F = height (x^2 - 1)^2 in one coordinate: minima at -1 and 1, saddle at 0, barrier = height.

    Args:
        height: Barrier; 1/4 gives curvature 2 in the wells and -1 at the top.

    Example:
        >>> DoubleWell().gradient(torch.tensor([2.0]))
        tensor([6.])
    """

    height: float = 0.25

    def value(self, x: Float[Tensor, "*chains 1"]) -> Float[Tensor, " *chains"]:
        """Compute F."""
        return self.height * (x[..., 0].square() - 1).square()

    def gradient(self, x: Float[Tensor, "*chains 1"]) -> Float[Tensor, "*chains 1"]:
        """Compute the gradient of F."""
        return 4 * self.height * x * (x * x - 1)


@dataclass(frozen=True)
class SheetDoubleWell:
    """F = (x^2 - 1)^2/4 + stiffness (y - slope x)^2 / 2 in two coordinates; saddle at 0, barrier 1/4.

    With the skew matrix slope [[0, 1], [-1, 0]] the first coordinate follows the one-dimensional double well
    exactly, whatever the stiffness: an exact benchmark for non-reversible exits.

    Args:
        stiffness: Curvature across the valley.
        slope: Slope of the valley floor.

    Example:
        >>> SheetDoubleWell(slope=1.0).value(torch.tensor([1.0, 1.0]))
        tensor(0.)
    """

    stiffness: float = 1.0
    slope: float = 0.0

    def value(self, x: Float[Tensor, "*chains 2"]) -> Float[Tensor, " *chains"]:
        """Compute F."""
        across = x[..., 1] - self.slope * x[..., 0]
        return (x[..., 0].square() - 1).square() / 4 + self.stiffness / 2 * across.square()

    def gradient(self, x: Float[Tensor, "*chains 2"]) -> Float[Tensor, "*chains 2"]:
        """Compute the gradient of F."""
        first, across = x[..., 0], self.stiffness * (x[..., 1] - self.slope * x[..., 0])
        return torch.stack([first * (first * first - 1) - self.slope * across, across], dim=-1)
