"""Which of the minima found on a path are one: distance, and the barrier on the straight line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from localmin.errors import InputError
from localmin.numerics.parameter_vectors import flatten_tensors, split_vector

__all__ = ["Basins", "SameBasin", "flatten", "line_barrier", "unflatten"]


@dataclass(frozen=True)
class SameBasin:
    """When two minima count as one: if they are near, or if no barrier above a height lies between them.

    Networks have flat valleys, along which a minimum can be far away without a barrier. With
    ``barrier_above`` such a minimum is the same one; without it distance alone decides.

    Args:
        within: Minima at most this far from each other are one; relative to the norm of the first.
        barrier_above: Farther ones are one too if the loss on the straight line between them rises at most
            this much above the higher end [unit of the loss]. None asks for no barrier.
        num_points: Inner points of the line, evenly spaced. Enough of them not to jump over a barrier.

    Source:
        The straight line is the usual test of linear connectivity. It bounds the lowest barrier between two
        minima from above only: a curved path may pass lower.
    """

    within: float = 0.05
    barrier_above: float | None = None
    num_points: int = 7

    def __post_init__(self) -> None:
        if not self.within > 0 or self.num_points < 1:
            raise InputError(f"expected within > 0 and num_points >= 1, got {self}")
        if self.barrier_above is not None and not self.barrier_above >= 0:
            raise InputError(f"barrier_above is None or at least 0, got {self.barrier_above!r}")


def line_barrier(
    loss: Callable[[Tensor], float], start: Tensor, end: Tensor, *, num_points: int = 7
) -> float:
    """Compute how far the loss rises above the higher end on the straight line between two points.

    Args:
        loss: Maps a point ``(d,)`` to its loss.
        start: One end ``(d,)``.
        end: The other ``(d,)``.
        num_points: Inner points, evenly spaced.

    Returns:
        The rise at the highest of the inner points, at least 0; NaN if the loss is NaN somewhere.

    Cost:
        ``num_points + 2`` evaluations.

    Example:
        >>> from localmin.langevin import DoubleWell
        >>> well = lambda x: float(DoubleWell().value(x))
        >>> line_barrier(well, torch.tensor([-1.0]), torch.tensor([1.0]))
        0.25
    """
    ends = max(loss(start), loss(end))
    fractions = [index / (num_points + 1) for index in range(1, num_points + 1)]
    inner = torch.tensor([loss(torch.lerp(start, end, fraction)) for fraction in fractions])
    return float((inner - ends).clamp(min=0).max())


@dataclass
class Basins:
    """The minima met so far, the first being number 0; the first one found in a basin stands for it.

    Args:
        rule: When two minima are one.
        loss: Maps a point ``(d,)`` to its loss.
        minima: The first minimum ``(d,)``; grows.
    """

    rule: SameBasin
    loss: Callable[[Tensor], float]
    minima: list[Tensor] = field(default_factory=list)

    def number(self, end: Tensor) -> tuple[int, float | None]:
        """Find the basin of a minimum, a new one if it is like none before.

        Args:
            end: The minimum ``(d,)``.

        Returns:
            Its number, and the barrier on the line from the first minimum, None if none was asked for.
        """
        radius = self.rule.within * (float(self.minima[0].norm()) or 1.0)
        barriers: list[float] = []
        found = None
        for index, known in enumerate(self.minima):
            near = float((end - known).norm()) <= radius
            if self.rule.barrier_above is not None and (found is None or index == 0):
                barriers.append(line_barrier(self.loss, known, end, num_points=self.rule.num_points))
                near = near or barriers[-1] <= self.rule.barrier_above
            if near and found is None:
                found = index
        if found is None:
            self.minima.append(end)
            found = len(self.minima) - 1
        return found, barriers[0] if barriers else None


def flatten(parameters: Sequence[Tensor]) -> Tensor:
    """Copy parameters into one double-precision vector."""
    return flatten_tensors(parameter.detach().double() for parameter in parameters)


def unflatten(point: Tensor, parameters: Sequence[Tensor]) -> None:
    """Copy a vector into parameters."""
    parts = split_vector(point, [parameter.shape for parameter in parameters])
    with torch.no_grad():
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.copy_(part)
