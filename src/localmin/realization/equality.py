"""Do two ReLU networks compute the same function? Yes with a proof, no with an input, or undecided."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.networks import ReLUNetwork
from localmin.numerics import as_generator
from localmin.realization.deep_symmetries import match_neurons
from localmin.realization.neurons import as_network, difference
from localmin.realization.pairs import NetworkPair
from localmin.realization.rational import are_equal_exactly, evaluate_exactly
from localmin.realization.row_clusters import nearest_kept_gap

__all__ = ["FunctionEquality", "same_function"]

Method = Literal["invariants", "rational", "symmetry"]

_MAX_RATIONAL_ENTRIES = 2_000_000
# Below this many parameters an undecided question is tried in exact arithmetic unasked.
_MAX_UNASKED_ENTRIES = 20_000
# Evaluating the bound itself rounds; relative.
_BOUND_SLACK = 1 + 1e-9


@dataclass(frozen=True, eq=False)
class FunctionEquality:
    """Answer to one question, whose two certain answers exclude each other.

    The question is whether ``max|f_a(x) - f_b(x)| <= tolerance_relative * size(x)`` for every input ``x``.
    For at most one hidden layer ``size(x) = scale * norm((x, 1))``. For deeper networks ``size(x)`` is what
    the network gives when every weight, bias and input is replaced by its absolute value.

    Args:
        verdict: "equal": shown for all inputs. "different": the witness violates it. "undecided": neither.
        method: "invariants": complete invariants in float64. "rational": exact arithmetic.
            "symmetry": deeper networks: neurons matched layer by layer, or a sampled witness.
        tolerance_relative: Tolerance of the question.
        scale: Sum of the neurons' sizes, the larger of the two networks; NaN for deeper networks.
        upper_bound: Bound of ``max|f_a - f_b| / size(x)`` over all inputs, rounding included. "equal" means
            that it is at most the tolerance. Infinity where no bound is known.
        witness: Input at which the outputs differ, shape ``(d,)``; None unless the verdict is "different".
        output_a: ``f_a(witness)``.
        output_b: ``f_b(witness)``.
        gap: ``max|output_a - output_b|``; zero without a witness.
        threshold: What the gap had to exceed: the tolerance at the witness plus the rounding of both
            evaluations.
        smallest_near_gap: Smallest distance of two unit directions that were kept apart although they are
            closer than 1000 tolerances: numerically parallel neurons. Infinity without any.
        reason: One sentence.
    """

    verdict: Literal["equal", "different", "undecided"]
    method: Method
    tolerance_relative: float
    scale: float
    upper_bound: float
    witness: Float[Tensor, " d"] | None
    output_a: Float[Tensor, " outputs"] | None
    output_b: Float[Tensor, " outputs"] | None
    gap: float
    threshold: float
    smallest_near_gap: float
    reason: str

    def recheck(self, a: ReLUNetwork | nn.Module, b: ReLUNetwork | nn.Module) -> bool:
        """Check the evidence again, on another path than the one that found it.

        A witness is evaluated in rational arithmetic (in float64 for deep networks of more than 200,000
        parameters). For equality the bound is computed again, with the networks in the other order, and
        the statement is tried at 256 random inputs.

        Args:
            a: First network.
            b: Second network.

        Returns:
            True if the evidence holds. For "undecided" there is none, and the answer is False.
        """
        swapped = NetworkPair(as_network(b), as_network(a))
        if self.witness is not None:
            return swapped.exceeds(self.witness, self.tolerance_relative)
        if self.verdict != "equal":
            return False
        if self.method == "rational":
            return are_equal_exactly(difference(*swapped.neurons))
        x = torch.randn(256, swapped.num_inputs, generator=as_generator(0), dtype=torch.float64)
        is_near = swapped.gaps(x) <= swapped.thresholds(x, self.tolerance_relative)
        bound, _ = _upper_bound(swapped, self.tolerance_relative)
        return bound <= self.tolerance_relative and bool(is_near.all())

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain lists and numbers."""
        return {
            name: value.tolist() if isinstance(value, Tensor) else value for name, value in vars(self).items()
        }


