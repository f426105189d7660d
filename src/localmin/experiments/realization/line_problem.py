"""A regularised problem over functions on a line, small enough to bound local and global minima exactly.

Functions on [0, 1] whose slope has total variation at most ``C``: a convex set ``S``, the ball of a convex
quasi-norm. Networks with a linear skip and ``m`` neurons are its members with at most ``m`` kinks. The loss
is the mean absolute residual at data nodes, so the minimum over ``S`` is a linear program.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, diags_array, eye_array, hstack, vstack

__all__ = ["LineFunction", "LineProblem"]


@dataclass(frozen=True, eq=False)
class LineFunction:
    """A piecewise linear function: ``f(0)``, the slope on each cell of a grid, and its loss.

    Args:
        start: ``f(0)``.
        grid: Ends of the cells, from 0 to 1.
        slopes: One for each cell.
        loss: Mean absolute residual at the data.
    """

    start: float
    grid: np.ndarray
    slopes: np.ndarray
    loss: float

    @property
    def variation(self) -> float:
        """Total variation of the slope."""
        return float(np.abs(np.diff(self.slopes)).sum())

    def values(self, x: np.ndarray) -> np.ndarray:
        """Evaluate at points of [0, 1]."""
        ends = self.start + np.concatenate([[0.0], np.cumsum(self.slopes * np.diff(self.grid))])
        found: np.ndarray = np.interp(x, self.grid, ends)
        return found

    def slopes_on(self, grid: np.ndarray) -> np.ndarray:
        """Give the slopes on the cells of a finer grid."""
        middles = (grid[1:] + grid[:-1]) / 2
        cells = np.clip(np.searchsorted(self.grid, middles) - 1, 0, len(self.slopes) - 1)
        found: np.ndarray = self.slopes[cells]
        return found


@dataclass(frozen=True, eq=False)
class LineProblem:
    """Hold the data and the bound of the regulariser.

    The norm is ``max(|f(0)|, sup|slope|)``; in it the loss is Lipschitz with constant 2.

    Args:
        nodes: Where the data is, increasing, from 0 to 1.
        targets: One for each node.
        variation: Largest total variation ``C`` of the slope.
    """

    nodes: np.ndarray
    targets: np.ndarray
    variation: float

    lipschitz = 2.0

    def approximation(self, num_kinks: int) -> float:
        """Bound the distance of any member of ``S`` from those with few kinks, ``C / (m + 1)``.

        See `few_kinks` for the construction (derived here).

        Args:
            num_kinks: ``m``.

        Returns:
            The bound.
        """
        return self.variation / (num_kinks + 1)

    def few_kinks(self, function: LineFunction, num_kinks: int) -> LineFunction:
        """Approximate a member of ``S`` by one with few kinks, within `approximation`.

        Start a new piece whenever the slope has moved by more than ``C / (m + 1)`` since the piece began,
        and keep the slope of its beginning: each new piece uses up as much variation, so there are at
        most ``m`` of them, and the variation does not grow.

        Args:
            function: In ``S``.
            num_kinks: ``m``.

        Returns:
            The approximation.
        """
        limit = self.approximation(num_kinks) * (1 + 1e-9)
        slopes = function.slopes.copy()
        current = slopes[0]
        for index, slope in enumerate(slopes):
            if abs(slope - current) > limit:
                current = slope
            slopes[index] = current
        return self.function(function.start, function.grid, slopes)

    def function(self, start: float, grid: np.ndarray, slopes: np.ndarray) -> LineFunction:
        """Build a function together with its loss."""
        found = LineFunction(start, grid, slopes, 0.0)
        loss = float(np.abs(found.values(self.nodes) - self.targets).mean())
        return LineFunction(start, grid, slopes, loss)

    def distance(self, a: LineFunction, b: LineFunction) -> float:
        """Compute the norm of the difference, exactly."""
        grid = np.union1d(a.grid, b.grid)
        gaps = np.abs(a.slopes_on(grid) - b.slopes_on(grid))
        return max(abs(float(a.start) - float(b.start)), float(gaps.max()))

    def mix(self, a: LineFunction, b: LineFunction, share: float) -> LineFunction:
        """Build ``(1 - share) a + share b``."""
        grid = np.union1d(a.grid, b.grid)
        slopes = (1 - share) * a.slopes_on(grid) + share * b.slopes_on(grid)
        return self.function((1 - share) * a.start + share * b.start, grid, slopes)

    def minimum(self) -> LineFunction:
        """Minimise the loss over ``S``, a linear program.

        Interpolating a function at the nodes changes no residual and does not increase the variation, so
        functions linear between the nodes are enough.

        Returns:
            A minimiser.

        Raises:
            RuntimeError: If the solver fails, which a bounded feasible program does not allow.
        """
        lengths = np.diff(self.nodes)
        cells = len(lengths)
        # Unknowns: f(0), slopes, sizes of the kinks, sizes of the residuals.
        values = np.hstack([np.ones((cells + 1, 1)), np.tril(np.ones((cells + 1, cells)), -1) * lengths])
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
        free = np.full(cells + 1, np.inf)
        bounds = np.stack(
            [
                np.concatenate([-free, np.zeros(2 * cells)]),
                np.concatenate([free, np.full(2 * cells, np.inf)]),
            ],
            axis=1,
        )
        cost = np.concatenate([np.zeros(2 * cells), np.full(cells + 1, 1 / (cells + 1))])
        answer = linprog(cost, A_ub=matrix.tocsr(), b_ub=limits, bounds=bounds, method="highs")
        if answer.status != 0:
            raise RuntimeError(f"the linear program did not solve: {answer.message}")
        return self.function(float(answer.x[0]), self.nodes, answer.x[1 : cells + 1])

    def minimum_with_kinks(self, kinks: np.ndarray) -> LineFunction:
        """Minimise the loss over members of ``S`` with kinks at given places only, a linear program.

        Args:
            kinks: Places inside (0, 1).

        Returns:
            A minimiser: the best output layer of a network whose hidden layer has these kinks.

        Raises:
            RuntimeError: If the solver fails, which a bounded feasible program does not allow.
        """
        places = np.unique(kinks)
        hinges = np.maximum(self.nodes[:, None] - places, 0.0)
        count, num_nodes = len(places), len(self.nodes)
        # Unknowns: f(0), first slope, jumps up, jumps down, sizes of the residuals.
        values = np.hstack([np.ones((num_nodes, 1)), self.nodes[:, None], hinges, -hinges])
        residuals = -np.eye(num_nodes)
        total = np.concatenate([np.zeros(2), np.ones(2 * count), np.zeros(num_nodes)])
        matrix = np.vstack([np.hstack([values, residuals]), np.hstack([-values, residuals]), total])
        limits = np.concatenate([self.targets, -self.targets, [self.variation]])
        bounds = [(None, None)] * 2 + [(0.0, None)] * (2 * count + num_nodes)
        cost = np.concatenate([np.zeros(2 + 2 * count), np.full(num_nodes, 1 / num_nodes)])
        answer = linprog(cost, A_ub=matrix, b_ub=limits, bounds=bounds, method="highs")
        if answer.status != 0:
            raise RuntimeError(f"the linear program did not solve: {answer.message}")
        jumps = answer.x[2 : 2 + count] - answer.x[2 + count : 2 + 2 * count]
        slopes = answer.x[1] + np.concatenate([[0.0], np.cumsum(jumps)])
        return self.function(float(answer.x[0]), np.concatenate([[0.0], places, [1.0]]), slopes)
