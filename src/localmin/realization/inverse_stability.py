"""Are close functions close in parameters? The inequality, with its sharp constant, for a given pair."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from localmin.networks import ReLUNetwork
from localmin.realization.nearest import NearestParametrization, nearest_parametrization
from localmin.realization.neurons import as_network
from localmin.realization.restricted_space import restricted_space_membership
from localmin.realization.seminorm import SeminormDistance, seminorm_distance

__all__ = ["SHARP_CONSTANT", "InverseStability", "inverse_stability"]

SHARP_CONSTANT = 2.0 * math.sqrt(2.0)
"""Smallest ``s`` with ``distance <= s sqrt(epsilon)`` on the restricted space (derived here)."""

_ROUNDING_SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class InverseStability:
    """Both sides of ``distance <= constant * sqrt(epsilon)`` for a pair.

    Args:
        verdict: "holds": shown for this pair, up to the resolution of epsilon. "violated": shown to fail
            for this pair, which can only happen outside the restricted space. "undecided": the bounds do
            not tell.
        applies: Both networks lie in the restricted space, where the inequality is a theorem.
        epsilon: Semi-norm of the difference of the functions, or bounds of it.
        nearest: Nearest parametrisation of the target, or bounds.
        constant: The constant of the inequality.
        bound: ``constant * sqrt(epsilon.upper)``.
        ratio: ``nearest.distance / sqrt(epsilon.value)``; infinity for equal functions at a distance, zero
            for equal parameters.
    """

    verdict: Literal["holds", "violated", "undecided"]
    applies: bool
    epsilon: SeminormDistance
    nearest: NearestParametrization
    constant: float
    bound: float
    ratio: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain lists and numbers."""
        return {**vars(self), "epsilon": self.epsilon.to_dict(), "nearest": self.nearest.to_dict()}


def inverse_stability(
    network: ReLUNetwork | nn.Module,
    target: ReLUNetwork | nn.Module,
    *,
    constant: float = SHARP_CONSTANT,
    max_work: int = 100_000_000,
) -> InverseStability:
    """Compare the distance of two functions with the distance of their parameters.

    On the restricted space (balanced, distinct directions, last two coordinates positive) every function
    ``g`` has parameters within ``2 sqrt(2) sqrt(epsilon)`` of those of ``f``, ``epsilon`` the semi-norm of
    ``f - g``; no smaller constant will do.

    Args:
        network: One hidden layer.
        target: One hidden layer, same sizes, both with or both without biases.
        constant: The paper's constant is 4 (from memory); the sharp one is the default.
        max_work: As in `seminorm_distance`.

    Returns:
        Both sides, and what they show.

    Source:
        [berner2019] for the notion and the restricted space; constant and sharpness derived here.

    Cost:
        `seminorm_distance` and `nearest_parametrization`.

    Example:
        >>> import torch
        >>> here = ReLUNetwork([torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0]])])
        >>> there = ReLUNetwork([torch.tensor([[2.0, 2.0]]), torch.tensor([[2.0]])])
        >>> answer = inverse_stability(here, there)
        >>> answer.verdict, round(answer.nearest.distance, 9), answer.epsilon.value
        ('holds', 1.0, 3.0)
    """
    first, second = as_network(network), as_network(target)
    epsilon = seminorm_distance(first, second, max_work=max_work)
    nearest = nearest_parametrization(first, second)
    distance, slack = nearest.distance, constant * (1 + _ROUNDING_SLACK)
    # Equal functions have a computed epsilon of zero, while their parameters agree up to rounding only.
    if distance <= slack * math.sqrt(epsilon.lower + epsilon.resolution):
        verdict: Literal["holds", "violated", "undecided"] = "holds"
    elif nearest.lower > slack * math.sqrt(epsilon.upper + epsilon.resolution):
        verdict = "violated"
    else:
        verdict = "undecided"
    applies = first.biases is None and first.widths[0] >= 2
    applies = applies and all(restricted_space_membership(each).is_inside for each in (first, second))
    return InverseStability(
        verdict=verdict,
        applies=applies,
        epsilon=epsilon,
        nearest=nearest,
        constant=constant,
        bound=constant * math.sqrt(epsilon.upper),
        ratio=_ratio(distance, epsilon.value),
    )


def _ratio(distance: float, epsilon: float) -> float:
    if distance == 0.0:
        return 0.0
    return distance / math.sqrt(epsilon) if epsilon > 0 else math.inf