def same_function(
    a: ReLUNetwork | nn.Module,
    b: ReLUNetwork | nn.Module,
    *,
    tolerance_relative: float | None = None,
    seed: int = 0,
) -> FunctionEquality:
    """Decide whether two ReLU networks compute the same function on all of the input space.

    Networks with at most one hidden layer are compared by complete invariants, so any two
    parametrisations of one function are recognised. Deeper networks are matched neuron by neuron, layer by
    layer, up to permutation, positive scaling, splitting and merging, dead neurons and cancelling copies;
    other coincidences end as "undecided". Both certain answers hold for all depths: "equal" comes with a
    bound for all inputs, "different" with an input.

    Args:
        a: First network, with or without biases.
        b: Second network, same input and output size; widths and dtype may differ.
        tolerance_relative: Tolerance of the question that `FunctionEquality` states. By default 256
            roundings of the coarser dtype: enough for rescaling and merging in that dtype. Zero decides
            equality of the real functions in rational arithmetic (at most one hidden layer).
        seed: Seed of the candidate witnesses.

    Returns:
        The verdict and its evidence.

    Raises:
        InputError: If input or output sizes differ (a `ShapeError`), the tolerance is negative, or exact
            arithmetic is asked for a deeper or too large network.

    Source:
        Derived here.

    Cost:
        ``O(m log m)`` for each input, plus a few hundred evaluations; for deeper networks products of the
        weights with matrices of ``d + 1`` columns. Rational arithmetic: about a microsecond for each weight
        and candidate input.

    Example:
        >>> relu = ReLUNetwork([torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0, -1.0]])])
        >>> identity = ReLUNetwork([torch.tensor([[1.0]])])
        >>> same_function(relu, identity).verdict
        'equal'
        >>> answer = same_function(relu, ReLUNetwork([torch.tensor([[1.0], [-1.0]]), torch.ones(1, 2)]))
        >>> answer.verdict, answer.gap > answer.threshold
        ('different', True)
    """
    pair = NetworkPair(as_network(a), as_network(b))
    tolerance = pair.default_tolerance if tolerance_relative is None else tolerance_relative
    if not 0.0 <= tolerance < 1.0:
        raise InputError(f"expected tolerance_relative from 0 to below 1, got {tolerance}")
    if tolerance == 0.0:
        return _decide_exactly(pair, seed)
    bound, near_gap = _upper_bound(pair, tolerance)
    if bound <= tolerance:
        way = "all layers match" if pair.is_deep else "all invariants agree"
        return _answer(pair, tolerance, bound, near_gap, None, f"{way} within the tolerance")
    x = pair.candidates(tolerance, as_generator(seed))
    thresholds = pair.thresholds(x, tolerance)
    ratios = pair.gaps(x) / thresholds.clamp_min(1e-300)
    # Weights near the largest numbers overflow on the way: such rows say nothing.
    best = int(ratios.nan_to_num(0.0, 0.0, 0.0).argmax())
    if bool(torch.isfinite(thresholds[best])) and ratios[best] > 1 and thresholds[best] > 0:
        return _answer(pair, tolerance, bound, near_gap, x[best], "the outputs at the witness differ")
    if not pair.is_deep and pair.num_parameters <= _MAX_UNASKED_ENTRIES:
        exactly = difference(*pair.neurons)
        if are_equal_exactly(exactly):
            reason = "all invariants agree exactly"
            return _answer(pair, tolerance, 0.0, near_gap, None, reason, method="rational")
    reason = "no input found at which the outputs differ by more than tolerance and rounding, and " + (
        "the layers do not match" if pair.is_deep else "the invariants differ by more"
    )
    return _answer(pair, tolerance, bound, near_gap, None, reason)


def _upper_bound(pair: NetworkPair, tolerance: float) -> tuple[float, float]:
    """Bound the difference over all inputs, relative to the sizes; give the smallest near gap too."""
    if pair.is_deep:
        match = match_neurons(pair.a, pair.b, tolerance_relative=tolerance)
        bound, gap = match.bound, match.smallest_near_gap
    else:
        found = pair.invariants(tolerance)
        units = torch.nn.functional.normalize(found.lifted_normals, dim=1)
        gap = nearest_kept_gap(torch.cat([units, -units]), tolerance)
        upper = found.upper_bound()
        bound = 0.0 if upper == 0.0 else upper / pair.scale
    return (bound * _BOUND_SLACK if bound == bound else float("inf")), gap


def _decide_exactly(pair: NetworkPair, seed: int) -> FunctionEquality:
    if pair.is_deep:
        raise InputError(
            "expected at most one hidden layer for tolerance_relative=0 (exact arithmetic), got widths "
            f"{pair.a.widths} and {pair.b.widths}; use a positive tolerance"
        )
    if pair.num_parameters > _MAX_RATIONAL_ENTRIES:
        raise InputError(
            f"exact arithmetic on {pair.num_parameters} parameters would take more than about "
            f"{_MAX_RATIONAL_ENTRIES // 10**6} s per candidate; use a positive tolerance"
        )
    tolerance = pair.default_tolerance
    bound, gap = _upper_bound(pair, tolerance)
    if are_equal_exactly(difference(*pair.neurons)):
        return _answer(pair, 0.0, 0.0, gap, None, "all invariants agree exactly", method="rational")
    x = pair.candidates(tolerance, as_generator(seed))
    for index in torch.argsort(pair.gaps(x), descending=True).tolist():
        if evaluate_exactly(pair.a, x[index]) != evaluate_exactly(pair.b, x[index]):
            reason = "the exact outputs at the witness differ"
            return _answer(pair, 0.0, bound, gap, x[index], reason, method="rational")
    reason = "the exact invariants differ, but no candidate input shows it"
    return _answer(pair, 0.0, bound, gap, None, reason, method="rational")


def _answer(
    pair: NetworkPair,
    tolerance: float,
    bound: float,
    near_gap: float,
    witness: Tensor | None,
    reason: str,
    *,
    method: Method | None = None,
) -> FunctionEquality:
    gap, threshold, output_a, output_b = 0.0, 0.0, None, None
    if witness is not None:
        row = witness[None]
        output_a, output_b = (values[0] for values in pair.outputs(row))
        gap = float(pair.gaps(row))
        if method != "rational":
            threshold = float(pair.thresholds(row, tolerance))
    is_equal = witness is None and bound <= tolerance
    if not is_equal and near_gap < float("inf"):
        reason += f"; neurons {near_gap:.1e} apart count as different (tolerance {tolerance:.1e})"
    return FunctionEquality(
        verdict="different" if witness is not None else "equal" if is_equal else "undecided",
        method=method or ("symmetry" if pair.is_deep else "invariants"),
        tolerance_relative=tolerance,
        scale=pair.scale,
        upper_bound=bound,
        witness=witness,
        output_a=output_a,
        output_b=output_b,
        gap=gap,
        threshold=threshold,
        smallest_near_gap=near_gap,
        reason=reason,
    )
