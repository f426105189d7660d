"""The parametrisation of one function that is nearest to the parameters of another."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.realization.assignments import bottleneck_assignment
from localmin.realization.invariants import Invariants, default_tolerance, invariants_of
from localmin.realization.neurons import Neurons, as_network, read_neurons, to_network
from localmin.realization.normal_form import normal_form_of
from localmin.realization.parametrizations import orientations_of, oriented_neurons
from localmin.realization.restricted_space import restricted_space_membership

__all__ = ["NearestParametrization", "nearest_parametrization"]


@dataclass(frozen=True, eq=False)
class NearestParametrization:
    """A parametrisation of the target near a given network, and what is known about nearer ones.

    Args:
        network: The target function with as many neurons as the given network, slot by slot near it;
            None if no parametrisation of that width is known.
        distance: ``max`` over all parameters of the difference of the two; infinity without a network.
        lower: No parametrisation within the space asked for is nearer.
        exact: ``distance`` is the smallest possible, up to rounding.
        within: "restricted": among parametrisations in the restricted space. "all": among all.
        matching: For each neuron of the given network the kink (or the neuron of the target's normal form)
            that it takes, -1 for none.
        reason: One sentence.
    """

    network: ReLUNetwork | None
    distance: float
    lower: float
    exact: bool
    within: Literal["restricted", "all"]
    matching: Int[Tensor, " m"]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain lists and numbers, without the network."""
        return {
            "distance": self.distance,
            "lower": self.lower,
            "exact": self.exact,
            "within": self.within,
            "matching": self.matching.tolist(),
            "reason": self.reason,
        }


def nearest_parametrization(
    network: ReLUNetwork | nn.Module,
    target: ReLUNetwork | nn.Module,
    *,
    within: Literal["restricted", "all"] | None = None,
) -> NearestParametrization:
    """Find parameters of the target's function nearest to a network's, in the largest entry.

    Within the restricted space the parametrisations of a function are the permutations of one, so a
    bottleneck assignment is exact. Among all parametrisations the answer is exact if the network has as
    many neurons as the target has kinks: then orientations, scales and the assignment are the only
    freedom. With more neurons, kinks can be split in infinitely many ways: a feasible network and a
    lower bound are given, and also where more than ``2 ** 20`` orientations would have to be tried.

    Args:
        network: One hidden layer, ``m`` neurons.
        target: One hidden layer, same input and output sizes, both with or both without biases.
        within: Space of the answer. By default "restricted" if both lie in it, else "all".

    Returns:
        The network found, its distance, and a lower bound.

    Raises:
        ShapeError: If sizes differ.
        InputError: If only one has biases, or ``within="restricted"`` does not apply.

    Source:
        Derived here.

    Cost:
        Bottleneck assignments of size ``m``, one for each admissible choice of orientations.

    Example:
        >>> here = ReLUNetwork([torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0]])])
        >>> there = ReLUNetwork([torch.tensor([[0.0, 1.0]]), torch.tensor([[0.01]])])
        >>> round(nearest_parametrization(here, there).distance, 9)
        5.0
    """
    first, second = as_network(network), as_network(target)
    mine, yours = read_neurons(first), read_neurons(second)
    _check(first, second)
    if within is None:
        within = "restricted" if _are_restricted(first, second) else "all"
    elif within == "restricted" and not _are_restricted(first, second):
        raise InputError(
            'within="restricted" expects two networks in the restricted space; see '
            "restricted_space_membership, balance and lift"
        )
    tolerance = default_tolerance(first, second)
    if within == "restricted":
        return _nearest_restricted(mine, yours, tolerance)
    return _nearest_of_all(mine, yours, tolerance)


def _nearest_restricted(mine: Neurons, yours: Neurons, tolerance: float) -> NearestParametrization:
    form, _ = normal_form_of(yours, tolerance)
    return _assign_padded(mine, form, "restricted", lower=None)


def _assign_padded(
    mine: Neurons, form: Neurons, within: Literal["restricted", "all"], *, lower: float | None
) -> NearestParametrization:
    """Permute a parametrisation, filled up with zero neurons, into the slots of the network."""
    num_neurons, num_used = len(mine.directions), len(form.directions)
    if num_used > num_neurons:
        return NearestParametrization(
            None,
            float("inf"),
            float("inf") if lower is None else lower,
            lower is None,
            within,
            torch.full((num_neurons,), -1),
            f"the target needs {num_used} neurons, the network has {num_neurons}",
        )
    pad = num_neurons - num_used
    directions = torch.nn.functional.pad(form.directions, (0, 0, 0, pad))
    outputs = torch.nn.functional.pad(form.outputs, (0, 0, 0, pad))
    costs = torch.maximum(_pairwise(mine.directions, directions), _pairwise(mine.outputs, outputs))
    columns, worst = bottleneck_assignment(costs)
    distance = max(worst, float((mine.affine - form.affine).abs().max()))
    return NearestParametrization(
        network=to_network(Neurons(directions[columns], outputs[columns], form.affine, mine.has_biases)),
        distance=distance,
        lower=distance if lower is None else min(lower, distance),
        exact=lower is None or distance <= lower,
        within=within,
        matching=torch.where(columns < num_used, columns, -1),
        reason="bottleneck assignment of the target's neurons",
    )


def _nearest_of_all(mine: Neurons, yours: Neurons, tolerance: float) -> NearestParametrization:
    found = invariants_of(yours, tolerance)
    num_neurons = len(mine.directions)
    if num_neurons < found.num_kinks:
        return NearestParametrization(
            None,
            float("inf"),
            float("inf"),
            True,
            "all",
            torch.full((num_neurons,), -1),
            f"the target has {found.num_kinks} kinks, the network only {num_neurons} neurons",
        )
    try:
        orientations = orientations_of(found, has_output_bias=mine.has_biases)
    except InputError as error:
        return _bounds_only(mine, yours, found, tolerance, str(error))
    fits = [_fit(mine, found, signs) for signs in orientations]
    best = min(fits, key=lambda fit: fit.distance, default=None)
    if num_neurons == found.num_kinks:
        if best is not None:
            return best
        return NearestParametrization(
            None,
            float("inf"),
            float("inf"),
            True,
            "all",
            torch.full((num_neurons,), -1),
            "no orientation of one neuron for each kink has the target's linear part",
        )
    # With neurons to spare the kinks may be split: no exact answer, but each kink needs some neuron.
    lower = _direction_bound(mine, found)
    form, _ = normal_form_of(yours, tolerance)
    feasible = _assign_padded(mine, form, "all", lower=lower)
    if best is None or feasible.distance <= best.distance:
        return feasible
    return NearestParametrization(
        best.network,
        best.distance,
        min(lower, best.distance),
        best.distance <= lower,
        "all",
        best.matching,
        "one neuron for each kink; splitting might be nearer",
    )


def _bounds_only(
    mine: Neurons, yours: Neurons, found: Invariants, tolerance: float, reason: str
) -> NearestParametrization:
    """Give a lower bound, and the target's own neurons as a feasible answer, where trying all is too much."""
    form, _ = normal_form_of(yours, tolerance)
    answer = _assign_padded(mine, form, "all", lower=_direction_bound(mine, found))
    return replace(answer, reason=f"bounds only: {reason}")


def _fit(mine: Neurons, found: Invariants, signs: Tensor) -> NearestParametrization:
    directions, outputs, bias = oriented_neurons(found, signs)
    scales, costs = _best_scales(mine.directions, mine.outputs, directions, outputs)
    spare = len(mine.directions) - found.num_kinks
    sizes = torch.stack([mine.directions.abs().amax(dim=1), mine.outputs.abs().amax(dim=1)])
    # A slot without a kink keeps the larger of its two factors and drops the other.
    columns, worst = bottleneck_assignment(
        torch.cat([costs, sizes.amin(dim=0)[:, None].expand(-1, spare)], 1)
    )
    new_directions, new_outputs = mine.directions.clone(), mine.outputs.clone()
    for slot, kink in enumerate(columns.tolist()):
        if kink < found.num_kinks:
            new_directions[slot] = scales[slot, kink] * directions[kink]
            new_outputs[slot] = outputs[kink] / scales[slot, kink]
        elif sizes[0, slot] <= sizes[1, slot]:
            new_directions[slot] = 0.0
        else:
            new_outputs[slot] = 0.0
    affine = mine.affine.clone()
    if mine.has_biases:
        affine[:, -1] = bias
    distance = max(worst, float((affine - mine.affine).abs().max()))
    return NearestParametrization(
        network=to_network(Neurons(new_directions, new_outputs, affine, mine.has_biases)),
        distance=distance,
        lower=distance,
        exact=True,
        within="all",
        matching=torch.where(columns < found.num_kinks, columns, -1),
        reason="one neuron for each kink, best orientations, scales and assignment",
    )


def _best_scales(
    directions: Tensor, outputs: Tensor, new_directions: Tensor, new_outputs: Tensor
) -> tuple[Float[Tensor, "m K"], Float[Tensor, "m K"]]:
    # Minimise max(max|s h - a|, max|v / s - c|) over s > 0 for every pair, by golden section: both parts are
    # quasi-convex in log s, so the maximum is, and it is constant nowhere but at its minimum.

    def cost(log_scale: Tensor) -> Tensor:
        scale = log_scale.exp()[..., None]
        inner = (scale * new_directions - directions[:, None]).abs().amax(dim=2)
        outer = (new_outputs / scale - outputs[:, None]).abs().amax(dim=2)
        return torch.maximum(inner, outer)

    inner_size = new_directions.abs().amax(dim=1)
    outer_size = new_outputs.abs().amax(dim=1)
    start = cost((outer_size / inner_size).log().expand(len(directions), -1) / 2)
    low = (outer_size / (outputs.abs().amax(dim=1)[:, None] + start)).log()
    high = ((directions.abs().amax(dim=1)[:, None] + start) / inner_size).log()
    ratio = (5**0.5 - 1) / 2
    for _ in range(90):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        is_left = cost(left) <= cost(right)
        low, high = torch.where(is_left, low, left), torch.where(is_left, right, high)
    middle = (low + high) / 2
    return middle.exp(), cost(middle)


def _direction_bound(mine: Neurons, found: Invariants) -> float:
    """Bound the distance from below: every kink needs a neuron along its normal, of either sign."""
    if found.num_kinks == 0:
        return 0.0
    normals = torch.cat([found.lifted_normals, -found.lifted_normals])

    def cost(scale: Tensor) -> Tensor:
        return (scale[..., None] * normals - mine.directions[:, None]).abs().amax(dim=2)

    # Convex in the scale; a zero scale is the limit of a vanishing neuron.
    low = torch.zeros(len(mine.directions), len(normals), dtype=torch.float64)
    high = 2 * mine.directions.abs().amax(dim=1)[:, None] / normals.abs().amax(dim=1) + low
    for _ in range(200):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        is_left = cost(left) <= cost(right)
        low, high = torch.where(is_left, low, left), torch.where(is_left, right, high)
    costs = cost((low + high) / 2).amin(dim=0).view(2, -1).amin(dim=0)
    # The search ends above the minimum by a few roundings; a lower bound must not.
    return float(costs.max()) * (1 - 1e-12)


def _pairwise(first: Tensor, second: Tensor) -> Tensor:
    if first.shape[1] == 0:
        return first.new_zeros(len(first), len(second))
    return torch.cdist(first, second, p=float("inf"))


def _are_restricted(first: ReLUNetwork, second: ReLUNetwork) -> bool:
    if first.biases is not None or first.widths[0] < 2:
        return False
    return all(restricted_space_membership(network).is_inside for network in (first, second))


def _check(first: ReLUNetwork, second: ReLUNetwork) -> None:
    if (first.widths[0], first.widths[-1]) != (second.widths[0], second.widths[-1]):
        raise ShapeError(
            f"expected equal input and output sizes, got widths {first.widths} and {second.widths}"
        )
    if first.depth != 2 or second.depth != 2:
        raise InputError(
            f"expected two networks with one hidden layer, got widths {first.widths} and {second.widths}"
        )
    if (first.biases is None) != (second.biases is None):
        raise InputError(
            "expected both networks with biases or both without; a missing bias is no parameter that "
            "could move. Give the other one biases of zero"
        )
