"""Fewer columns with the same weighted sum and no larger cost: constructive conic Carathéodory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.reduction.null_space_elimination import eliminate, null_space

__all__ = ["Recombination", "Solver", "recombine"]

Solver = Literal["auto", "dense", "blocked", "tree", "nnls"]
Array = NDArray[np.float64]
Indices = NDArray[np.intp]

Tick = Callable[[int], None]


@dataclass(frozen=True)
class Recombination:
    """Result of `recombine`.

    Attributes:
        indices: Columns that stay, ascending, shape ``(k,)``.
        weights: Their weights, above zero, shape ``(k,)``.
        residual_relative: Norm of the change of the weighted sum, over the norm of the sum.
        cost_before: Cost of the weights given.
        cost_after: Cost of the new weights.
        solver: Solver that was used.
    """

    indices: Int[Tensor, " k"]
    weights: Float[Tensor, " k"]
    residual_relative: float
    cost_before: float
    cost_after: float
    solver: Solver


def recombine(
    columns: Float[Tensor, "d m"],
    weights: Float[Tensor, " m"],
    costs: Float[Tensor, " m"],
    *,
    solver: Solver = "auto",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Recombination:
    """Find weights with ``A w' = A w``, ``costs w' <= costs w`` and at most ``rank A`` entries above zero.

    Args:
        columns: ``A``, shape ``(d, m)``, float64. Columns may have any scale; they are normalised inside,
            without which columns of tiny norm would be matched to no relative accuracy.
        weights: ``w >= 0``, shape ``(m,)``.
        costs: Cost of one unit of each column, not negative, shape ``(m,)``.
        solver: "dense": one null space, eliminations along the steepest descent of the cost, best for
            m < 1.5 d. "blocked": the same on d/2 new columns at a time, best up to m = 8 d. "tree": groups
            of columns first, best for m far above d. "nnls": scipy's non-negative least squares with a row
            for the cost, which may keep one column more. "auto" chooses among the first three.
        seed: Grouping of "tree".
        progress: Called as ``progress(columns eliminated, columns to eliminate)``, the latter an estimate.

    Returns:
        The columns that stay.

    Raises:
        ShapeError: If shapes do not fit.
        InputError: If a weight or a cost is negative, or the solver is unknown.

    Source:
        Conic Carathéodory theorem with a cost, as used by Jacot et al. 2022 (number of neurons N(N+1));
        elimination by Householder reflections of the null space derived here.

    Cost:
        dense ``O(m d^2 + m (m-d)^2)``, blocked ``O(m d^2)``, tree ``O(m d + d^3 log(m / d))``.

    Example:
        >>> columns = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]).double()
        >>> result = recombine(columns, torch.ones(3).double(), torch.tensor([1.0, 1.0, 3.0]).double())
        >>> result.indices.tolist(), result.weights.tolist(), result.cost_after
        ([0, 1], [2.0, 2.0], 4.0)
    """
    _check(columns, weights, costs, solver)
    matrix, amounts, prices = (part.detach().numpy() for part in (columns, weights, costs))
    norms = np.linalg.norm(matrix, axis=0)
    active = np.flatnonzero((amounts > 0) & (norms > 0))
    if active.size == 0:
        return Recombination(
            torch.zeros(0).long(), weights.new_zeros(0), 0.0, float(prices @ amounts), 0.0, solver
        )
    normalised = matrix[:, active] / norms[active]
    start, unit_costs = amounts[active] * norms[active], prices[active] / norms[active]
    chosen = _choose(solver, *normalised.shape)
    kept, values = _SOLVERS[chosen](
        normalised, start, unit_costs, np.random.default_rng(seed), _counter(progress, *normalised.shape)
    )
    target = normalised @ start
    kept, values = _refine(normalised, target, unit_costs, kept, values, float(unit_costs @ start))
    order = np.argsort(kept)
    kept, values = kept[order], values[order]
    residual = float(np.linalg.norm(normalised[:, kept] @ values - target))
    scale = float(np.linalg.norm(target))
    return Recombination(
        torch.from_numpy(active[kept]),
        torch.from_numpy(values / norms[active][kept]),
        residual / scale if scale > 0 else residual,
        float(prices @ amounts),
        float(unit_costs[kept] @ values),
        chosen,
    )


def _check(columns: Tensor, weights: Tensor, costs: Tensor, solver: str) -> None:
    if columns.ndim != 2 or columns.dtype != torch.float64:
        raise ShapeError(
            f"columns: expected a float64 matrix (d, m), got {columns.dtype} {tuple(columns.shape)}"
        )
    for name, part in (("weights", weights), ("costs", costs)):
        if part.shape != columns.shape[1:] or part.dtype != torch.float64:
            raise ShapeError(
                f"{name}: expected float64 ({columns.shape[1]},), got {part.dtype} {tuple(part.shape)}"
            )
        if not bool((part >= 0).all()):
            raise InputError(f"{name}: expected no negative entry, the smallest is {float(part.min())}")
    if solver != "auto" and solver not in _SOLVERS:
        raise InputError(f"unknown solver {solver!r}: choose 'auto', {', '.join(map(repr, _SOLVERS))}")


def _choose(solver: Solver, num_rows: int, num_columns: int) -> Solver:
    if solver != "auto":
        return solver
    if num_columns <= 1.5 * num_rows:
        return "dense"
    return "blocked" if num_columns <= 8 * num_rows else "tree"


def _counter(progress: Callable[[int, int], None] | None, num_rows: int, num_columns: int) -> Tick:
    expected, done = max(num_columns - num_rows, 1), 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(min(done, expected), expected)

    return tick


def _dense(
    matrix: Array, start: Array, costs: Array, _: np.random.Generator, tick: Tick
) -> tuple[Indices, Array]:
    kept, values = eliminate(null_space(matrix), start, costs, tick)
    if len(kept) <= matrix.shape[0] and len(kept) < matrix.shape[1]:
        # The quick null space misses directions if the rows are dependent: look once more, with pivoting.
        again, values = eliminate(null_space(matrix[:, kept]), values, costs[kept], tick)
        kept = kept[again]
    return kept, values


def _blocked(
    matrix: Array, start: Array, costs: Array, draws: np.random.Generator, tick: Tick
) -> tuple[Indices, Array]:
    num_rows, num_columns = matrix.shape
    # Dear columns last: they are eliminated against a pool of cheap ones.
    order = np.argsort(costs, kind="stable")
    block = max(num_rows // 2, 16)
    kept: Indices = order[:0]
    values: Array = start[:0]
    for first in range(0, num_columns, block):
        fresh = order[first : first + block]
        pool, amounts = np.concatenate([kept, fresh]), np.concatenate([values, start[fresh]])
        if len(pool) > num_rows:
            inside, amounts = eliminate(null_space(matrix[:, pool]), amounts, costs[pool], tick)
            pool = pool[inside]
        kept, values = pool, amounts
    again, values = _dense(matrix[:, kept], values, costs[kept], draws, tick)
    return kept[again], values


def _tree(
    matrix: Array, start: Array, costs: Array, draws: np.random.Generator, tick: Tick
) -> tuple[Indices, Array]:
    num_rows = matrix.shape[0]
    kept: Indices = np.arange(matrix.shape[1])
    values = start
    while len(kept) > 4 * num_rows:
        group = draws.permutation(len(kept)) % (2 * num_rows)
        sums = np.zeros((num_rows, 2 * num_rows))
        np.add.at(sums.T, group, (matrix[:, kept] * values).T)
        prices = np.bincount(group, weights=costs[kept] * values, minlength=2 * num_rows)
        lengths = np.maximum(np.linalg.norm(sums, axis=0), 1e-300)
        inside, factors = eliminate(null_space(sums / lengths), lengths.copy(), prices / lengths)
        factor = np.zeros(2 * num_rows)
        factor[inside] = factors / lengths[inside]
        values = values * factor[group]
        tick(int((values <= 0).sum()))
        kept, values = kept[values > 0], values[values > 0]
    again, values = _blocked(matrix[:, kept], values, costs[kept], draws, tick)
    return kept[again], values


def _nnls(
    matrix: Array, start: Array, costs: Array, _: np.random.Generator, tick: Tick
) -> tuple[Indices, Array]:
    # Without the cost row the solution may cost more than the start.
    total = float(costs @ start)
    scale = float(np.linalg.norm(matrix @ start)) / total
    system = np.vstack([matrix, scale * costs])
    values, _residual = nnls(system, system @ start)
    kept = np.flatnonzero(values > 0)
    tick(len(start) - len(kept))
    return kept, values[kept]


_SOLVERS = {"dense": _dense, "blocked": _blocked, "tree": _tree, "nnls": _nnls}


def _refine(
    matrix: Array, target: Array, costs: Array, kept: Indices, values: Array, cost_limit: float
) -> tuple[Indices, Array]:
    error = target - matrix[:, kept] @ values
    if len(kept) == 0 or np.linalg.norm(error) <= 1e-12 * np.linalg.norm(target):
        return kept, values
    correction = np.linalg.lstsq(matrix[:, kept], error, rcond=1e-12)[0]
    better = values + correction
    improves = np.linalg.norm(target - matrix[:, kept] @ better) < np.linalg.norm(error)
    if improves and better.min() > 0 and costs[kept] @ better <= cost_limit * (1 + 1e-13):
        return kept, better
    return kept, values
