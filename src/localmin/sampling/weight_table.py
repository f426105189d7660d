"""Tables of weights that passed the checks: float64, finite, not negative, summed in one order everywhere."""

from __future__ import annotations

import hashlib
import math
import operator
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from localmin.errors import InputError, ShapeError

__all__ = [
    "WeightTable",
    "WeightsLike",
    "effective_sample_size",
    "lowest_and_sum",
    "require_nonzero",
    "validate_weights",
]

WeightsLike = Tensor | np.ndarray | Sequence[float]

# Sums are made in this many lanes, which stay in the second-level cache. The number is part of the result.
_LANES = 32_768
# Sums outside this range are rescaled before anything is divided by them or multiplied with them.
_SAFE_TOTAL = (1e-280, 1e300)


@dataclass(frozen=True, eq=False)
class WeightTable:
    """Weights that passed the checks, with their sum.

    Args:
        values: Weights, shape ``(n,)``, float64, contiguous, on the CPU, finite, >= 0, not all zero.
        total: Their sum, far from overflow and underflow.
    """

    values: Float64[Tensor, " n"]
    total: float

    @classmethod
    def of(cls, weights: WeightsLike) -> WeightTable:
        """Check weights as `validate_weights` does and add them up; extreme sums are scaled to fit."""
        values, total = _checked(weights)
        if not _SAFE_TOTAL[0] < total < _SAFE_TOTAL[1]:
            # The largest weight becomes 1e290 at most: small ones must not underflow.
            values = values / max(float(values.max()) * 1e-290, sys.float_info.min)
            total = lowest_and_sum(values)[1]
        return cls(values, total)

    def __len__(self) -> int:
        """Count the weights."""
        return len(self.values)

    @cached_property
    def digest(self) -> str:
        """Fingerprint of the values."""
        return hashlib.blake2b(self.values.numpy().data, digest_size=16).hexdigest()


def validate_weights(weights: WeightsLike) -> Float64[Tensor, " n"]:
    """Check a table of weights and bring it to float64 on the CPU.

    Refuses, with a `ShapeError`, anything but a one-dimensional, non-empty table of real numbers, and,
    with an `InputError` that names the first bad index, weights that are negative, infinite or not a
    number. At least one weight must be above zero.

    Args:
        weights: Drawing weights, shape ``(n,)``, finite, >= 0, in any scale: only ratios matter.

    Returns:
        The weights, shape ``(n,)``, float64, contiguous, on the CPU; the same memory where they already
        were all that.

    Cost:
        One pass over the weights.

    Example:
        >>> validate_weights([1, 0, 3])
        tensor([1., 0., 3.], dtype=torch.float64)
    """
    return _checked(weights)[0]


def require_nonzero(values: Float64[Tensor, " n"], num_samples: int) -> None:
    """Refuse weights of which too few are above zero for a draw of distinct items.

    Args:
        values: Weights, shape ``(n,)``.
        num_samples: Number of distinct items wanted.

    Raises:
        InputError: If fewer than ``num_samples`` weights are above zero.

    Cost:
        One pass over the weights.

    Example:
        >>> require_nonzero(torch.tensor([1.0, 0.0, 3.0]), 2)
    """
    num_nonzero = int(torch.count_nonzero(values))
    if num_nonzero < num_samples:
        raise InputError(
            f"{num_samples} distinct items cannot be drawn from {num_nonzero} weights above zero (of "
            f"{len(values)}); lower num_samples, give more items a weight, or choose another draw"
        )


def effective_sample_size(weights: WeightsLike) -> float:
    """Compute the effective number of examples, ``n_eff = (sum w)^2 / sum w^2``.

    For probabilities this is ``1 / sum p_i^2``: n for equal weights, 1 when one item has them all.

    Args:
        weights: Drawing weights or probabilities, shape ``(n,)``, finite, >= 0, not all zero.

    Returns:
        A number between 1 and the number of non-zero weights; the same for ``c * weights``.

    Cost:
        Three passes over the weights and one copy of them.

    Example:
        >>> effective_sample_size([0.5, 0.5, 0.0])
        2.0
    """
    table = WeightTable.of(weights)
    probabilities = table.values / table.total
    return 1.0 / float(probabilities.dot(probabilities))


def _checked(weights: WeightsLike) -> tuple[Float64[Tensor, " n"], float]:
    """Bring weights to float64 and check them; their sum comes along (infinite where it overflows)."""
    given = weights if isinstance(weights, Tensor) else _from_numbers(weights)
    if given.ndim != 1 or given.numel() == 0 or given.is_complex():
        raise ShapeError(
            f"weights: expected real numbers of shape (n,) with n >= 1, got {given.dtype} of shape "
            f"{tuple(given.shape)}; give one weight per example"
        )
    values = given.detach().to(device="cpu", dtype=torch.float64).contiguous()
    lowest, total = lowest_and_sum(values)
    if lowest < 0.0 or not math.isfinite(total):
        _refuse_bad_weight(values)
    if total == 0.0:
        raise InputError(
            f"weights: all {len(values)} are 0, so nothing can be drawn; give at least one example a weight"
        )
    return values, total


def _from_numbers(weights: np.ndarray | Sequence[float]) -> Tensor:
    """Read an array or a list; torch itself would read a list of numbers as float32."""
    try:
        table = np.asarray(weights)
    except ValueError as error:
        raise ShapeError("weights: expected real numbers of shape (n,), got a ragged table") from error
    if table.dtype.kind not in "biuf":
        raise ShapeError(f"weights: expected real numbers of shape (n,), got {table.dtype} values")
    if not (table.flags.writeable and table.flags.c_contiguous):
        table = table.copy()  # torch warns of the one and refuses some of the other
    return torch.from_numpy(table)


def _refuse_bad_weight(values: Tensor) -> None:
    """Name the first weight that is negative, infinite or not a number; a mere overflow of the sum passes."""
    bad = ((values >= 0.0) & (values < math.inf)).logical_not_().nonzero()
    if len(bad):
        first = int(bad[0])
        raise InputError(
            f"weights[{first}] is {float(values[first])}: expected finite weights >= 0; "
            "give 0 to an example that must never be drawn"
        )


def lowest_and_sum(values: Float64[Tensor, " n"]) -> tuple[float, float]:
    """Find the lowest value and the sum, added in an order of our own."""
    # A library sums in an order that depends on the processor and the threads. A last digit that differs
    # between two ranks could shift every draw after it.
    table = values.numpy()
    lanes = table[:_LANES].copy()
    lowest = float(lanes.min())
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(_LANES, len(table), _LANES):
            piece = table[start : start + _LANES]
            lanes[: len(piece)] += piece
            lowest = min(lowest, float(piece.min()))
    while len(lanes) > 128:
        half = (len(lanes) + 1) // 2
        lanes[: len(lanes) - half] += lanes[half:]
        lanes = lanes[:half]
    return lowest, reduce(operator.add, lanes.tolist())
