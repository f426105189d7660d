"""Projection onto the smallest weights with the same outputs; balance of incoming and outgoing norms."""

from dataclasses import dataclass
from typing import Generic

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.model_reading import ModelT, read_model, read_points

__all__ = ["Projection", "balance", "balanced", "minimal_norm_layer", "project", "projected", "settled_once"]

RANK_TOLERANCE_RELATIVE = 1e-11
# Before another projection a full balance would be wasted.
_ROUGH_SWEEPS = 10


@dataclass(frozen=True)
class Projection(Generic[ModelT]):
    """Result of `project`.

    Attributes:
        network: Model of the kind that was given.
        norm_before: Squared norm of all parameters before.
        norm_after: Squared norm after.
        max_output_change: Largest absolute change of an output on the points, before storing in the
            model's dtype.
        ranks: Numerical rank of the activations (with the bias column) that feed each layer.
    """

    network: ModelT
    norm_before: float
    norm_after: float
    max_output_change: float
    ranks: tuple[int, ...]


def project(
    model: ModelT, x: Float[Tensor, "n inputs"], *, rank_tolerance_relative: float = RANK_TOLERANCE_RELATIVE
) -> Projection[ModelT]:
    """Replace every layer by the smallest with the same pre-activations, ``W_l = Z_l (Z_{l-1}^s)^+``.

    What is removed from the weights acts on no point of ``x``; it only costs norm. Off the points the
    function changes.

    Args:
        model: As in `read_model`.
        x: Points, shape ``(n, n_0)``.
        rank_tolerance_relative: Singular values of the activations below this share of the largest count
            as zero. Raise it if the result reports a large output change.

    Returns:
        The projected model with norms and output change.

    Source:
        Jacot, Golikov, Hongler, Gabriel 2022, Proposition 1. Deviation: the formula is read with the
        pseudo-inverse of layer l-1, as the shapes demand.

    Cost:
        One singular value decomposition ``(n, n_l + 1)`` for each layer; deterministic.

    Example:
        >>> network = HomogeneousNetwork((torch.tensor([[3.0, 4.0]]).double(),), (None,), ())
        >>> from localmin.networks import DeepLinear
        >>> project(DeepLinear([torch.tensor([[3.0, 4.0]])]), torch.tensor([[2.0, 0.0]])).norm_after
        9.0
    """
    reading = read_model(model)
    points = read_points("x", x, reading)
    network, ranks = projected(reading.network, points, rank_tolerance_relative)
    change = (network(points) - reading.network(points)).abs().max()
    return Projection(
        reading.rebuild(network), reading.network.squared_norm, network.squared_norm, float(change), ranks
    )


def projected(
    network: HomogeneousNetwork,
    points: Float[Tensor, "n inputs"],
    rank_tolerance_relative: float = RANK_TOLERANCE_RELATIVE,
) -> tuple[HomogeneousNetwork, tuple[int, ...]]:
    """Project every layer; the trusting twin of `project`.

    Args:
        network: Network in float64.
        points: Float64 rows.
        rank_tolerance_relative: As in `project`.

    Returns:
        The projected network, and the rank of the activations that feed each layer.
    """
    preactivations = network.preactivations(points)
    incoming, layers, ranks = points, {}, []
    for layer, targets in enumerate(preactivations, start=1):
        with_bias = network.biases[layer - 1] is not None
        weight, bias, rank = minimal_norm_layer(incoming, targets, with_bias, rank_tolerance_relative)
        layers[layer] = (weight, bias)
        ranks.append(rank)
        if layer < network.depth:
            incoming = network.activate(layer, targets)
    return network.with_layers(layers), tuple(ranks)


