"""Exact mean first passage times in one dimension: the diffusion, its Euler chain, out of an interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from localmin.errors import InputError
from localmin.langevin.theory.spectra import check_positive

__all__ = [
    "euler_chain_first_passage_1d",
    "hitting_barrier_shift",
    "mean_first_passage_1d",
    "ou_exit_time",
]

Function1D = Callable[..., object]

_NODES_PER_PANEL = 10
_NEGLIGIBLE_EXPONENT = 60.0  # e^-60: density below this share of its peak is left out
_CONTINUITY_CORRECTION = 0.5825971579390107  # -zeta(1/2)/sqrt(2 pi)


def mean_first_passage_1d(potential: Function1D, beta: float, start: float, target: float) -> float:
    """Compute the mean time of overdamped dynamics from start to target, exactly.

    beta * integral from start to target of e^(beta F(y)) (integral of e^(-beta F(z)) behind y) dy.
    The potential must confine the path on the side away from the target.

    Args:
        potential: F, a function of one coordinate (of an array, or of a number).
        beta: Inverse temperature, above zero.
        start: Starting point.
        target: Point to hit, on either side of the start.

    Returns:
        The mean first passage time, to about 1e-9 relative for smooth potentials; 0.0 if start is target.

    Raises:
        InputError: If the potential does not confine, is not finite, or exp(beta F) overflows.

    Source:
        Classical formula for one-dimensional diffusions; quadrature written here.

    Cost:
        Some ten thousand evaluations of the potential; deterministic.

    Example:
        >>> round(mean_first_passage_1d(lambda x: (x**2 - 1) ** 2 / 4, 12.0, -1.0, 1.0), 4)
        106.5604
    """
    check_positive("beta", beta)
    if not (np.isfinite(start) and np.isfinite(target)):
        raise InputError(f"start and target must be finite, got {start!r} and {target!r}")
    if start == target:
        return 0.0
    if target < start:
        return mean_first_passage_1d(_mirrored(potential), beta, -start, -target)
    energy = _vectorised(potential)
    lower = _confining_bound(energy, beta, start, target)
    previous, panels = np.nan, 64
    for _ in range(7):
        current = _passage_quadrature(energy, beta, lower, start, target, panels)
        if abs(current - previous) <= 1e-11 * abs(current):
            break
        previous, panels = current, panels * 2
    return current


def _mirrored(potential: Function1D) -> Function1D:
    return lambda x: potential(-x)


def _vectorised(potential: Function1D) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    def energy(x: NDArray[np.float64]) -> NDArray[np.float64]:
        try:
            values = np.asarray(potential(x), dtype=np.float64)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != x.shape:
            values = np.array([float(potential(float(one))) for one in x.ravel()]).reshape(x.shape)  # type: ignore[arg-type]
        if not np.isfinite(values).all():
            raise InputError("the potential is not finite everywhere on the path's side of the target")
        return values

    return energy


def _confining_bound(
    energy: Callable[[NDArray[np.float64]], NDArray[np.float64]], beta: float, start: float, target: float
) -> float:
    reach = max(target - start, 1e-3)
    for _ in range(60):
        grid = np.linspace(start - reach, target, 2001)
        values = beta * energy(grid)
        if values[0] - values.min() > _NEGLIGIBLE_EXPONENT and values[0] >= values[1]:
            # Cut where the density first becomes negligible, seen from the minimum, for a fine grid.
            lowest = int(values.argmin())
            negligible = np.flatnonzero(values[: lowest + 1] - values.min() > _NEGLIGIBLE_EXPONENT)
            return float(grid[min(negligible[-1], int(np.searchsorted(grid, start)))])
        reach *= 1.5
    raise InputError("the potential does not confine the path on the side away from the target")


def _passage_quadrature(
    energy: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    beta: float,
    lower: float,
    start: float,
    target: float,
    panels: int,
) -> float:
    share = max(int(panels * (start - lower) / (target - lower)), 1)
    edges = np.concatenate([np.linspace(lower, start, share + 1), np.linspace(start, target, panels + 1)[1:]])
    if start == lower:
        edges = np.linspace(start, target, panels + 1)
        share = 0
    nodes, weights = np.polynomial.legendre.leggauss(_NODES_PER_PANEL)
    half = np.diff(edges)[:, None] / 2
    points = (edges[:-1, None] + edges[1:, None]) / 2 + half * nodes
    values = beta * energy(points.ravel()).reshape(points.shape)
    ground = values.min()
    density = np.exp(ground - values)
    panel_sums = (density * weights * half).sum(axis=1)
    before = np.concatenate([[0.0], np.cumsum(panel_sums)[:-1]])
    within = half * (density @ _cumulative_weights(nodes).T)
    with np.errstate(over="ignore"):
        growth = np.exp(values[share:] - ground)
        total = beta * float((growth * (before[:, None] + within)[share:] * weights * half[share:]).sum())
    if not np.isfinite(total):
        raise InputError("exp(beta F) overflows; the barrier is too high for this beta")
    return total


def _cumulative_weights(nodes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Build the matrix that integrates from -1 to each node the polynomial through the nodes."""
    degree = nodes.size
    vandermonde = np.polynomial.legendre.legvander(nodes, degree - 1)
    integrals = np.empty((degree, degree))
    for order in range(degree):
        coefficients = np.zeros(order + 1)
        coefficients[order] = 1.0
        antiderivative = np.polynomial.legendre.legint(coefficients, lbnd=-1)
        integrals[:, order] = np.polynomial.legendre.legval(nodes, antiderivative)
    return np.asarray(np.linalg.solve(vandermonde.T, integrals.T).T, dtype=np.float64)


