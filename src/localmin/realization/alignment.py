"""Align two networks of one architecture: permute and rescale the neurons of one to match the other."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.realization.neurons import as_network

__all__ = ["Alignment", "align", "loss_along_path"]

# A pass that gains less than this, relative to the distance, is the last one.
_GAIN_RELATIVE = 1e-6


@dataclass(frozen=True, eq=False)
class Alignment:
    """A network of the same function as the second one, near the first one.

    Args:
        network: The second network with its hidden neurons permuted and rescaled, float64.
        permutations: For each hidden layer and each slot the neuron of the second network that went there.
        distance_before: Euclidean distance of all parameters of the two networks.
        distance_after: The same after the alignment. The smallest possible is not claimed.
        num_rounds: Passes over the layers until one gained less than a millionth, or the limit.
    """

    network: ReLUNetwork
    permutations: tuple[Int[Tensor, " width"], ...]
    distance_before: float
    distance_after: float
    num_rounds: int

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain lists and numbers, without the network."""
        return {
            "permutations": [order.tolist() for order in self.permutations],
            "distance_before": self.distance_before,
            "distance_after": self.distance_after,
            "num_rounds": self.num_rounds,
        }


def align(
    reference: ReLUNetwork | nn.Module, network: ReLUNetwork | nn.Module, *, max_rounds: int = 50
) -> Alignment:
    """Permute and rescale the hidden neurons of a network towards a reference, layer by layer.

    In each pass every hidden layer is matched with its neighbours held fixed: for each pair of neurons
    the best positive scale minimises ``|s a' - a|^2 + |c' / s - c|^2`` exactly (a quartic), and a linear
    assignment of these costs gives the permutation. Each step lowers the distance, so the passes end; the
    end need not be the nearest network of all.

    Args:
        reference: Stays as it is.
        network: Same widths; both with or both without biases.
        max_rounds: Most passes over the layers.

    Returns:
        The aligned network, the same function as ``network`` up to rounding.

    Raises:
        ShapeError: If widths differ.
        InputError: If only one has biases.

    Source:
        Layer-wise matching in the manner of [ainsworth2022]; the scaling step is derived here.

    Cost:
        One linear assignment of the layer's width for each layer and pass.

    Example:
        >>> reference = ReLUNetwork([torch.tensor([[1.0], [-1.0]]), torch.tensor([[2.0, 3.0]])])
        >>> moved = ReLUNetwork([torch.tensor([[-4.0], [1.0]]), torch.tensor([[0.75, 2.0]])])
        >>> found = align(reference, moved)
        >>> found.permutations[0].tolist(), found.distance_after < 1e-9
        ([1, 0], True)
    """
    first, second = as_network(reference), as_network(network)
    if first.widths != second.widths:
        raise ShapeError(f"expected two networks of the same widths, got {first.widths} and {second.widths}")
    if (first.biases is None) != (second.biases is None):
        raise InputError("expected both networks with biases or both without")
    goal, moved = _layers(first), _layers(second)
    permutations = [torch.arange(width) for width in first.widths[1:-1]]
    distance_before = _distance(goal, moved)
    distance, num_rounds, is_moving = distance_before, 0, True
    while is_moving and num_rounds < max_rounds:
        num_rounds += 1
        for layer in range(len(goal) - 1):
            columns = _match_layer(goal, moved, layer)
            permutations[layer] = permutations[layer][columns]
        previous, distance = distance, _distance(goal, moved)
        is_moving = distance < previous * (1 - _GAIN_RELATIVE)
    weights = [rows[:, :-1].contiguous() for rows in moved]
    biases = [rows[:, -1].contiguous() for rows in moved]
    aligned = ReLUNetwork(weights, None if second.biases is None else biases)
    return Alignment(aligned, tuple(permutations), distance_before, distance, num_rounds)


