"""Normal form of a two-layer ReLU network: merged, cleaned, balanced, sorted."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.networks import ReLUNetwork
from localmin.realization.group_sums import product_of_neurons, sum_groups
from localmin.realization.invariants import default_tolerance, relative_sizes
from localmin.realization.neurons import Neurons, read_neurons, row_lengths, to_network
from localmin.realization.row_clusters import cluster_rows, near_groups

__all__ = ["NormalForm", "NormalFormReport", "balanced", "normal_form", "normal_form_of"]


@dataclass(frozen=True)
class NormalFormReport:
    """What the normal form changed.

    Args:
        num_neurons_before: Neurons that came in.
        num_neurons_after: Neurons left.
        num_dead: Neurons dropped because their product ``max|c| norm(a)`` is zero or within the tolerance.
        num_constant: Neurons without weights, folded into the output bias.
        num_merged: Neurons that went into another one of the same direction.
        num_cancelled: Directions whose neurons cancel.
        tolerance_relative: Tolerance used.
        largest_merged_gap: Largest distance of a merged unit direction from the one that replaced it.
        num_near_groups: Groups of directions kept apart although neighbours in them are closer than 1000
            tolerances. Zero means that the merges would be the same for any tolerance up to that.
        smallest_near_gap: Smallest distance of two kept unit directions within those groups; infinity
            without any.
        residual: ``max|f - normal form| <= residual * norm((x, 1))``, up to rounding.
    """

    num_neurons_before: int
    num_neurons_after: int
    num_dead: int
    num_constant: int
    num_merged: int
    num_cancelled: int
    tolerance_relative: float
    largest_merged_gap: float
    num_near_groups: int
    smallest_near_gap: float
    residual: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain numbers."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class NormalForm:
    """A network in normal form, and what was done to reach it.

    Args:
        network: Two layers, float64, the same function; output bias present if the network had any bias.
        report: Counts, gaps, and the bound on the change of the function.
    """

    network: ReLUNetwork
    report: NormalFormReport


def normal_form(network: ReLUNetwork | nn.Module, *, tolerance_relative: float | None = None) -> NormalForm:
    """Compute the normal form: dead dropped, parallels merged, cancelled dropped, balanced, sorted.

    Permutation, positive rescaling, splitting and merging of neurons, dead neurons and cancelling copies
    do not change it, up to rounding. Neurons of opposite directions are kept: together they carry a
    linear part. Because such pairs can be flipped, one function can have several normal forms; to decide
    equality use `same_function`. A balanced neuron has ``max|a| = max|c|``, its hidden bias being part
    of ``a``.

    Args:
        network: At most one hidden layer, with or without biases.
        tolerance_relative: Distance of unit directions up to which neurons merge, and size relative to
            its origin up to which a neuron is dropped. By default 256 roundings of the network's dtype.

    Returns:
        The network and a report with the bound of the change.

    Raises:
        InputError: If the network has no or several hidden layers, or the tolerance is negative.

    Source:
        Derived here.

    Cost:
        ``O(m log m)`` for each input, memory linear in the network.

    Example:
        >>> first = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 4.0]])
        >>> form = normal_form(ReLUNetwork([first, torch.tensor([[1.0, -2.0, 5.0, 1.0]])]))
        >>> [weight.tolist() for weight in form.network.weights]
        [[[0.0, 2.0]], [[2.0]]]
        >>> form.report.num_dead, form.report.num_merged, form.report.num_cancelled
        (1, 1, 1)
    """
    if tolerance_relative is None:
        tolerance_relative = default_tolerance(network)
    if not tolerance_relative >= 0.0:
        raise InputError(f"expected tolerance_relative >= 0, got {tolerance_relative}")
    neurons = read_neurons(network)
    if (neurons.affine[:, :-1] != 0).any():
        raise InputError("expected one hidden layer, got an affine network; it is its own normal form")
    reduced, report = normal_form_of(neurons, tolerance_relative)
    return NormalForm(to_network(reduced), report)


def normal_form_of(neurons: Neurons, tolerance: float) -> tuple[Neurons, NormalFormReport]:
    """Compute the normal form of neurons; the trusting twin of `normal_form`.

    Args:
        neurons: Neurons; their affine part is kept and receives the constants.
        tolerance: Relative tolerance.

    Returns:
        The neurons of the normal form, and the report.
    """
    is_dead = neurons.masses == 0
    is_constant = ~is_dead & ~(neurons.directions[:, :-1] != 0).any(dim=1)
    flat = torch.relu(neurons.directions[is_constant, -1:])
    constant = product_of_neurons(neurons.outputs[is_constant], flat)[:, 0]
    affine = neurons.affine.clone()
    affine[:, -1] += constant

    live = ~is_dead & ~is_constant
    masses = neurons.masses[live]
    lengths = row_lengths(neurons.directions[live])
    units = neurons.directions[live] / lengths[:, None]
    _, labels = torch.unique(cluster_rows(units, tolerance), return_inverse=True)
    num_groups = int(labels.max()) + 1 if labels.numel() else 0

    means = sum_groups(units * relative_sizes(masses)[:, None], labels, num_groups)
    means = means / torch.linalg.vector_norm(means, dim=1, keepdim=True)
    sums = sum_groups(neurons.outputs[live] * lengths[:, None], labels, num_groups)
    sizes = sums.abs().amax(dim=1) if sums.numel() else sums.new_zeros(num_groups)
    gaps = torch.linalg.vector_norm(units - means[labels], dim=1)
    is_cancelled = sizes <= tolerance * sum_groups(masses, labels, num_groups)
    is_small = ~is_cancelled & (sizes <= tolerance * float(sizes[~is_cancelled].sum()))
    keep = ~is_cancelled & ~is_small
    num_near, near_gap = near_groups(means[keep], tolerance)
    directions, outputs = balanced(means[keep], sums[keep])
    report = NormalFormReport(
        num_neurons_before=len(neurons.directions),
        num_neurons_after=int(keep.sum()),
        num_dead=int(is_dead.sum()) + int(is_small.sum()),
        num_constant=int(is_constant.sum()),
        num_merged=int(live.sum()) - num_groups,
        num_cancelled=int(is_cancelled.sum()),
        tolerance_relative=tolerance,
        largest_merged_gap=float(gaps.max()) if gaps.numel() else 0.0,
        num_near_groups=num_near,
        smallest_near_gap=near_gap,
        residual=float((masses * gaps).sum() + sizes[~keep].sum()),
    )
    return Neurons(directions, outputs, affine, neurons.has_biases), report


def balanced(
    directions: Float[Tensor, "m lifted"], outputs: Float[Tensor, "m outputs"]
) -> tuple[Float[Tensor, "m lifted"], Float[Tensor, "m outputs"]]:
    """Rescale each neuron so that ``max|a_i| = max|c_i|``; a neuron with a zero factor becomes zero.

    Args:
        directions: Rows ``a_i``.
        outputs: Rows ``c_i``.

    Returns:
        ``t_i a_i`` and ``c_i / t_i`` with ``t_i = sqrt(max|c_i| / max|a_i|)``.

    Example:
        >>> balanced(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.5]]))
        (tensor([[1., 0.]]), tensor([[1.]]))
    """
    if directions.numel() == 0 or outputs.numel() == 0:
        return torch.zeros_like(directions), torch.zeros_like(outputs)
    inner = directions.abs().amax(dim=1, keepdim=True)
    outer = outputs.abs().amax(dim=1, keepdim=True)
    is_live = (inner > 0) & (outer > 0)
    # Two roots instead of the root of a quotient: the quotient may overflow.
    factor = outer.sqrt() / torch.where(is_live, inner, 1.0).sqrt()
    return (
        torch.where(is_live, directions * factor, 0.0),
        torch.where(is_live, outputs / torch.where(is_live, factor, 1.0), 0.0),
    )
