"""Exact arithmetic: floating-point weights are rational numbers, so equality can be decided."""

from collections.abc import Sequence
from fractions import Fraction

from jaxtyping import Float
from torch import Tensor

from localmin.networks import ReLUNetwork
from localmin.realization.neurons import Neurons

__all__ = ["are_equal_exactly", "evaluate_exactly"]

Vector = tuple[Fraction, ...]

_ZERO = Fraction(0)


def are_equal_exactly(difference: Neurons) -> bool:
    """Decide whether ``f_a - f_b`` is the zero function of real numbers, in rational arithmetic.

    For parallel directions ``a_i = s_i h`` (``s_i`` of either sign, ``h`` scaled to have 1 as its first
    entry that is not zero) the jump is ``sum_i c_i |s_i|``, so no root is needed and nothing is rounded.

    Args:
        difference: Neurons of ``f_a - f_b``, every entry finite.

    Returns:
        True exactly if all jumps and the affine part vanish.
    """
    zero = (_ZERO,) * difference.num_outputs
    jumps: dict[Vector, Vector] = {}
    affine = [[2 * entry for entry in _fractions(row)] for row in difference.affine]
    for direction, output in zip(difference.directions, difference.outputs, strict=True):
        a, c = _fractions(direction), _fractions(output)
        pivot = next((entry for entry in a[:-1] if entry != 0), None)
        if pivot is None:
            # A neuron without weights is the constant c relu(b).
            a = (*a[:-1], 2 * max(a[-1], _ZERO))
        else:
            key = tuple(entry / pivot for entry in a)
            before = jumps.get(key, zero)
            jumps[key] = tuple(v + entry * abs(pivot) for v, entry in zip(before, c, strict=True))
        for row, entry in zip(affine, c, strict=True):
            for column, value in enumerate(a):
                row[column] += entry * value
    return all(jump == zero for jump in jumps.values()) and all(entry == 0 for row in affine for entry in row)


def evaluate_exactly(network: ReLUNetwork, x: Float[Tensor, " d"]) -> Vector:
    """Evaluate a network at one point in rational arithmetic.

    Args:
        network: Any depth.
        x: The point; its floating-point entries are taken as they are.

    Returns:
        One fraction for each output.

    Cost:
        Some microseconds for each weight; numbers grow by a word for each layer.
    """
    values = _fractions(x)
    for layer, (weight, bias) in enumerate(zip(network.weights, network.bias_vectors, strict=True)):
        if layer > 0:
            values = tuple(max(value, _ZERO) for value in values)
        values = tuple(
            _inner(row, values) + Fraction(shift)
            for row, shift in zip(weight.tolist(), bias.tolist(), strict=True)
        )
    return values


def _fractions(row: Tensor) -> Vector:
    return tuple(Fraction(entry) for entry in row.tolist())


def _inner(weights: Sequence[float], values: Sequence[Fraction]) -> Fraction:
    return sum((Fraction(w) * v for w, v in zip(weights, values, strict=True) if w and v), _ZERO)
