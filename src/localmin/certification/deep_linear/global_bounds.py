"""What the global minimum and all critical losses of a deep linear network are, and how far a point is."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.certification.deep_linear.chains import Chain
from localmin.certification.deep_linear.data import decompose, read_data, read_problem, whiten
from localmin.errors import InputError, ShapeError

__all__ = ["CriticalValue", "critical_values", "global_minimum_loss", "optimality_gap"]


@dataclass(frozen=True)
class CriticalValue:
    """A loss at which critical points exist.

    Args:
        loss: Half the sum of squares.
        selected: Singular components of the whitened target that products of this loss use, from 1.
    """

    loss: float
    selected: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        return {**asdict(self), "selected": list(self.selected)}


def critical_values(
    x: Float[Tensor, "n inputs"],
    y: Float[Tensor, "n outputs"],
    widths: Sequence[int],
    *,
    max_values: int = 100_000,
) -> tuple[CriticalValue, ...]:
    """List all losses of critical points, ``½ (‖y‖² - Σ_{i in S} s_i²)``, ``|S|`` up to the smallest width.

    Args:
        x: Inputs, shape ``(n, d_0)``.
        y: Targets, shape ``(n, d_N)``.
        widths: ``(d_0, ..., d_N)``.
        max_values: Largest number of sets that are listed.

    Returns:
        One entry for each set ``S``, ascending in the loss; the first is the global minimum. Depths of two
        and more have the same list.

    Raises:
        ShapeError: If the widths do not fit the data.
        InputError: If there would be more sets than ``max_values``, or a width is negative.
        DataError: If the data are empty or not finite.

    Source:
        Kawaguchi 2016, Lemmas 4.2 and 4.6, for the form of critical points; that every set occurs is derived
        here (`construct_critical_point`).

    Example:
        >>> target = torch.diag(torch.tensor([3.0, 1.0]))
        >>> [value.loss for value in critical_values(torch.eye(2), target, (2, 2, 2))]
        [0.0, 0.5, 4.5, 5.0]
    """
    x, y = _read(x, y, widths)
    whitening = whiten(x, y)
    squares = decompose(whitening.target, y).values.square().tolist()
    largest = min(*widths, len(squares))
    num_sets = sum(math.comb(len(squares), size) for size in range(largest + 1))
    if num_sets > max_values:
        raise InputError(
            f"{len(squares)} singular values and smallest width {min(widths)} give {num_sets} losses, "
            f"more than max_values = {max_values}; for the smallest one use global_minimum_loss"
        )
    found = []
    for size in range(largest + 1):
        for chosen in itertools.combinations(range(len(squares)), size):
            missed = sum(square for index, square in enumerate(squares) if index not in chosen)
            found.append(CriticalValue(whitening.constant + 0.5 * missed, tuple(k + 1 for k in chosen)))
    return tuple(sorted(found, key=lambda value: (value.loss, value.selected)))


def global_minimum_loss(
    x: Float[Tensor, "n inputs"], y: Float[Tensor, "n outputs"], widths: Sequence[int]
) -> float:
    """Compute the smallest loss, ``½ (‖y‖² - Σ_{i <= p} s_i²)`` with the smallest of all widths ``p``.

    Args:
        x: Inputs, shape ``(n, d_0)``.
        y: Targets, shape ``(n, d_N)``.
        widths: ``(d_0, ..., d_N)``.

    Returns:
        Half the sum of squares at a global minimum.

    Raises:
        ShapeError: If the widths do not fit the data.
        InputError: If a width is negative.
        DataError: If the data are empty or not finite.

    Source:
        Kawaguchi 2016, Section 4, with the rank of the data in place of its assumptions.

    Example:
        >>> target = torch.diag(torch.tensor([3.0, 1.0]))
        >>> [global_minimum_loss(torch.eye(2), target, (2, width, 2)) for width in (0, 1, 2)]
        [5.0, 0.5, 0.0]
    """
    x, y = _read(x, y, widths)
    whitening = whiten(x, y)
    values = decompose(whitening.target, y).values
    return whitening.constant + 0.5 * float(values[min(widths) :].square().sum())


def optimality_gap(
    weights: Sequence[Float[Tensor, "_ _"]], x: Float[Tensor, "n inputs"], y: Float[Tensor, "n outputs"]
) -> float:
    """Bound ``L(W) - min L`` at any point, critical or not, by ``‖A_1ᵀ G‖² / (2 σ(A_1)²)``.

    ``A_1 = W_N ⋯ W_2``, ``G`` is the whitened residual and ``σ`` the ``d_N``-th singular value. The bound
    needs every hidden layer to be at least as wide as the output.

    Args:
        weights: ``W_1, ..., W_N``.
        x: Inputs, shape ``(n, d_0)``.
        y: Targets, shape ``(n, d_N)``.

    Returns:
        An upper bound, in the unit of the loss (half the sum of squares), in exact arithmetic; infinity where
        ``A_1`` has not full row rank, as with a narrower hidden layer.

    Raises:
        ShapeError: If shapes do not chain.
        InputError: If a weight is not finite.
        DataError: If the data are empty or not finite.

    Source:
        Derived here.

    Cost:
        One singular value decomposition of the data and one of the product.

    Example:
        >>> eye = torch.eye(2)
        >>> round(optimality_gap([torch.zeros(2, 2), eye], eye, torch.diag(torch.tensor([3.0, 1.0]))), 9)
        5.0
    """
    checked, inputs, targets = read_problem(weights, x, y)
    whitening = whiten(inputs, targets)
    chain = Chain([checked[0] @ whitening.lift, *checked[1:]])
    upper = chain.after(1)
    num_outputs = upper.shape[0]
    values = torch.linalg.svdvals(upper) if upper.numel() else upper.new_zeros(0)
    rounding = max(upper.shape) * torch.finfo(upper.dtype).eps * float(values[0]) if len(values) else 0.0
    if len(values) < num_outputs or not float(values[num_outputs - 1]) > rounding:
        return math.inf
    pulled = upper.mT @ (chain.product - whitening.target)
    return 0.5 * float(pulled.square().sum()) / float(values[num_outputs - 1]) ** 2


def _read(x: Tensor, y: Tensor, widths: Sequence[int]) -> tuple[Tensor, Tensor]:
    x, y = read_data(x, y)
    if len(widths) < 2 or (widths[0], widths[-1]) != (x.shape[1], y.shape[1]):
        raise ShapeError(
            f"expected widths ({x.shape[1]}, ..., {y.shape[1]}) for this data, got {tuple(widths)}"
        )
    if min(widths) < 0:
        raise InputError(f"expected widths that are not negative, got {tuple(widths)}")
    return x, y
