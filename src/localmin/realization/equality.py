"""Do two ReLU networks compute the same function? Yes with a proof, no with an input, or undecided."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.numerics import as_generator
from localmin.realization.deep_symmetries import compare_deep, deep_magnitude
from localmin.realization.invariants import default_tolerance, invariants_of
from localmin.realization.neurons import as_network, difference, lifted_rows, read_neurons
from localmin.realization.rational import are_equal_exactly, evaluate_exactly
from localmin.realization.witness import candidate_inputs, evaluation_error

__all__ = ["FunctionEquality", "same_function"]

_MAX_RATIONAL_ENTRIES = 2_000_000


@dataclass(frozen=True, eq=False)
class FunctionEquality:
    """Answer to one question, whose two certain answers exclude each other.

    The question is whether ``max|f_a(x) - f_b(x)| <= tolerance_relative * size(x)`` for every input ``x``.
    For at most one hidden layer ``size(x) = scale * norm((x, 1))``. For deeper networks ``size(x)`` is what
    the network gives when every weight, bias and input is replaced by its absolute value.

    Args:
        verdict: "equal": shown for all inputs. "different": the witness violates it. "undecided": neither.
        method: "invariants": complete invariants in float64. "rational": exact arithmetic, tolerance zero.
            "symmetry": deeper networks, equal up to permutation and positive scaling, or a sampled witness.
        tolerance_relative: Tolerance of the question.
        scale: Sum of the neurons' sizes, the larger of the two networks; NaN for deeper networks.
        upper_bound: Bound of ``max|f_a - f_b| / size(x)`` over all inputs. "equal" means that it is at most
            the tolerance. Infinity where no bound is known.
        witness: Input at which the outputs differ, shape ``(d,)``; None unless the verdict is "different".
        output_a: ``f_a(witness)``.
        output_b: ``f_b(witness)``.
        gap: ``max|output_a - output_b|``; zero without a witness.
        threshold: What the gap had to exceed: the tolerance at the witness plus the rounding of both
            evaluations.
        reason: One sentence.
    """

    verdict: Literal["equal", "different", "undecided"]
    method: Literal["invariants", "rational", "symmetry"]
    tolerance_relative: float
    scale: float
    upper_bound: float
    witness: Float[Tensor, " d"] | None
    output_a: Float[Tensor, " outputs"] | None
    output_b: Float[Tensor, " outputs"] | None
    gap: float
    threshold: float
    reason: str

    def recheck(self, a: ReLUNetwork | nn.Module, b: ReLUNetwork | nn.Module) -> bool:
        """Check the evidence again, on another path than the one that found it.

        A witness of a network with at most one hidden layer is evaluated in rational arithmetic, one of
        a deeper network in float64. For equality the bound is computed again, with the networks in the
        other order, and the statement is tried at 256 random inputs.

        Args:
            a: First network.
            b: Second network.

        Returns:
            True if the evidence holds. For "undecided" there is none, and the answer is False.
        """
        first, second = as_network(a), as_network(b)
        if self.witness is not None:
            return _violates(first, second, self.witness, self.tolerance_relative)
        if self.verdict != "equal":
            return False
        if self.method == "rational":
            return are_equal_exactly(difference(read_neurons(second), read_neurons(first)))
        generator = as_generator(0)
        x = torch.randn(256, first.widths[0], generator=generator, dtype=torch.float64)
        gap = (_evaluate(first, x) - _evaluate(second, x)).abs().amax(dim=1)
        allowed = (
            self.tolerance_relative * _sizes(first, second, x) + _rounding(first, x) + _rounding(second, x)
        )
        is_deep = max(first.depth, second.depth) > 2
        tolerance = self.tolerance_relative
        bound = compare_deep(second, first) if is_deep else _shallow_bound(second, first, tolerance)
        return bound <= tolerance and bool((gap <= allowed).all())

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
    parametrisations of one function are recognised. Deeper networks are compared up to permutation and
    positive scaling of neurons; other coincidences end as "undecided".

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
        ShapeError: If input or output sizes differ.
        InputError: If the tolerance is negative, or exact arithmetic is asked for a deeper or too
            large network.

    Source:
        Derived here.

    Cost:
        ``O(m log m)`` for each input, plus a few hundred evaluations. Rational arithmetic: about a
        microsecond for each weight and candidate input.

    Example:
        >>> relu = ReLUNetwork([torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0, -1.0]])])
        >>> identity = ReLUNetwork([torch.tensor([[1.0]])])
        >>> same_function(relu, identity).verdict
        'equal'
        >>> answer = same_function(relu, ReLUNetwork([torch.tensor([[1.0], [-1.0]]), torch.ones(1, 2)]))
        >>> answer.verdict, answer.gap > answer.threshold
        ('different', True)
    """
    first, second = as_network(a), as_network(b)
    if (first.widths[0], first.widths[-1]) != (second.widths[0], second.widths[-1]):
        raise ShapeError(
            "expected two networks with the same input and output sizes, got widths "
            f"{first.widths} and {second.widths}"
        )
    tolerance = default_tolerance(first, second) if tolerance_relative is None else tolerance_relative
    if not 0.0 <= tolerance < 1.0:
        raise InputError(f"expected tolerance_relative from 0 to below 1, got {tolerance}")
    is_deep = max(first.depth, second.depth) > 2
    if tolerance == 0.0:
        return _decide_exactly(first, second, seed)
    bound = compare_deep(first, second) if is_deep else _shallow_bound(first, second, tolerance)
    if bound <= tolerance:
        way = "all layers agree up to permutation and positive scaling" if is_deep else "all invariants agree"
        return _answer(first, second, tolerance, bound, None, f"{way} within the tolerance")
    x = _candidates(first, second, tolerance, seed)
    gaps = (_evaluate(first, x) - _evaluate(second, x)).abs().amax(dim=1)
    thresholds = tolerance * _sizes(first, second, x) + _rounding(first, x) + _rounding(second, x)
    best = int((gaps / thresholds.clamp_min(1e-300)).argmax())
    if gaps[best] > thresholds[best]:
        return _answer(first, second, tolerance, bound, x[best], "the outputs at the witness differ")
    reason = "no input found at which the outputs differ by more than tolerance and rounding, and " + (
        "the layers do not match up to symmetry" if is_deep else "the invariants differ by more"
    )
    return _answer(first, second, tolerance, bound, None, reason)


