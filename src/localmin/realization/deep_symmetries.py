"""Networks of any depth: normal forms, and how two of them match neuron by neuron."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.realization.invariants import default_tolerance
from localmin.realization.layer_groups import CONSTANT, DEAD, LayerGroups, NeuronGroups, group_layers
from localmin.realization.neurons import as_network
from localmin.realization.row_clusters import cluster_rows

__all__ = [
    "DeepNormalForm",
    "DeepNormalFormReport",
    "LayerMatch",
    "NeuronMatch",
    "deep_magnitude",
    "deep_normal_form",
    "match_neurons",
    "symmetry_normal_form",
]


@dataclass(frozen=True)
class DeepNormalFormReport:
    """What the deep normal form changed.

    Args:
        widths_before: Layer widths that came in.
        widths_after: Layer widths left.
        num_merged: Neurons that went into another one, over all layers.
        num_constant: Neurons that see constants only, folded into the next bias.
        num_dead: Neurons that are never active.
        num_unused: Groups without effect on the output, cancelling copies among them.
        tolerance_relative: Tolerance used.
        smallest_near_gap: Smallest distance of unit rows kept apart although closer than 1000 tolerances.
        residual: ``max|f - normal form| <= residual * size(x)``, where ``size`` is the largest output when
            every weight, bias and input is replaced by its absolute value.
    """

    widths_before: tuple[int, ...]
    widths_after: tuple[int, ...]
    num_merged: int
    num_constant: int
    num_dead: int
    num_unused: int
    tolerance_relative: float
    smallest_near_gap: float
    residual: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain numbers."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class DeepNormalForm:
    """A network in deep normal form, and what was done to reach it.

    Args:
        network: Same depth and function, float64; biases exist if the network had any, or constants arose.
        report: Counts, gaps, and the bound on the change of the function.
    """

    network: ReLUNetwork
    report: DeepNormalFormReport


@dataclass(frozen=True)
class LayerMatch:
    """How the neurons of one hidden layer of two networks correspond.

    Args:
        num_common: Groups that occur in both networks.
        only_a: Neurons of the first network without a partner, by index.
        only_b: Neurons of the second.
        pairs: Pairs of neurons ``(i, j)`` that are positive multiples of each other, one pair for each
            common group.
    """

    num_common: int
    only_a: tuple[int, ...]
    only_b: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class NeuronMatch:
    """How two networks of one depth correspond, layer by layer.

    Args:
        bound: ``max|f_a - f_b| <= bound * size(x)`` for all inputs, ``size`` the larger of the two outputs
            when every weight, bias and input is made positive; infinity for different depths.
        layers: One entry for each hidden layer; empty for different depths.
        smallest_near_gap: Smallest distance of unit rows kept apart although closer than 1000 tolerances.
        tolerance_relative: Tolerance used.
    """

    bound: float
    layers: tuple[LayerMatch, ...]
    smallest_near_gap: float
    tolerance_relative: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain numbers."""
        return asdict(self)