def minimal_norm_layer(
    incoming: Float[Tensor, "n inputs"],
    targets: Float[Tensor, "n outputs"],
    with_bias: bool,
    rank_tolerance_relative: float = RANK_TOLERANCE_RELATIVE,
) -> tuple[Float[Tensor, "outputs inputs"], Float[Tensor, " outputs"] | None, int]:
    """Solve ``incoming Wᵀ + b = targets`` for the smallest ``(W, b)``, in the least-squares sense.

    Args:
        incoming: Activations, shape ``(n, n_{l-1})``.
        targets: Pre-activations, shape ``(n, n_l)``.
        with_bias: Whether the layer has a bias; its square counts in the norm.
        rank_tolerance_relative: As in `project`.

    Returns:
        Weight, bias or None, and the numerical rank used.
    """
    augmented = torch.cat([incoming, incoming.new_ones(incoming.shape[0], 1)], 1) if with_bias else incoming
    if augmented.shape[1] == 0:
        return targets.new_zeros(targets.shape[1], 0), None, 0
    left, values, right = torch.linalg.svd(augmented, full_matrices=False)
    rank = int((values > rank_tolerance_relative * values[0]).sum())
    solution = right[:rank].T @ ((left[:, :rank].T @ targets) / values[:rank, None])
    if not with_bias:
        return solution.T.contiguous(), None, rank
    return solution[:-1].T.contiguous(), solution[-1].clone(), rank


def balance(model: ModelT, *, tolerance_relative: float = 1e-12, max_sweeps: int = 1000) -> ModelT:
    """Rescale every hidden neuron so that its incoming and outgoing weights have the same norm.

    The function stays the same everywhere, and the norm of all parameters becomes the smallest that
    rescaling can reach. A neuron with nothing coming in, or nothing going out, is set to zero.

    Args:
        model: As in `read_model`; the bias of a neuron counts as incoming.
        tolerance_relative: Stop when no neuron is scaled by more than this.
        max_sweeps: Limit on passes through the layers.

    Returns:
        Model of the same kind.

    Source:
        Derived here: at stationary points of an L2-regularised homogeneous network both norms are equal.

    Cost:
        One pass over the parameters a sweep; few sweeps.

    Example:
        >>> from localmin.networks import ReLUNetwork
        >>> balanced = balance(ReLUNetwork([torch.tensor([[4.0]]), torch.tensor([[1.0]])]))
        >>> [weight.item() for weight in balanced.weights]
        [2.0, 2.0]
    """
    reading = read_model(model)
    return reading.rebuild(balanced(reading.network, tolerance_relative, max_sweeps))


def balanced(
    network: HomogeneousNetwork, tolerance_relative: float = 1e-12, max_sweeps: int = 1000
) -> HomogeneousNetwork:
    """Balance every neuron; the trusting twin of `balance`.

    Args:
        network: Network in float64.
        tolerance_relative: As in `balance`.
        max_sweeps: As in `balance`.

    Returns:
        The balanced network.
    """
    for _ in range(max_sweeps):
        largest = 0.0
        for layer in range(1, network.depth):
            network, change = _balance_layer(network, layer)
            largest = max(largest, change)
        if largest <= tolerance_relative:
            break
    return network


def settled_once(network: HomogeneousNetwork, points: Float[Tensor, "n inputs"]) -> HomogeneousNetwork:
    """Balance the neurons roughly, then give every layer its smallest weights; lowers the norm.

    Args:
        network: Network in float64.
        points: Float64 rows on which the outputs stay.

    Returns:
        The new network.
    """
    return projected(balanced(network, 1e-6, _ROUGH_SWEEPS), points)[0]


def _balance_layer(network: HomogeneousNetwork, layer: int) -> tuple[HomogeneousNetwork, float]:
    incoming = network.incoming_norms_squared(layer).sqrt()
    outgoing = network.weights[layer].norm(dim=0)
    alive = (incoming > 0) & (outgoing > 0)
    scale = torch.where(alive, (outgoing / incoming).sqrt(), 0.0)
    inverse = torch.where(alive, 1 / scale, 0.0)
    bias = network.biases[layer - 1]
    change = float((scale[alive] - 1).abs().max()) if bool(alive.any()) else 0.0
    scaled = network.with_layers(
        {
            layer: (network.weights[layer - 1] * scale[:, None], None if bias is None else bias * scale),
            layer + 1: (network.weights[layer] * inverse, network.biases[layer]),
        }
    )
    return scaled, change
