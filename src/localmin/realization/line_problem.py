"""A regularised problem over functions on a line, small enough to bound local and global minima exactly.

Functions on [0, 1] that are linear on cells, with total variation of the slope at most ``C``: a convex set
``S``. Networks with a linear skip and ``m`` neurons are its members with at most ``m`` kinks. The loss is the
mean absolute residual at the nodes, so every minimum over a convex part of ``S`` is a linear program.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, diags_array, eye_array, hstack, vstack

__all__ = ["LineFunction", "LineProblem"]


@dataclass(frozen=True, eq=False)
class LineFunction:
    """A function ``f(0) + integral of the slopes`` and its loss.

    Args:
        start: ``f(0)``.
        slopes: Slope on each cell.
        loss: Its loss.
    """

    start: float
    slopes: np.ndarray
    loss: float


@dataclass(frozen=True, eq=False)
class LineProblem:
    """Hold the data and the bound of the regulariser.

    The norm is ``max(|f(0)|, max|slope|)``; in it the loss is Lipschitz with constant 2.

    Args:
        targets: Targets at the equidistant nodes, the ends of the cells.
        variation: Largest total variation ``C`` of the slope.
    """

    targets: np.ndarray
    variation: float

    lipschitz = 2.0

    @property
    def num_cells(self) -> int:
        """Number of cells."""
        return len(self.targets) - 1

    def approximation(self, num_kinks: int) -> float:
        """Bound the distance of any member of ``S`` from those with few kinks, ``C / (m + 1)``.

        Start a new piece whenever the slope has moved by more than that since the piece began; each new
        piece uses up as much variation, so there are at most ``m`` of them (derived here).

        Args:
            num_kinks: ``m``.

        Returns:
            The bound.
        """
        return self.variation / (num_kinks + 1)

    def distance(self, a: LineFunction, b: LineFunction) -> float:
        """Compute the norm of the difference.

        Args:
            a: First function.
            b: Second function.

        Returns:
            ``max(|a(0) - b(0)|, max|slopes|)``.
        """
        return max(abs(a.start - b.start), float(np.abs(a.slopes - b.slopes).max()))

    def minimum(
        self,
        *,
        kinks: np.ndarray | None = None,
        center: LineFunction | None = None,
        radius: float = np.inf,
    ) -> LineFunction:
        """Minimise the loss over a convex part of ``S``, a linear program.

        Args:
            kinks: Indices of the inner nodes at which the slope may change; all by default.
            center: Only functions within ``radius`` of this one count.
            radius: The radius.

        Returns:
            A minimiser.

        Raises:
            RuntimeError: If the solver fails, which a bounded feasible program does not allow.
        """
        cells = self.num_cells
        # Unknowns: f(0), slopes, sizes of the kinks, sizes of the residuals.
        values = np.hstack([np.ones((cells + 1, 1)), np.tril(np.ones((cells + 1, cells)), -1) / cells])
        jumps = hstack(
            [csr_array((cells - 1, 1)), diags_array([-1.0, 1.0], offsets=[0, 1], shape=(cells - 1, cells))]
        )
        kink_size, residual_size = eye_array(cells - 1), eye_array(cells + 1)
        no_kinks, no_residuals = csr_array((cells + 1, cells - 1)), csr_array((cells - 1, cells + 1))
        total = hstack([csr_array((1, cells + 1)), np.ones((1, cells - 1)), csr_array((1, cells + 1))])
        matrix = vstack(
            [
                hstack([values, no_kinks, -residual_size]),
                hstack([-values, no_kinks, -residual_size]),
                hstack([jumps, -kink_size, no_residuals]),
                hstack([-jumps, -kink_size, no_residuals]),
                total,
            ]
        )
        limits = np.concatenate([self.targets, -self.targets, np.zeros(2 * (cells - 1)), [self.variation]])
        lows, highs = np.full(cells + 1, -np.inf), np.full(cells + 1, np.inf)
        if center is not None:
            middle = np.concatenate([[center.start], center.slopes])
            lows, highs = middle - radius, middle + radius
        largest_kinks = np.full(cells - 1, np.inf)
        if kinks is not None:
            largest_kinks[:] = 0.0
            largest_kinks[kinks] = np.inf
        bounds = np.stack(
            [
                np.concatenate([lows, np.zeros(2 * cells)]),
                np.concatenate([highs, largest_kinks, np.full(cells + 1, np.inf)]),
            ],
            axis=1,
        )
        cost = np.concatenate([np.zeros(2 * cells), np.full(cells + 1, 1 / (cells + 1))])
        answer = linprog(cost, A_ub=matrix.tocsr(), b_ub=limits, bounds=bounds, method="highs")
        if answer.status != 0:
            raise RuntimeError(f"the linear program did not solve: {answer.message}")
        return LineFunction(float(answer.x[0]), answer.x[1 : cells + 1], float(answer.fun))

    def fit_kinks(self, num_kinks: int) -> LineFunction:
        """Fit a function with few kinks: from equidistant ones, move each while that helps, once around.

        Args:
            num_kinks: Most kinks, at least 1.

        Returns:
            The fit: optimal for its kinks.
        """
        last = self.num_cells - 2
        kinks = np.unique(np.linspace(0, last, num_kinks + 2).round().astype(int)[1:-1])
        best = self.minimum(kinks=kinks)
        for index in range(len(kinks)):
            for step in (-1, 1):
                moved = kinks.copy()
                moved[index] = min(max(moved[index] + step, 0), last)
                found = self.minimum(kinks=moved)
                if found.loss < best.loss - 1e-12:
                    kinks, best = moved, found
        return best
