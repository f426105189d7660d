"""Half-space form: every neuron oriented into one half-space, the rest a linear skip connection."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.networks import ReLUNetwork
from localmin.realization.assignments import bottleneck_assignment
from localmin.realization.invariants import invariants
from localmin.realization.inverse_stability import SHARP_CONSTANT
from localmin.realization.normal_form import balanced
from localmin.realization.seminorm import SeminormDistance, seminorm_distance

__all__ = ["HalfSpaceForm", "HalfSpaceStability", "half_space_form", "half_space_stability"]


@dataclass(frozen=True, eq=False)
class HalfSpaceForm:
    """Hold ``f(x) = sum_i c_i relu(<w_i, x> + b_i) + skip x + constant``, oriented and balanced.

    The last coordinate of every ``w_i`` that is not zero is positive, and no two neurons share a
    hyperplane, so a function has one such form up to the order of its neurons.

    Args:
        weights: Rows ``w_i``, shape ``(K, d)``.
        biases: ``b_i``, shape ``(K,)``.
        outputs: Rows ``c_i``, shape ``(K, D)``; ``max|c_i| = max|(w_i, b_i)|``.
        skip: Shape ``(D, d)``.
        constant: Shape ``(D,)``.
    """

    weights: Float[Tensor, "K d"]
    biases: Float[Tensor, " K"]
    outputs: Float[Tensor, "K outputs"]
    skip: Float[Tensor, "outputs d"]
    constant: Float[Tensor, " outputs"]

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n outputs"]:
        """Evaluate on rows."""
        return torch.relu(x @ self.weights.T + self.biases) @ self.outputs + x @ self.skip.T + self.constant


@dataclass(frozen=True, eq=False)
class HalfSpaceStability:
    """Distances of two half-space forms, against what the distance of the functions allows.

    Args:
        neuron_distance: Largest change of a parameter of a neuron, best assignment.
        neuron_bound: ``2 sqrt(2) sqrt(epsilon max(1, T))``.
        skip_distance: Largest change of an entry of the skip connection.
        skip_bound: ``epsilon``.
        epsilon: Semi-norm of the difference of the functions.
        largest_offset: ``T``, the largest ``|b| / max|w|`` of a neuron.
        holds: Both distances are within their bounds, up to the resolution of epsilon.
    """

    neuron_distance: float
    neuron_bound: float
    skip_distance: float
    skip_bound: float
    epsilon: SeminormDistance
    largest_offset: float
    holds: bool

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain lists and numbers."""
        return {**vars(self), "epsilon": self.epsilon.to_dict()}


def half_space_form(network: ReLUNetwork | nn.Module) -> HalfSpaceForm:
    """Orient all neurons into one half-space, by ``relu(-t) = relu(t) - t``.

    Args:
        network: At most one hidden layer, with or without biases.

    Returns:
        The same function, float64.

    Source:
        Derived here.

    Example:
        >>> form = half_space_form(ReLUNetwork([torch.tensor([[-1.0]]), torch.tensor([[1.0]])]))
        >>> form.weights.tolist(), form.skip.tolist()  # relu(-x) = relu(x) - x
        ([[1.0]], [[-1.0]])
    """
    found = invariants(network)
    directions, outputs = balanced(found.lifted_normals, found.jumps)
    return HalfSpaceForm(
        weights=directions[:, :-1].contiguous(),
        biases=directions[:, -1].contiguous(),
        outputs=outputs,
        skip=(found.linear - found.jumps.T @ found.normals) / 2,
        constant=(found.constant - found.jumps.T @ found.offsets) / 2,
    )


def half_space_stability(
    a: ReLUNetwork | nn.Module, b: ReLUNetwork | nn.Module, *, max_work: int = 100_000_000
) -> HalfSpaceStability:
    """Bound the distance of half-space forms by the distance of the functions on the data space.

    Unlike the lift, this form is stable in the semi-norm over the inputs themselves: neurons differ by at
    most ``2 sqrt(2) sqrt(epsilon max(1, T))`` and skips by at most ``epsilon``.

    Args:
        a: First network, at most one hidden layer.
        b: Second network, same sizes.
        max_work: As in `seminorm_distance`.

    Returns:
        Distances and bounds. If epsilon is not exact, its upper bound is used.

    Source:
        Derived here.

    Cost:
        `seminorm_distance` and one bottleneck assignment.

    Example:
        >>> one, two = torch.ones(1, 1), 4 * torch.ones(1, 1)
        >>> found = half_space_stability(ReLUNetwork([one, one]), ReLUNetwork([two, one]))
        >>> found.neuron_distance, found.epsilon.value, found.holds
        (1.0, 3.0, True)
    """
    first, second = half_space_form(a), half_space_form(b)
    epsilon = seminorm_distance(a, b, max_work=max_work)
    size = max(len(first.weights), len(second.weights))
    mine, yours = _rows(first, size), _rows(second, size)
    _, neuron_distance = bottleneck_assignment(torch.cdist(mine, yours, p=float("inf")))
    skip_distance = float((first.skip - second.skip).abs().max()) if first.skip.numel() else 0.0
    largest_offset = max(_largest_offset(first), _largest_offset(second))
    factor = max(1.0, largest_offset)
    neuron_bound = SHARP_CONSTANT * math.sqrt(epsilon.upper * factor)
    rounding = SHARP_CONSTANT * math.sqrt(epsilon.resolution * factor)
    return HalfSpaceStability(
        neuron_distance=neuron_distance,
        neuron_bound=neuron_bound,
        skip_distance=skip_distance,
        skip_bound=epsilon.upper,
        epsilon=epsilon,
        largest_offset=largest_offset,
        holds=neuron_distance <= neuron_bound + rounding
        and skip_distance <= epsilon.upper + epsilon.resolution,
    )


def _rows(form: HalfSpaceForm, size: int) -> Tensor:
    rows = torch.cat([form.weights, form.biases[:, None], form.outputs], dim=1)
    return torch.nn.functional.pad(rows, (0, 0, 0, size - len(rows)))


def _largest_offset(form: HalfSpaceForm) -> float:
    if form.weights.numel() == 0:
        return 0.0
    return float((form.biases.abs() / form.weights.abs().amax(dim=1)).max())
