"""Fewer columns with the same weighted sum and no larger cost: constructive conic Carathéodory."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.linalg import lapack, qr
from scipy.optimize import nnls
from torch import Tensor

from localmin.errors import InputError, ShapeError

__all__ = ["Recombination", "Solver", "recombine"]

Solver = Literal["auto", "dense", "blocked", "tree", "nnls"]
Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_RANK_TOLERANCE_RELATIVE = 1e-11
_BLOCK = 32


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
    kept, values = _SOLVERS[chosen](normalised, start, unit_costs, np.random.default_rng(seed))
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


def _dense(matrix: Array, start: Array, costs: Array, _: np.random.Generator) -> tuple[Indices, Array]:
    kept, values = _eliminate(_null_space(matrix), start, costs)
    if len(kept) <= matrix.shape[0] and len(kept) < matrix.shape[1]:
        # The quick null space misses directions if the rows are dependent: look once more, with pivoting.
        again, values = _eliminate(_null_space(matrix[:, kept]), values, costs[kept])
        kept = kept[again]
    return kept, values


def _blocked(matrix: Array, start: Array, costs: Array, draws: np.random.Generator) -> tuple[Indices, Array]:
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
            inside, amounts = _eliminate(_null_space(matrix[:, pool]), amounts, costs[pool])
            pool = pool[inside]
        kept, values = pool, amounts
    again, values = _dense(matrix[:, kept], values, costs[kept], draws)
    return kept[again], values


def _tree(matrix: Array, start: Array, costs: Array, draws: np.random.Generator) -> tuple[Indices, Array]:
    num_rows = matrix.shape[0]
    kept: Indices = np.arange(matrix.shape[1])
    values = start
    while len(kept) > 4 * num_rows:
        group = draws.permutation(len(kept)) % (2 * num_rows)
        sums = np.zeros((num_rows, 2 * num_rows))
        np.add.at(sums.T, group, (matrix[:, kept] * values).T)
        prices = np.bincount(group, weights=costs[kept] * values, minlength=2 * num_rows)
        lengths = np.maximum(np.linalg.norm(sums, axis=0), 1e-300)
        inside, factors = _eliminate(_null_space(sums / lengths), lengths.copy(), prices / lengths)
        factor = np.zeros(2 * num_rows)
        factor[inside] = factors / lengths[inside]
        values = values * factor[group]
        kept, values = kept[values > 0], values[values > 0]
    again, values = _blocked(matrix[:, kept], values, costs[kept], draws)
    return kept[again], values


def _nnls(matrix: Array, start: Array, costs: Array, _: np.random.Generator) -> tuple[Indices, Array]:
    # Without the cost row the solution may cost more than the start.
    total = float(costs @ start)
    scale = float(np.linalg.norm(matrix @ start)) / total
    system = np.vstack([matrix, scale * costs])
    values, _residual = nnls(system, system @ start)
    kept = np.flatnonzero(values > 0)
    return kept, values[kept]


_SOLVERS = {"dense": _dense, "blocked": _blocked, "tree": _tree, "nnls": _nnls}


def _null_space(matrix: Array) -> Array:
    # Orthonormal columns, orthogonal to the rows of a (d, m) matrix, in Fortran order.
    num_rows, num_columns = matrix.shape
    if num_columns > num_rows:
        factored, tau, _, _ = lapack.dgeqrf(matrix.T, lwork=64 * num_rows)
        tail = np.zeros((num_columns, num_columns - num_rows), order="F")
        tail[num_rows:] = np.eye(num_columns - num_rows)
        basis, _, _ = lapack.dormqr("L", "N", factored, tau, tail, lwork=64 * tail.shape[1], overwrite_c=1)
        return np.asfortranarray(basis)
    triangle = qr(matrix, mode="r", check_finite=False)[0][:num_columns]
    orthogonal, rest, _ = qr(triangle.T, pivoting=True, check_finite=False)
    diagonal = np.abs(np.diag(rest))
    rank = int((diagonal > _RANK_TOLERANCE_RELATIVE * diagonal[:1]).sum()) if diagonal.size else 0
    return np.asfortranarray(orthogonal[:, rank:])


def _eliminate(basis: Array, start: Array, costs: Array) -> tuple[Indices, Array]:
    # Move along the null space, never raising the cost, until one column after the other is empty.
    # Removing a column reflects the basis so that only its last vector touches the column, and drops that
    # vector: the rest stays an orthonormal null space of the columns that are left. Reflections are
    # collected and applied a block at a time, so that a step reads the basis once.
    indices, values, prices = np.arange(len(start)), start, costs
    while basis.shape[1] > 0 and len(values) > 0:
        block = _EliminationBlock(basis, values, prices)
        basis = block.run()
        left = np.flatnonzero(block.alive)
        indices, values, prices = indices[left], block.values[left], prices[left]
        if block.finished:
            break
    kept = np.flatnonzero(values > 0)
    return indices[kept], values[kept]


class _EliminationBlock:
    """Up to `_BLOCK` eliminations; the current basis is ``Q (I - Y T Yᵀ)`` without its last columns."""

    def __init__(self, basis: Array, values: Array, prices: Array) -> None:
        self.basis = basis
        self.values = values.copy()
        self.alive = np.ones(len(values), dtype=bool)
        self.finished = False
        self.slope = basis.T @ prices
        # Below this the projected cost is rounding: any null vector will do.
        self.negligible = 1e-13 * float(np.linalg.norm(prices))
        size = min(_BLOCK, basis.shape[1])
        self.reflectors = np.zeros((basis.shape[1], size), order="F")
        self.coupling = np.zeros((size, size))

    def run(self) -> Array:
        """Eliminate up to a block of columns.

        Returns:
            The reflected basis of what is left.
        """
        num_done = 0
        for number in range(self.reflectors.shape[1]):
            emptied = self._step(number)
            if emptied is None:
                self.finished = True
                break
            self._reflect(number, emptied)
            num_done += 1
        used, coupling = self.reflectors[:, :num_done], self.coupling[:num_done, :num_done]
        left, remaining = self.basis[self.alive], self.basis.shape[1] - num_done
        reflected = left[:, :remaining] - (left @ used @ coupling) @ used[:remaining].T
        return np.asfortranarray(reflected)

    def _step(self, number: int) -> int | None:
        coordinates = -self.slope
        if float(np.linalg.norm(coordinates)) <= self.negligible:
            coordinates = np.zeros_like(coordinates)
            coordinates[self.basis.shape[1] - number - 1] = 1.0
        used, coupling = self.reflectors[:, :number], self.coupling[:number, :number]
        direction = self.basis @ (coordinates - used @ (coupling @ (used.T @ coordinates)))
        direction[~self.alive] = 0.0
        if direction.min() >= 0:
            direction = -direction
        falling = np.flatnonzero(direction < 0)
        if falling.size == 0:
            return None
        ratios = self.values[falling] / -direction[falling]
        where = int(ratios.argmin())
        emptied = int(falling[where])
        self.values = np.maximum(self.values + ratios[where] * direction, 0.0)
        self.values[emptied] = 0.0
        self.alive[emptied] = False
        return emptied

    def _reflect(self, number: int, row: int) -> None:
        used, coupling = self.reflectors[:, :number], self.coupling[:number, :number]
        last = self.basis.shape[1] - number - 1
        reflector = self.basis[row] - used @ (coupling.T @ (used.T @ self.basis[row]))
        reflector[last + 1 :] = 0.0
        reflector[last] += np.copysign(float(np.linalg.norm(reflector)), reflector[last])
        square = float(reflector @ reflector)
        factor = 2.0 / square if square > 0 else 0.0
        self.coupling[:number, number] = -factor * (coupling @ (used.T @ reflector))
        self.coupling[number, number] = factor
        self.reflectors[:, number] = reflector
        self.slope -= factor * float(self.slope @ reflector) * reflector
        self.slope[last] = 0.0


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