def _shallow_bound(first: ReLUNetwork, second: ReLUNetwork, tolerance: float) -> float:
    a, b = read_neurons(first), read_neurons(second)
    upper = invariants_of(difference(a, b), tolerance).upper_bound()
    scale = max(a.scale, b.scale)
    return 0.0 if upper == 0.0 else upper / scale


def _decide_exactly(first: ReLUNetwork, second: ReLUNetwork, seed: int) -> FunctionEquality:
    if max(first.depth, second.depth) > 2:
        raise InputError(
            "expected at most one hidden layer for tolerance_relative=0 (exact arithmetic), got widths "
            f"{first.widths} and {second.widths}; use a positive tolerance"
        )
    if first.num_parameters + second.num_parameters > _MAX_RATIONAL_ENTRIES:
        raise InputError(
            f"exact arithmetic on {first.num_parameters + second.num_parameters} parameters would take more "
            f"than about {_MAX_RATIONAL_ENTRIES // 10**6} s per candidate; use a positive tolerance"
        )
    joint = difference(read_neurons(first), read_neurons(second))
    if are_equal_exactly(joint):
        return _answer(first, second, 0.0, 0.0, None, "all invariants agree exactly", method="rational")
    tolerance = default_tolerance(first, second)
    bound = _shallow_bound(first, second, tolerance)
    x = _candidates(first, second, tolerance, seed)
    gaps = (_evaluate(first, x) - _evaluate(second, x)).abs().amax(dim=1)
    for index in torch.argsort(gaps, descending=True).tolist():
        if any(value != 0 for value in evaluate_exactly(joint, x[index])):
            reason = "the exact outputs at the witness differ"
            return _answer(first, second, 0.0, bound, x[index], reason, method="rational")
    reason = "the exact invariants differ, but no candidate input shows it"
    return _answer(first, second, 0.0, bound, None, reason, method="rational")


