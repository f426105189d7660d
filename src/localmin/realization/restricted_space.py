"""The restricted parameter space on which close functions have close parameters."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.networks import ReLUNetwork
from localmin.realization.neurons import Neurons, read_neurons, to_network
from localmin.realization.normal_form import balanced
from localmin.realization.row_clusters import cluster_rows

__all__ = ["RestrictedSpaceMembership", "balance", "lift", "lift_inputs", "restricted_space_membership"]


@dataclass(frozen=True)
class RestrictedSpaceMembership:
    """Which conditions of the restricted space a network meets, with margins.

    Args:
        is_inside: All three conditions hold within the tolerance.
        is_balanced: ``max|a_i| = max|c_i|`` for every neuron.
        is_distinct: No two directions are equal.
        is_oriented: The last two coordinates of every direction that is not zero are positive.
        largest_imbalance: Largest ``|max|a_i| - max|c_i||``, relative to the larger of the two.
        smallest_coordinate: Smallest of the last two coordinates of ``a_i / max|a_i|``; it must be positive.
            Infinity without neurons.
        tolerance_relative: Tolerance of the first two conditions.
    """

    is_inside: bool
    is_balanced: bool
    is_distinct: bool
    is_oriented: bool
    largest_imbalance: float
    smallest_coordinate: float
    tolerance_relative: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain numbers."""
        return asdict(self)


def balance(network: ReLUNetwork | nn.Module) -> ReLUNetwork:
    """Rescale each hidden neuron so that ``max|a_i| = max|c_i|``, its bias being part of ``a_i``.

    A neuron with a zero factor becomes zero in both.

    Args:
        network: One hidden layer.

    Returns:
        The same function up to rounding, neurons in the same order, float64.

    Example:
        >>> balance(ReLUNetwork([torch.tensor([[2.0, 0.0]]), torch.tensor([[0.5]])])).weights[0].tolist()
        [[1.0, 0.0]]
    """
    neurons = _read_hidden(network)
    directions, outputs = balanced(neurons.directions, neurons.outputs)
    return to_network(Neurons(directions, outputs, neurons.affine, neurons.has_biases))


def restricted_space_membership(
    network: ReLUNetwork | nn.Module, *, tolerance_relative: float = 1e-12
) -> RestrictedSpaceMembership:
    """Test whether a network without biases lies in the restricted space.

    Args:
        network: One hidden layer, no biases (`lift` brings biased networks here), at least two inputs.
        tolerance_relative: Allowed imbalance, and distance at which unit directions count as equal.

    Returns:
        The conditions, one by one.

    Raises:
        InputError: If the network has a bias that is not zero, or fewer than two inputs.

    Source:
        [berner2019]; the wording of the three conditions is from memory.

    Example:
        >>> weights = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0]])
        >>> restricted_space_membership(ReLUNetwork(weights)).is_inside
        True
    """
    neurons = _read_hidden(network)
    if neurons.affine.any() or neurons.directions[:, -1].any():
        raise InputError("expected a network without biases; lift(network) turns biases into inputs")
    if neurons.num_inputs < 2:
        raise InputError(f"expected at least two inputs, got {neurons.num_inputs}")
    directions = neurons.directions[:, :-1]
    inner = directions.abs().amax(dim=1)
    outer = neurons.outputs.abs().amax(dim=1) if neurons.num_outputs else torch.zeros_like(inner)
    sizes = torch.maximum(inner, outer)
    imbalance = (inner - outer).abs() / torch.where(sizes > 0, sizes, 1.0)
    live = directions[inner > 0]
    units = live / torch.linalg.vector_norm(live, dim=1, keepdim=True)
    labels = cluster_rows(units, tolerance_relative)
    coordinates = live[:, -2:] / inner[inner > 0, None]
    worst_imbalance = float(imbalance.max()) if imbalance.numel() else 0.0
    smallest = float(coordinates.min()) if coordinates.numel() else float("inf")
    is_balanced = worst_imbalance <= tolerance_relative
    is_distinct = len(torch.unique(labels)) == len(labels)
    return RestrictedSpaceMembership(
        is_inside=is_balanced and is_distinct and smallest > 0,
        is_balanced=is_balanced,
        is_distinct=is_distinct,
        is_oriented=smallest > 0,
        largest_imbalance=worst_imbalance,
        smallest_coordinate=smallest,
        tolerance_relative=tolerance_relative,
    )


def lift(network: ReLUNetwork | nn.Module) -> ReLUNetwork:
    """Lift any two-layer network into the restricted space: same outputs on inputs ``(x, 1, -1)``.

    The neuron ``(w, b)`` becomes ``(w, max(b, 0) + k, max(-b, 0) + k)`` with ``k > 0``; one more neuron
    carries the output bias. The ``k`` differ, so that equal neurons get different directions; then all
    is balanced.

    Args:
        network: One hidden layer, ``d`` inputs and ``m`` neurons.

    Returns:
        Network without biases, ``d + 2`` inputs and ``m + 1`` neurons, float64.

    Source:
        [berner2019], the construction from memory; the choice of ``k`` is ours.

    Example:
        >>> network = ReLUNetwork([torch.tensor([[1.0]]), torch.tensor([[2.0]])],
        ...                       [torch.tensor([-1.0]), torch.tensor([0.5])])
        >>> lifted = lift(network)
        >>> lifted.widths, restricted_space_membership(lifted).is_inside
        ((3, 2, 1), True)
        >>> round(lifted(lift_inputs(torch.tensor([[3.0]], dtype=torch.float64))).item(), 12)
        4.5
    """
    neurons = _read_hidden(network)
    num_neurons = len(neurons.directions)
    weights, bias = neurons.directions[:, :-1], neurons.directions[:, -1:]
    # Relative to the neuron, so that multiples of one neuron are separated too.
    spread = 1 + torch.arange(num_neurons, dtype=torch.float64)[:, None] / max(num_neurons, 1)
    shift = neurons.directions.abs().amax(dim=1, keepdim=True) * spread
    hidden = torch.cat([weights, bias.clamp_min(0) + shift, (-bias).clamp_min(0) + shift], dim=1)
    # Constant neurons have a ratio of the last two in [1/2, 2/3) or (3/2, 2], so 3/4 is free.
    carrier = torch.zeros(1, weights.shape[1] + 2, dtype=torch.float64)
    carrier[0, -2:] = torch.tensor([4.0, 3.0])
    directions, outputs = balanced(
        torch.cat([hidden, carrier]), torch.cat([neurons.outputs, neurons.affine[None, :, -1]])
    )
    return ReLUNetwork([directions, outputs.T.contiguous()])


def lift_inputs(x: Tensor) -> Tensor:
    """Append the coordinates 1 and -1 to each row, the inputs of a lifted network.

    Args:
        x: Rows, shape ``(n, d)``.

    Returns:
        Shape ``(n, d + 2)``.
    """
    ones = x.new_ones(len(x), 1)
    return torch.cat([x, ones, -ones], dim=1)


def _read_hidden(network: ReLUNetwork | nn.Module) -> Neurons:
    neurons = read_neurons(network)
    if (neurons.affine[:, :-1] != 0).any():
        raise InputError("expected one hidden layer, got an affine network")
    return neurons
