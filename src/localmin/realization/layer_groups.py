"""Group the neurons of deep networks layer by layer, with a bound of what the grouping changes.

Neurons of one or two networks whose incoming weights, written over the groups of the layer before, are
positive multiples of each other share a group: one reference neuron times a positive scale each. Neurons
that see constants only belong to the constant, and neurons that can never be active to nothing. Every step
is checked afterwards: for each neuron a row of numbers ``E`` bounds the distance from its scaled reference
neuron by ``E (|x|, 1)`` for all inputs ``x``, so a bad grouping costs a verdict and never the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from localmin.networks import ReLUNetwork
from localmin.realization.neurons import row_lengths
from localmin.realization.row_clusters import cluster_rows, nearest_kept_gap

__all__ = ["LayerGroups", "NeuronGroups", "group_layers"]

# Labels of neurons that belong to no group.
CONSTANT, DEAD = -1, -2
_UNIT = torch.finfo(torch.float64).eps / 2


@dataclass(frozen=True, eq=False)
class NeuronGroups:
    """The neurons of one network in one hidden layer.

    Args:
        labels: Group of each neuron, -1 for a constant, -2 for one that is never active; shape ``(width,)``.
        scales: Positive factor of its reference neuron, or the constant's value; shape ``(width,)``.
    """

    labels: Int[Tensor, " width"]
    scales: Float[Tensor, " width"]

    @property
    def groups(self) -> set[int]:
        """The groups that occur."""
        return set(self.labels[self.labels >= 0].tolist())


@dataclass(frozen=True, eq=False)
class LayerGroups:
    """The groups of all hidden layers, the reference neurons, and the outputs over them.

    Args:
        references: For each hidden layer the incoming weights of its reference neurons over the groups of
            the layer before (over the inputs for the first), the constant last; shape ``(g, g' + 1)``.
        members: For each hidden layer the groups of each network.
        outputs: For each network the output weights over the last groups, shape ``(D, g + 1)``.
        errors: For each network ``E`` of its outputs, shape ``(D, d + 1)``: the outputs over the reference
            neurons differ from the network's by at most ``E (|x|, 1)``.
        magnitudes: For each network ``Q`` of shape ``(D, d + 1)``: with all weights made positive, its
            outputs at ``|x|`` are ``Q (|x|, 1)``.
        reach: ``Q`` of the last groups, shape ``(g + 1, d + 1)``.
        smallest_near_gap: Smallest distance of two unit rows that were kept apart although they are closer
            than 1000 tolerances; infinity without any.
    """

    references: tuple[Float[Tensor, "_ _"], ...]
    members: tuple[tuple[NeuronGroups, ...], ...]
    outputs: tuple[Float[Tensor, "outputs _"], ...]
    errors: tuple[Float[Tensor, "outputs lifted"], ...]
    magnitudes: tuple[Float[Tensor, "outputs lifted"], ...]
    reach: Float[Tensor, "_ lifted"]
    smallest_near_gap: float


@dataclass(eq=False)
class _State:
    """One network on its way through the layers."""

    weights: list[Tensor]
    biases: list[Tensor]
    labels: Tensor
    scales: Tensor
    errors: Tensor
    magnitudes: Tensor


def group_layers(networks: Sequence[ReLUNetwork], tolerance: float) -> LayerGroups:
    """Group the neurons of networks of one depth and one input size.

    Args:
        networks: One or two networks, at least two layers each.
        tolerance: Distance of unit rows up to which neurons share a group, and size of a sum relative to its
            terms up to which it counts as zero.

    Returns:
        The groups with their bounds.

    Source:
        Derived here.

    Cost:
        One product of each weight matrix with a matrix of ``d + 1`` columns; memory of the widest layer
        times ``d + 1``.
    """
    num_inputs = networks[0].widths[0]
    states = [_start(network) for network in networks]
    reach = torch.eye(num_inputs + 1, dtype=torch.float64)
    references, members, gaps = [], [], [float("inf")]
    for layer in range(networks[0].depth - 1):
        rows = [_rows_over_groups(state, layer, reach, tolerance) for state in states]
        is_first = layer == 0
        kinds = [_kinds(row, is_first=is_first) for row in rows]
        live = [row[kind == 0] for row, kind in zip(rows, kinds, strict=True)]
        sizes = [row_lengths(row) for row in live]
        units = torch.cat([row / size[:, None] for row, size in zip(live, sizes, strict=True)])
        _, labels = torch.unique(cluster_rows(units, tolerance), return_inverse=True)
        reference = _references(units, labels, torch.cat(sizes))
        gaps.append(nearest_kept_gap(reference, tolerance))
        parts = labels.split([len(row) for row in live])
        grouped = []
        for state, row, kind, part, size in zip(states, rows, kinds, parts, sizes, strict=True):
            groups = _assign(state, row, kind, part, size, reference, reach)
            grouped.append(groups)
            state.labels, state.scales = groups.labels, groups.scales
        members.append(tuple(grouped))
        references.append(reference)
        reach = torch.cat([reference.abs() @ reach, reach[-1:]])
    outputs = [_rows_over_groups(state, -1, reach, tolerance) for state in states]
    # The products above are of non-negative matrices, so their own rounding is a relative error.
    widest = max(max(network.widths) for network in networks)
    slack = 1 + 8 * networks[0].depth * (widest + 8) * _UNIT
    return LayerGroups(
        references=tuple(references),
        members=tuple(members),
        outputs=tuple(outputs),
        errors=tuple(state.errors * slack for state in states),
        magnitudes=tuple(state.magnitudes for state in states),
        reach=reach * slack,
        smallest_near_gap=min(gaps),
    )


def _start(network: ReLUNetwork) -> _State:
    network = network.to(dtype=torch.float64, device="cpu")
    num_inputs = network.widths[0]
    return _State(
        weights=[weight.detach() for weight in network.weights],
        biases=[bias.detach() for bias in network.bias_vectors],
        labels=torch.arange(num_inputs),
        scales=torch.ones(num_inputs, dtype=torch.float64),
        errors=torch.zeros(num_inputs, num_inputs + 1, dtype=torch.float64),
        magnitudes=torch.eye(num_inputs, num_inputs + 1, dtype=torch.float64),
    )


def _rows_over_groups(state: _State, layer: int, reach: Tensor, tolerance: float) -> Tensor:
    """Write a layer over the groups before it; its errors and magnitudes become the state's."""
    weight, bias = state.weights[layer], state.biases[layer]
    num_groups = len(reach) - 1
    is_used = state.labels != DEAD
    labels = torch.where(state.labels == CONSTANT, num_groups, state.labels)[is_used]
    scaled = weight[:, is_used] * state.scales[is_used]
    shape = (len(weight), num_groups + 1)
    rows = scaled.new_zeros(shape).index_add_(1, labels, scaled)
    sizes = scaled.new_zeros(shape).index_add_(1, labels, scaled.abs())
    rows[:, -1] += bias
    sizes[:, -1] += bias.abs()
    # A sum that its rounding could have made is zero.
    cut = torch.where(rows.abs() <= tolerance * sizes, rows, 0.0)
    largest_group = int(torch.bincount(labels).max()) if labels.numel() else 0
    rounding = (largest_group + 4) * _UNIT
    state.errors = weight.abs() @ state.errors + (cut.abs() + rounding * sizes) @ reach
    state.magnitudes = weight.abs() @ state.magnitudes
    state.magnitudes[:, -1] += bias.abs()
    return rows - cut


def _kinds(rows: Tensor, *, is_first: bool) -> Tensor:
    """Tell neurons that depend on their input (0) from constants (-1) and those never active (-2)."""
    kinds = torch.zeros(len(rows), dtype=torch.int64)
    kinds[~(rows[:, :-1] != 0).any(dim=1)] = CONSTANT
    if not is_first:
        # Activations are not negative, so nothing can make such a sum positive.
        kinds[(rows <= 0).all(dim=1)] = DEAD
    return kinds


def _references(units: Tensor, labels: Tensor, sizes: Tensor) -> Tensor:
    num_groups = int(labels.max()) + 1 if labels.numel() else 0
    shares = (sizes / sizes.max()).clamp_min(1e-100) if sizes.numel() else sizes
    sums = units.new_zeros(num_groups, units.shape[1]).index_add_(0, labels, units * shares[:, None])
    means: Tensor = sums / units.new_zeros(num_groups).index_add_(0, labels, shares)[:, None]
    # A group of one keeps its own row exactly.
    counts = torch.bincount(labels, minlength=num_groups)
    is_single = counts[labels] == 1
    means[labels[is_single]] = units[is_single]
    return means


def _assign(
    state: _State,
    rows: Tensor,
    kinds: Tensor,
    labels: Tensor,
    sizes: Tensor,
    reference: Tensor,
    reach: Tensor,
) -> NeuronGroups:
    all_labels, scales = kinds.clone(), torch.zeros(len(rows), dtype=torch.float64)
    is_live = kinds == 0
    all_labels[is_live], scales[is_live] = labels, sizes
    constants = torch.relu(rows[kinds == CONSTANT, -1])
    scales[kinds == CONSTANT] = constants
    images = sizes[:, None] * reference[labels]
    misfit = (rows[is_live] - images).abs() + 4 * _UNIT * images.abs()
    state.errors = state.errors.clone()
    state.errors[is_live] += misfit @ reach
    is_off = (kinds == CONSTANT) & (scales == 0)
    all_labels[is_off] = DEAD
    return NeuronGroups(all_labels, scales)
