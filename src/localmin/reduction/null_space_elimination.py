"""Elimination along the null space of a matrix: one column after the other, at falling cost."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack, qr

__all__ = ["eliminate", "null_space"]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_RANK_TOLERANCE_RELATIVE = 1e-11
_CLEARLY_INDEPENDENT = 1e-10
_BLOCK = 32


def null_space(matrix: Array) -> Array:
    """Build an orthonormal null space.

    Args:
        matrix: Shape ``(d, m)``, columns of norm 1. If ``m > d`` its rows are taken as independent: where
            they are not, directions are missing.

    Returns:
        Orthonormal columns, shape ``(m, k)``, in Fortran order.
    """
    num_rows, num_columns = matrix.shape
    if num_columns > num_rows:
        factored, tau, _, _ = lapack.dgeqrf(matrix.T, lwork=64 * num_rows)
        tail = np.zeros((num_columns, num_columns - num_rows), order="F")
        tail[num_rows:] = np.eye(num_columns - num_rows)
        basis, _, _ = lapack.dormqr("L", "N", factored, tau, tail, lwork=64 * tail.shape[1], overwrite_c=1)
        return np.asfortranarray(basis)
    if _clearly_independent(matrix):
        return np.zeros((num_columns, 0), order="F")
    triangle = qr(matrix, mode="r", check_finite=False)[0][:num_columns]
    orthogonal, rest, _ = qr(triangle.T, pivoting=True, check_finite=False)
    diagonal = np.abs(np.diag(rest))
    rank = int((diagonal > _RANK_TOLERANCE_RELATIVE * diagonal[:1]).sum()) if diagonal.size else 0
    return np.asfortranarray(orthogonal[:, rank:])


def _clearly_independent(matrix: Array) -> bool:
    # Much cheaper than the pivoted factorisation that decides the other cases. The Gram matrix squares the
    # condition number, so this says yes only up to 1e5.
    factor, failed = lapack.dpotrf(matrix.T @ matrix, overwrite_a=1)
    if failed or matrix.shape[1] == 0:
        return False
    diagonal: Array = np.diag(factor)
    norm = float(matrix.shape[1])  # of a Gram matrix with ones on its diagonal, at most
    reciprocal, _ = lapack.dpocon(factor, norm)
    return bool(reciprocal > _CLEARLY_INDEPENDENT and diagonal.min() > 0)


def eliminate(
    basis: Array, start: Array, costs: Array, tick: Callable[[int], None] | None = None
) -> tuple[Indices, Array]:
    """Empty as many columns as the null space has dimensions, never raising the cost.

    Args:
        basis: As from `null_space`, shape ``(m, k)``.
        start: Weights above 0, shape ``(m,)``.
        costs: Cost of one unit of each column.
        tick: Told the number of columns emptied, block by block.

    Returns:
        Indices that stay, and their weights.
    """
    # Move along the null space, never raising the cost, until one column after the other is empty.
    # Removing a column reflects the basis so that only its last vector touches the column, and drops that
    # vector: the rest stays an orthonormal null space of the columns that are left. Reflections are
    # collected and applied a block at a time, so that a step reads the basis once.
    indices, values, prices = np.arange(len(start)), start, costs
    while basis.shape[1] > 0 and len(values) > 0:
        block = _EliminationBlock(basis, values, prices)
        basis = block.run()
        left = np.flatnonzero(block.alive)
        if tick is not None:
            tick(len(values) - len(left))
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