def euler_chain_first_passage_1d(
    gradient: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    beta: float,
    start: float,
    target: float,
    step_size: float,
    *,
    lower: float,
) -> float:
    """Compute the mean time of the Euler-Maruyama chain from start to the half line beyond target.

    Solves T(x) = step + E[T(x') ; x' < target] with x' = x - step F'(x) + sqrt(2 step/beta) xi by the
    Nystrom method. Time is steps times step_size.

    Args:
        gradient: F', a function of an array.
        beta: Inverse temperature.
        start: Starting point, below the target.
        target: The chain stops at the first x >= target.
        step_size: eta [time].
        lower: Left end of the domain, where the chain practically never goes.

    Returns:
        Mean time, to about 1e-8 relative if ``lower`` is far enough.

    Raises:
        InputError: If the points are not ordered lower < start < target.

    Source:
        Derived here (first-step equation of the chain).

    Cost:
        A dense linear system with about 20 (target - lower)/sqrt(2 step/beta) unknowns.

    Example:
        >>> round(euler_chain_first_passage_1d(lambda x: x**3 - x, 12.0, -1.0, 1.0, 0.2, lower=-3.0), 3)
        98.699
    """
    if not lower < start < target:
        raise InputError(f"expected lower < start < target, got {lower!r}, {start!r}, {target!r}")
    step = check_positive("step_size", step_size)
    spread = float(np.sqrt(2 * step / check_positive("beta", beta)))
    panels = max(8, int(np.ceil((target - lower) / spread)))
    nodes, weights = np.polynomial.legendre.leggauss(_NODES_PER_PANEL)
    edges = np.linspace(lower, target, panels + 1)
    half = (edges[1] - edges[0]) / 2
    points = ((edges[:-1] + edges[1:])[:, None] / 2 + half * nodes).ravel()
    measure = np.tile(weights * half, panels)

    def transition(x: NDArray[np.float64]) -> NDArray[np.float64]:
        means = x - step * np.asarray(gradient(x), dtype=np.float64)
        scaled = (points[None, :] - means[:, None]) / spread
        kernel: NDArray[np.float64] = np.exp(-0.5 * scaled**2) / (spread * np.sqrt(2 * np.pi)) * measure
        return kernel

    times = np.linalg.solve(np.eye(points.size) - transition(points), np.full(points.size, step))
    return float(step + (transition(np.array([float(start)])) @ times)[0])


def hitting_barrier_shift(step_size: float, beta: float) -> float:
    """Compute how far an Euler chain overshoots on average before it is noticed, 0.5826 sqrt(2 step/beta).

    A chain that stops at the first x >= b behaves like the diffusion that stops at b plus this shift.

    Args:
        step_size: eta [time].
        beta: Inverse temperature.

    Returns:
        The shift [unit of x].

    Source:
        Continuity correction of sequential analysis, constant -zeta(1/2)/sqrt(2 pi).

    Example:
        >>> round(hitting_barrier_shift(0.01, 12.0), 6)
        0.023784
    """
    return _CONTINUITY_CORRECTION * float(
        np.sqrt(2 * check_positive("step_size", step_size) / check_positive("beta", beta))
    )


def ou_exit_time(curvature: float, radius: float, beta: float) -> float:
    """Compute the mean exit time of [-radius, radius] from 0 in F = m x^2/2 under overdamped dynamics.

    (beta r^2/2) 2F2(1, 1; 3/2, 2; beta m r^2/2).

    Args:
        curvature: m.
        radius: Half width r of the interval.
        beta: Inverse temperature.

    Returns:
        The mean exit time; infinity if it overflows.

    Source:
        Derived here from the backward equation.

    Example:
        >>> round(ou_exit_time(1.0, 1.0, 8.0), 6)
        27.432739
    """
    m, r = check_positive("curvature", curvature), check_positive("radius", radius)
    argument = check_positive("beta", beta) * m * r * r / 2
    term, total, order = 1.0, 1.0, 0
    while term > 1e-17 * total:
        term *= (order + 1) * argument / ((order + 1.5) * (order + 2))
        total += term
        order += 1
        if not np.isfinite(total):
            return float("inf")
    return beta * r * r / 2 * total