def deep_normal_form(
    network: ReLUNetwork | nn.Module, *, tolerance_relative: float | None = None
) -> DeepNormalForm:
    """Normalise a network of any depth: merge, drop, fold and sort its hidden neurons, layer by layer.

    In each hidden layer, neurons whose incoming weights are positive multiples of each other become one
    with incoming weights of Euclidean norm 1 (up to the tolerance), neurons that see constants only go
    into the next bias, and neurons that can never be active or whose effect cancels are dropped; then the
    layer is sorted. Permutation, positive scaling, splitting, duplicate and dead neurons and cancelling
    copies do not change the result, up to rounding. Equal functions may still have different normal
    forms: only coincidences within a layer are recognised.

    Args:
        network: At least one hidden layer, with or without biases.
        tolerance_relative: Distance of unit rows up to which neurons merge, and size relative to its terms
            up to which a sum counts as zero. By default 256 roundings of the network's dtype.

    Returns:
        The network and a report with the bound of the change.

    Raises:
        InputError: If there is no hidden layer, or the tolerance is negative.

    Source:
        Derived here.

    Cost:
        For each layer a product with a matrix of ``d + 1`` columns and a few sorts.

    Example:
        >>> weights = torch.tensor([[2.0], [4.0]]), torch.tensor([[1.0, 1.0], [-1.0, -3.0]]), torch.ones(1, 2)
        >>> form = deep_normal_form(ReLUNetwork(weights))  # one neuron twice, one never active
        >>> [weight.tolist() for weight in form.network.weights]
        [[[1.0]], [[1.0]], [[6.0]]]
        >>> form.report.num_merged, form.report.num_dead
        (1, 1)
    """
    tolerance = default_tolerance(network) if tolerance_relative is None else tolerance_relative
    if not tolerance >= 0.0:
        raise InputError(f"expected tolerance_relative >= 0, got {tolerance}")
    network = as_network(network)
    if network.depth < 2:
        raise InputError("expected at least one hidden layer, got an affine network")
    found = group_layers([network], tolerance)
    form, num_unused = _network_of_groups(found, network)
    labels = [groups.labels for (groups,) in found.members]
    bound = _relative(found.errors[0], found.magnitudes)
    report = DeepNormalFormReport(
        widths_before=network.widths,
        widths_after=form.widths,
        num_merged=sum(
            int((layer >= 0).sum()) - len(reference)
            for layer, reference in zip(labels, found.references, strict=True)
        ),
        num_constant=sum(int((layer == CONSTANT).sum()) for layer in labels),
        num_dead=sum(int((layer == DEAD).sum()) for layer in labels),
        num_unused=num_unused,
        tolerance_relative=tolerance,
        smallest_near_gap=found.smallest_near_gap,
        residual=bound,
    )
    return DeepNormalForm(form, report)


def match_neurons(
    a: ReLUNetwork | nn.Module, b: ReLUNetwork | nn.Module, *, tolerance_relative: float | None = None
) -> NeuronMatch:
    """Match the hidden neurons of two networks layer by layer, and bound the difference of the functions.

    Neurons match if, written over the matched neurons of the layer before, their incoming weights are
    positive multiples of each other. Permutation, positive scaling, splitting, merging, dead neurons and
    cancelling copies are all undone. The bound holds for all inputs, whatever was matched.

    Args:
        a: First network, at least one hidden layer.
        b: Second network, same input and output sizes.
        tolerance_relative: As in `deep_normal_form`; by default 256 roundings of the coarser dtype.

    Returns:
        The matching and the bound.

    Raises:
        ShapeError: If input or output sizes differ.

    Source:
        Derived here.

    Cost:
        As `deep_normal_form`.

    Example:
        >>> a = ReLUNetwork([torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0, 1.0]])])
        >>> b = ReLUNetwork([torch.tensor([[-2.0], [3.0]]), torch.tensor([[0.5, 2.0]])])
        >>> found = match_neurons(a, b)
        >>> found.layers[0].pairs, found.layers[0].only_a, found.bound > 1e-3  # the last weight differs
        (((1, 0), (0, 1)), (), True)
    """
    first, second = as_network(a), as_network(b)
    if (first.widths[0], first.widths[-1]) != (second.widths[0], second.widths[-1]):
        raise ShapeError(
            "expected two networks with the same input and output sizes, got widths "
            f"{first.widths} and {second.widths}"
        )
    tolerance = default_tolerance(first, second) if tolerance_relative is None else tolerance_relative
    if first.depth != second.depth or first.depth < 2:
        return NeuronMatch(float("inf"), (), float("inf"), tolerance)
    found = group_layers([first, second], tolerance)
    gap = (found.outputs[0] - found.outputs[1]).abs()
    error = found.errors[0] + found.errors[1] + gap @ found.reach
    layers = tuple(_match_layer(*groups) for groups in found.members)
    return NeuronMatch(_relative(error, found.magnitudes), layers, found.smallest_near_gap, tolerance)