def loss_along_path(
    start: ReLUNetwork | nn.Module,
    end: ReLUNetwork | nn.Module,
    loss: Callable[[ReLUNetwork], float],
    *,
    num_points: int = 11,
) -> Float[Tensor, " points"]:
    """Evaluate a loss on the straight line between the parameters of two networks.

    Args:
        start: First network.
        end: Network with the same layers.
        loss: Loss of a float64 network.
        num_points: Points, both ends included, at least 2.

    Returns:
        The losses, float64.

    Raises:
        ShapeError: If the layers differ.
        InputError: If there are fewer than two points.

    Example:
        >>> ends = [ReLUNetwork([torch.tensor([[value]])]) for value in (0.0, 2.0)]
        >>> loss_along_path(*ends, lambda net: float(net.weights[0]) ** 2, num_points=3).tolist()
        [0.0, 1.0, 4.0]
    """
    if num_points < 2:
        raise InputError(f"expected at least two points, got {num_points}")
    first, second = (as_network(net).to(dtype=torch.float64, device="cpu") for net in (start, end))
    if [p.shape for p in first.parameters()] != [p.shape for p in second.parameters()]:
        raise ShapeError(f"expected the same layers, got widths {first.widths} and {second.widths}")
    a, b = first.parameter_vector().detach(), second.parameter_vector().detach()
    shares = torch.linspace(0, 1, num_points, dtype=torch.float64)
    losses = [loss(first.with_parameter_vector((1 - t) * a + t * b)) for t in shares]
    return torch.tensor(losses, dtype=torch.float64)


def _layers(network: ReLUNetwork) -> list[Tensor]:
    network = network.to(dtype=torch.float64, device="cpu")
    return [
        torch.cat([weight.detach(), bias.detach()[:, None]], dim=1)
        for weight, bias in zip(network.weights, network.bias_vectors, strict=True)
    ]


def _distance(first: list[Tensor], second: list[Tensor]) -> float:
    return math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(first, second, strict=True)))


def _match_layer(goal: list[Tensor], moved: list[Tensor], layer: int) -> Tensor:
    """Match one hidden layer in place; give the order in which its neurons were taken."""
    inner, outer = goal[layer], goal[layer + 1][:, :-1].T
    new_inner, new_outer = moved[layer], moved[layer + 1][:, :-1].T
    inner_cross, outer_cross = inner @ new_inner.T, outer @ new_outer.T
    inner_size, outer_size = new_inner.square().sum(dim=1), new_outer.square().sum(dim=1)
    scales = _best_scales(inner_size, inner_cross, outer_size, outer_cross)
    # Terms that do not depend on the matching are left out.
    costs = (
        scales**2 * inner_size - 2 * scales * inner_cross + outer_size / scales**2 - 2 * outer_cross / scales
    )
    _, chosen = linear_sum_assignment(costs.numpy())
    columns = torch.from_numpy(chosen)
    scale = scales[torch.arange(len(columns)), columns]
    following = moved[layer + 1].clone()
    following[:, :-1] = (new_outer[columns] / scale[:, None]).T
    moved[layer], moved[layer + 1] = new_inner[columns] * scale[:, None], following
    return columns


def _best_scales(inner_size: Tensor, inner_cross: Tensor, outer_size: Tensor, outer_cross: Tensor) -> Tensor:
    # Minimise s^2 p - 2 s q + r / s^2 - 2 t / s over s > 0 for every pair: the derivative times s^3 / 2 is
    # p s^4 - q s^3 + t s - r, and the smallest value among its positive roots is the minimum.
    is_live = (inner_size > 0) & (outer_size > 0)
    p = torch.where(is_live, inner_size, 1.0).expand_as(inner_cross)
    r = torch.where(is_live, outer_size, 1.0).expand_as(inner_cross)
    # The companion matrix of the quartic, in units where p = r = 1 to keep it well scaled.
    unit = (r / p) ** 0.25
    q, t = inner_cross / (p * unit), outer_cross * unit / r
    companion = torch.zeros(*q.shape, 4, 4, dtype=torch.float64)
    companion[..., 1, 0] = companion[..., 2, 1] = companion[..., 3, 2] = 1.0
    companion[..., 0, 3], companion[..., 1, 3], companion[..., 3, 3] = 1.0, -t, q
    roots = torch.linalg.eigvals(companion)
    real = roots.real.clamp_min(1e-12)
    values = real**2 - 2 * real * q[..., None] + 1 / real**2 - 2 * t[..., None] / real
    is_root = (roots.real > 0) & (roots.imag.abs() <= 1e-6 * roots.real)
    best = torch.where(is_root, values, float("inf")).argmin(dim=-1, keepdim=True)
    scales = real.gather(-1, best)[..., 0] * unit
    return torch.where(is_live.expand_as(scales), scales, 1.0)
