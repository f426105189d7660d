"""Values of an objective along lines and planes through its point, for pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.objective import Objective

__all__ = ["LineSlice", "PlaneSlice", "line_slice", "plane_slice"]


@dataclass(frozen=True)
class LineSlice:
    """Values ``f(θ + t v)``.

    Args:
        steps: ``t``, in units of the length of ``v``, which is normalised to 1.
        values: The values.
        slope: ``∇f · v``.
        curvature: ``vᵀ H v``; the parabola ``f + t slope + ½ t² curvature`` touches the slice at 0.
    """

    steps: tuple[float, ...]
    values: tuple[float, ...]
    slope: float
    curvature: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        return {name: list(part) if isinstance(part, tuple) else part for name, part in vars(self).items()}


@dataclass(frozen=True)
class PlaneSlice:
    """Values ``f(θ + s u + t v)`` for orthonormal ``u`` and ``v``.

    Args:
        first_steps: ``s``.
        second_steps: ``t``.
        values: One row for each ``s``, one entry for each ``t``.
    """

    first_steps: tuple[float, ...]
    second_steps: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        return {
            "first_steps": list(self.first_steps),
            "second_steps": list(self.second_steps),
            "values": [list(row) for row in self.values],
        }


def line_slice(objective: Objective, direction: Float[Tensor, " n"], steps: Sequence[float]) -> LineSlice:
    """Evaluate the objective along a line through its point.

    Args:
        objective: Stands at the point.
        direction: Shape ``(n,)``, not zero; it is normalised.
        steps: Signed lengths.

    Returns:
        Values with slope and curvature at the point.

    Raises:
        InputError: If the direction is zero or not finite.

    Cost:
        One value for each step, one gradient, one Hessian-vector product.

    Example:
        >>> bowl = Objective.from_function(lambda p: (p**2).sum(), torch.ones(2, dtype=torch.float64))
        >>> line = line_slice(bowl, torch.tensor([2.0, 0.0]), [-1.0, 0.0, 1.0])
        >>> line.values, line.slope, line.curvature
        ((1.0, 2.0, 5.0), 2.0, 2.0)
    """
    point = objective.point.double()
    unit = _normalised(direction.to(point))
    slope = float(objective.gradient().double() @ unit)
    curvature = float(unit @ objective.hvp(unit).double())
    values = tuple(objective.value_at(point + step * unit) for step in steps)
    return LineSlice(tuple(float(step) for step in steps), values, slope, curvature)


def plane_slice(
    objective: Objective,
    first: Float[Tensor, " n"],
    second: Float[Tensor, " n"],
    first_steps: Sequence[float],
    second_steps: Sequence[float],
) -> PlaneSlice:
    """Evaluate the objective on a plane through its point.

    Args:
        objective: Stands at the point.
        first: Direction ``u``, shape ``(n,)``; it is normalised.
        second: Direction ``v``; its part along ``u`` is taken out, then it is normalised.
        first_steps: Signed lengths along ``u``.
        second_steps: Signed lengths along ``v``.

    Returns:
        The values.

    Raises:
        InputError: If the directions do not span a plane.

    Cost:
        One value for each pair of steps.
    """
    point = objective.point.double()
    across = _normalised(first.to(point))
    given = _normalised(second.to(point))
    remainder = given - across * (across @ given)
    if not float(remainder.norm()) > 1e-8:
        raise InputError("expected two directions that span a plane, got parallel ones")
    along = _normalised(remainder)
    values = tuple(
        tuple(objective.value_at(point + s * across + t * along) for t in second_steps) for s in first_steps
    )
    return PlaneSlice(tuple(map(float, first_steps)), tuple(map(float, second_steps)), values)


def _normalised(direction: Tensor) -> Tensor:
    norm = float(direction.norm())
    if not (norm > 0.0 and bool(torch.isfinite(direction).all())):
        raise InputError(f"expected a direction that is finite and not zero, got one of norm {norm}")
    return direction / norm