def deep_magnitude(network: ReLUNetwork, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Evaluate a network with every weight, bias and input replaced by its absolute value.

    No permutation or positive scaling changes it, and the rounding error of an evaluation is a small
    multiple of it.

    Args:
        network: Any depth.
        x: Rows, float64.

    Returns:
        The largest output for each row.
    """
    network = network.to(dtype=torch.float64, device="cpu")
    values = x.abs()
    for weight, bias in zip(network.weights, network.bias_vectors, strict=True):
        values = values @ weight.detach().abs().T + bias.detach().abs()
    return values.amax(dim=1) if values.numel() else values.new_zeros(len(x))


def symmetry_normal_form(
    network: ReLUNetwork | nn.Module, *, tolerance_relative: float | None = None
) -> ReLUNetwork:
    """Normalise a network of any depth up to permutation and positive scaling of its hidden neurons.

    From the first hidden layer to the last, each neuron's incoming weights and bias get Euclidean norm
    1, its outgoing weights take up the factor, and the neurons of the layer are sorted. Neurons without
    any incoming or any outgoing weight are dropped. Parallel neurons are not merged: see
    `deep_normal_form`.

    Args:
        network: Any depth, with or without biases.
        tolerance_relative: Entries of unit rows closer than this count as equal when sorting. By default
            256 roundings of the network's dtype.

    Returns:
        The same function up to rounding, float64.

    Source:
        Derived here.

    Cost:
        A few sorts for each layer, memory linear in the network.

    Example:
        >>> weights = torch.tensor([[3.0], [-1.0]]), torch.tensor([[1.0, 2.0]])
        >>> [weight.tolist() for weight in symmetry_normal_form(ReLUNetwork(weights)).weights]
        [[[-1.0], [1.0]], [[2.0, 3.0]]]
    """
    tolerance = default_tolerance(network) if tolerance_relative is None else tolerance_relative
    network = as_network(network).to(dtype=torch.float64, device="cpu")
    weights = [weight.detach().clone() for weight in network.weights]
    biases = [bias.detach().clone() for bias in network.bias_vectors]
    for layer in range(network.depth - 1):
        rows = torch.cat([weights[layer], biases[layer][:, None]], dim=1)
        sizes = torch.linalg.vector_norm(rows, dim=1)
        is_live = (sizes > 0) & (weights[layer + 1] != 0).any(dim=0)
        rows, sizes = rows[is_live] / sizes[is_live, None], sizes[is_live]
        outgoing = weights[layer + 1][:, is_live] * sizes
        order = torch.argsort(cluster_rows(rows, tolerance), stable=True)
        weights[layer], biases[layer] = rows[order, :-1].contiguous(), rows[order, -1].contiguous()
        weights[layer + 1] = outgoing[:, order].contiguous()
    return ReLUNetwork(weights, None if network.biases is None else biases)


def _network_of_groups(found: LayerGroups, network: ReLUNetwork) -> tuple[ReLUNetwork, int]:
    """Build the network of the reference neurons, without those that have no effect."""
    rows = [*found.references, found.outputs[0]]
    num_unused = 0
    for layer in range(len(rows) - 2, -1, -1):
        is_used = (rows[layer + 1][:, :-1] != 0).any(dim=0)
        num_unused += int((~is_used).sum())
        rows[layer] = rows[layer][is_used]
        rows[layer + 1] = torch.cat([rows[layer + 1][:, :-1][:, is_used], rows[layer + 1][:, -1:]], dim=1)
    biases = [row[:, -1].contiguous() for row in rows]
    has_biases = network.biases is not None or any(bool(bias.any()) for bias in biases)
    form = ReLUNetwork([row[:, :-1].contiguous() for row in rows], biases if has_biases else None)
    return form, num_unused


def _match_layer(first: NeuronGroups, second: NeuronGroups) -> LayerMatch:
    common = first.groups & second.groups
    mine, yours = first.labels.tolist(), second.labels.tolist()
    partner_a = {group: index for index, group in reversed(list(enumerate(mine)))}
    partner_b = {group: index for index, group in reversed(list(enumerate(yours)))}
    return LayerMatch(
        num_common=len(common),
        only_a=tuple(i for i, group in enumerate(mine) if group >= 0 and group not in common),
        only_b=tuple(j for j, group in enumerate(yours) if group >= 0 and group not in common),
        pairs=tuple((partner_a[group], partner_b[group]) for group in sorted(common)),
    )


def _relative(error: Tensor, magnitudes: tuple[Tensor, ...]) -> float:
    """Find the least ``e`` seen with ``error (|x|, 1) <= e max_n magnitude_n (|x|, 1)`` in every output."""
    if error.numel() == 0:
        return 0.0
    scales = list(magnitudes)
    if len(scales) == 2:
        # The larger of two is at least their mean.
        scales.append((scales[0] + scales[1]) / 2)
    ratios = []
    for scale in scales:
        ratio = torch.where(error > 0, error / scale, 0.0).nan_to_num(float("inf"), float("inf"))
        ratios.append(ratio.amax(dim=1))
    return float(torch.stack(ratios).amin(dim=0).max())