def _answer(
    first: ReLUNetwork,
    second: ReLUNetwork,
    tolerance: float,
    bound: float,
    witness: Tensor | None,
    reason: str,
    *,
    method: Literal["invariants", "rational", "symmetry"] | None = None,
) -> FunctionEquality:
    is_deep = max(first.depth, second.depth) > 2
    scale = float("nan") if is_deep else max(read_neurons(first).scale, read_neurons(second).scale)
    gap, threshold, output_a, output_b = 0.0, 0.0, None, None
    if witness is not None:
        row = witness[None]
        output_a, output_b = _evaluate(first, row)[0], _evaluate(second, row)[0]
        gap = float((output_a - output_b).abs().max())
        if method != "rational":
            threshold = float(
                tolerance * _sizes(first, second, row) + _rounding(first, row) + _rounding(second, row)
            )
    is_equal = witness is None and bound <= tolerance
    return FunctionEquality(
        verdict="different" if witness is not None else "equal" if is_equal else "undecided",
        method=method or ("symmetry" if is_deep else "invariants"),
        tolerance_relative=tolerance,
        scale=scale,
        upper_bound=bound,
        witness=witness,
        output_a=output_a,
        output_b=output_b,
        gap=gap,
        threshold=threshold,
        reason=reason,
    )


def _candidates(first: ReLUNetwork, second: ReLUNetwork, tolerance: float, seed: int) -> Tensor:
    generator = as_generator(seed)
    if max(first.depth, second.depth) <= 2:
        a, b = read_neurons(first), read_neurons(second)
        return candidate_inputs(
            invariants_of(difference(a, b), tolerance),
            all_kinks=invariants_of(a, tolerance),
            generator=generator,
        )
    num_inputs = first.widths[0]
    x = torch.randn(1024, num_inputs, generator=generator, dtype=torch.float64)
    scales = 10.0 ** torch.randint(-2, 3, (1024, 1), generator=generator).to(torch.float64)
    return torch.cat([x, scales * x, torch.zeros(1, num_inputs, dtype=torch.float64)])


def _evaluate(network: ReLUNetwork, x: Tensor) -> Tensor:
    outputs: Tensor = network.to(dtype=torch.float64, device="cpu")(x).detach()
    return outputs


def _sizes(first: ReLUNetwork, second: ReLUNetwork, x: Tensor) -> Tensor:
    if max(first.depth, second.depth) > 2:
        return torch.maximum(deep_magnitude(first, x), deep_magnitude(second, x))
    scale = max(read_neurons(first).scale, read_neurons(second).scale)
    lengths: Tensor = torch.linalg.vector_norm(lifted_rows(x), dim=1)
    return scale * lengths


def _rounding(network: ReLUNetwork, x: Tensor) -> Tensor:
    if network.depth <= 2:
        return evaluation_error(read_neurons(network), x)
    num_terms = sum(network.widths[:-1]) + 2 * network.depth
    error: Tensor = num_terms * torch.finfo(torch.float64).eps * deep_magnitude(network, x)
    return error


def _violates(first: ReLUNetwork, second: ReLUNetwork, witness: Tensor, tolerance: float) -> bool:
    row = witness[None]
    size = float(_sizes(first, second, row))
    if max(first.depth, second.depth) > 2:
        gap = float((_evaluate(first, row) - _evaluate(second, row)).abs().max())
        return gap > tolerance * size + float(_rounding(first, row) + _rounding(second, row))
    a, b = (evaluate_exactly(read_neurons(network), witness) for network in (first, second))
    exact_gap = max(abs(u - v) for u, v in zip(a, b, strict=True))
    return exact_gap > Fraction(tolerance) * Fraction(size)
