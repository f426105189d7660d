"""Whether a quadratic form is positive on a polyhedral cone: the second-order test on a kink."""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.numerics import null_space_basis

__all__ = ["ConeTest", "judge_on_cone", "smallest_on_simplex"]


@dataclass(frozen=True, eq=False)
class ConeTest:
    """What a quadratic form does on a cone.

    Args:
        status: "positive" away from zero, "degenerate" (nowhere negative, zero somewhere), "negative", or
            "undecided" where the inequalities depend on each other.
        direction: A point of the cone where the form is negative, shape ``(n,)``; None otherwise.
    """

    status: Literal["positive", "degenerate", "negative", "undecided"]
    direction: Float[Tensor, " n"] | None


def judge_on_cone(
    form: Float[Tensor, "n n"],
    zero: Float[Tensor, "e n"],
    positive: Float[Tensor, "r n"],
    margin: float,
) -> ConeTest:
    """Decide the sign of ``ηᵀ M η`` on the cone ``{η: E η = 0, P η >= 0}``.

    The subspace inside the cone comes first: there the smallest eigenvalue decides. What is left after
    minimising over that subspace is a form in ``p = P η >= 0``, which must be copositive.

    Args:
        form: Symmetric ``M``.
        zero: Rows ``E``; may be none.
        positive: Rows ``P``; may be none; the cost doubles with each.
        margin: Values of the form on unit vectors up to this count as zero.

    Returns:
        The finding.

    Source:
        Derived here from the Schur complement; step (c) of Yun, Sra and Jadbabaie 2019 (SOSP-check) solves
        the same problem.

    Cost:
        Two eigenvalue decompositions of size n, ``2^r`` linear systems of size up to r.

    Example:
        >>> form = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
        >>> quadrant, none = torch.eye(2, dtype=torch.float64), torch.zeros(0, 2, dtype=torch.float64)
        >>> judge_on_cone(form, none, quadrant, 1e-9).status, judge_on_cone(form, none, none, 1e-9).status
        ('degenerate', 'negative')
    """
    space = null_space_basis(zero)
    reduced = space.mT @ form @ space
    rows = positive @ space
    inner = null_space_basis(rows)
    if rows.shape[0] and space.shape[1] - inner.shape[1] < rows.shape[0]:
        return ConeTest("undecided", None)
    values, vectors = torch.linalg.eigh(inner.mT @ reduced @ inner)
    if len(values) and float(values[0]) < -margin:
        return ConeTest("negative", space @ inner @ vectors[:, 0])
    lift = torch.linalg.pinv(rows) if rows.shape[0] else rows.mT
    flat = vectors[:, values <= margin]
    slopes = flat.mT @ inner.mT @ reduced @ lift
    if slopes.numel() and float(slopes.abs().max()) > math.sqrt(margin * float(form.abs().max())):
        return _along_flat(space, inner @ flat, lift, reduced, slopes)
    firm = vectors[:, values > margin]
    cross = firm.mT @ inner.mT @ reduced @ lift
    best = -(firm / values[values > margin]) @ cross
    descent = lift + inner @ best
    smallest, point = smallest_on_simplex(descent.mT @ reduced @ descent)
    if smallest < -margin:
        return ConeTest("negative", space @ descent @ point)
    is_degenerate = flat.shape[1] > 0 or smallest <= margin
    return ConeTest("degenerate" if is_degenerate else "positive", None)


def smallest_on_simplex(form: Float[Tensor, "r r"]) -> tuple[float, Float[Tensor, " r"]]:
    """Minimise ``pᵀ C p`` over ``p >= 0``, ``Σ p = 1``.

    Args:
        form: Symmetric ``C``, small: the cost is ``2^r`` linear systems.

    Returns:
        The minimum and where it is; infinity for ``r = 0``.
    """
    size = len(form)
    smallest, where = math.inf, form.new_zeros(size)
    for count in range(1, size + 1):
        for chosen in itertools.combinations(range(size), count):
            # A stationary point of a face: C p = μ 1, or C p = 0 where the block is singular.
            block = form[list(chosen)][:, list(chosen)]
            solution, problem = torch.linalg.solve_ex(block, form.new_ones(count))
            if int(problem):
                solution = torch.linalg.eigh(block)[1][:, torch.linalg.eigvalsh(block).abs().argmin()]
            total = float(solution.sum())
            if not math.isfinite(total) or total == 0.0:
                continue
            point = form.new_zeros(size)
            point[list(chosen)] = solution / total
            value = float(point @ form @ point)
            if bool((point >= 0.0).all()) and value < smallest:
                smallest, where = value, point
    for index in range(size):
        if float(form[index, index]) < smallest:
            smallest, where = float(form[index, index]), torch.eye(size, dtype=form.dtype)[index]
    return smallest, where


def _along_flat(space: Tensor, flat: Tensor, lift: Tensor, reduced: Tensor, slopes: Tensor) -> ConeTest:
    """Go along a flat direction, on which a form that is linear there has no lower bound."""
    row, column = divmod(int(slopes.abs().argmax()), slopes.shape[1])
    ray, line = lift[:, column], flat[:, row]
    slope, square = float(slopes[row, column]), float(ray @ reduced @ ray)
    length = -(1.0 + abs(square)) / slope
    return ConeTest("negative", space @ (ray + length * line))
