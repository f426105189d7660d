"""How fast the mean of each dynamics decays near a minimum, in continuous time and per gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import expm
from scipy.optimize import minimize_scalar

from localmin.errors import InputError
from localmin.langevin.theory.schemes import Scheme, spectral_radius
from localmin.langevin.theory.spectra import (
    Dynamics,
    FrictionLike,
    check_positive,
    critical_constant,
    drift_matrix,
    positive_spectrum,
    resolve_friction,
)
from localmin.langevin.theory.stability import max_stable_step

__all__ = ["best_step_size", "convergence_rate", "semigroup_bound", "settling_time", "steps_per_efold"]


def convergence_rate(
    hessian: ArrayLike, dynamics: Dynamics, *, friction: FrictionLike = None, skew: Any = None
) -> float:
    """Compute the exponential rate at which the mean returns to a minimum, min Re eig of the drift matrix.

    Overdamped: m, the smallest eigenvalue of H. Underdamped: friction/2 up to friction = 2 sqrt(m), and
    (friction - sqrt(friction^2 - 4 m))/2 above; the maximum sqrt(m) is at the critical friction.
    Non-reversible: min Re eig((I + J) H), between m and tr(H)/d. Continuous time: a discretisation may keep
    or lose the gain (see `steps_per_efold`).

    Args:
        hessian: Hessian at the minimum: a number, eigenvalues ``(d,)`` or a matrix ``(d, d)``.
        dynamics: "overdamped", "underdamped" or "nonreversible".
        friction: Friction [1/time] for "underdamped"; None or "critical" means 2 sqrt(m).
        skew: Skew matrix J ``(d, d)`` for "nonreversible"; None means J = 0.

    Returns:
        The rate [1/time], above zero.

    Source:
        [gao2020] for the dynamics; the formulas are derived here.

    Cost:
        One eigenvalue decomposition of size d; deterministic.

    Example:
        >>> round(convergence_rate([0.01, 1.0], "underdamped", friction=0.25), 6)
        0.05
        >>> round(convergence_rate([0.1, 1.0], "nonreversible", skew=[[0, 1], [-1, 0]]), 6)
        0.229844
    """
    spectrum = positive_spectrum(hessian)
    if dynamics == "underdamped":
        gamma, softest = resolve_friction(friction, hessian), float(spectrum[0])
        if gamma * gamma <= 4 * softest:
            return gamma / 2
        # m / (larger root): no cancellation at high friction.
        return 2 * softest / (gamma + float(np.sqrt(gamma * gamma - 4 * softest)))
    if dynamics == "overdamped":
        return float(spectrum[0])
    return float(np.linalg.eigvals(drift_matrix(hessian, dynamics, skew=skew)).real.min())


def semigroup_bound(hessian: ArrayLike, time: float, *, friction: FrictionLike = None) -> float:
    """Bound the operator norm of exp(-t H_friction), H_friction = [[friction I, H], [-I, 0]] on (v, x).

    At the critical friction 2 sqrt(m): sqrt(C_H + 2 + (m + 1)^2 t^2) exp(-sqrt(m) t) with
    C_H the largest (1 + lambda)^2 / (lambda - m) over eigenvalues above m (0 if there is none). Below it,
    friction = 2 sqrt(m) (1 - e): (1 + M) / sqrt(m (1 - (1 - e)^2)) exp(-sqrt(m) (1 - e) t).

    Args:
        hessian: As in `convergence_rate`, positive definite.
        time: Time t >= 0.
        friction: At most the critical friction; None or "critical" means critical.

    Returns:
        An upper bound of the spectral norm.

    Raises:
        InputError: If the friction is above critical or the time is negative.

    Source:
        Derived here; the constants agree with those remembered from [gao2020].

    Example:
        >>> round(semigroup_bound(1.0, 0.0), 6)
        1.414214
    """
    if time < 0:
        raise InputError(f"time must be at least 0, got {time!r}")
    spectrum = positive_spectrum(hessian)
    softest, stiffest = float(spectrum[0]), float(spectrum[-1])
    root = float(np.sqrt(softest))
    gamma = resolve_friction(friction, hessian)
    fraction = gamma / (2 * root)
    if fraction > 1 + 1e-12:
        raise InputError(f"the bound holds for friction up to 2 sqrt(m) = {2 * root:.6g}, got {gamma:.6g}")
    if fraction < 1 - 1e-12:
        prefactor = (1 + stiffest) / float(np.sqrt(softest * (1 - fraction**2)))
        return prefactor * float(np.exp(-root * fraction * time))
    constant = critical_constant(spectrum)
    return float(np.sqrt(constant + 2 + (softest + 1) ** 2 * time**2) * np.exp(-root * time))


def settling_time(
    hessian: ArrayLike,
    start: ArrayLike,
    tolerance: float,
    dynamics: Dynamics,
    *,
    friction: FrictionLike = None,
    skew: Any = None,
    resolution: float = 0.01,
) -> float:
    """Compute the last time at which the noiseless mean path is outside the tolerance ("enter and stay").

    Args:
        hessian: As in `convergence_rate`.
        start: Starting position ``(d,)``; the velocity starts at zero.
        tolerance: Radius of the ball around the minimum.
        dynamics: "overdamped", "underdamped" or "nonreversible".
        friction: For "underdamped".
        skew: For "nonreversible".
        resolution: Spacing of the time grid [time]; the answer is exact to this.

    Returns:
        The settling time, 0.0 if the path never leaves the ball.

    Cost:
        One matrix exponential, then one matrix-vector product per grid point.

    Example:
        >>> round(settling_time(0.5, [1.0], 0.1, "overdamped"), 2)
        4.6
    """
    check_positive("tolerance", tolerance)
    step = check_positive("resolution", resolution)
    matrix = drift_matrix(hessian, dynamics, friction=friction, skew=skew)
    position = np.atleast_1d(np.asarray(start, dtype=np.float64))
    dimension = position.size
    state = np.concatenate([position, np.zeros(matrix.shape[0] - dimension)])
    one_step = expm(-step * matrix)
    rate = convergence_rate(hessian, dynamics, friction=friction, skew=skew)
    _, vectors = np.linalg.eig(one_step)
    # Defective (critical) cases make the eigenbasis ill conditioned, so its size only sets the horizon.
    condition = min(float(np.linalg.cond(vectors)), 1e8)
    excess = max(float(np.linalg.norm(state)) / tolerance, 1.0)
    horizon = (np.log(condition * excess) + 5.0) * 2 / rate
    last = 0.0
    for index in range(1, int(horizon / step) + 2):
        state = one_step @ state
        if np.linalg.norm(state[:dimension]) > tolerance:
            last = index * step
    return last


def steps_per_efold(
    hessian: ArrayLike,
    scheme: Scheme | Dynamics,
    step_size: float,
    *,
    friction: FrictionLike = None,
    skew: Any = None,
) -> float:
    """Compute how many gradients one factor e of the mean costs, -1 / log(spectral radius).

    Args:
        hessian: As in `convergence_rate`.
        scheme: A scheme name, see `max_stable_step`.
        step_size: Step [time]: eta for "overdamped" and "nonreversible", h for the others.
        friction: For underdamped schemes.
        skew: For "nonreversible".

    Returns:
        Steps per e-fold; 0.0 if the mean map is nilpotent, infinity if the step is unstable.

    Example:
        >>> round(steps_per_efold([0.01, 1.0], "baoab", 1.99, friction=0.2), 2)
        5.03
    """
    radius = spectral_radius(hessian, scheme, step_size, friction=friction, skew=skew)
    if radius >= 1:
        return float("inf")
    # A nilpotent map of size d has computed eigenvalues of size eps^(1/d); a true radius this small
    # means that a couple of steps suffice either way.
    return 0.0 if radius <= 1e-7 else -1.0 / float(np.log(radius))


def best_step_size(
    hessian: ArrayLike, scheme: Scheme | Dynamics, *, friction: FrictionLike = None, skew: Any = None
) -> float:
    """Find the step that needs the fewest gradients per e-fold of the mean.

    Args:
        hessian: As in `convergence_rate`.
        scheme: A scheme name, see `max_stable_step`.
        friction: For underdamped schemes.
        skew: For "nonreversible".

    Returns:
        The step [time], found to about 1e-6 of the stability limit.

    Cost:
        About 400 spectral radii; deterministic.

    Example:
        >>> round(best_step_size([0.01, 1.0], "overdamped"), 3)
        1.98
    """
    limit = max_stable_step(hessian, scheme, friction=friction, skew=skew)

    def radius(step: float) -> float:
        return spectral_radius(hessian, scheme, step, friction=friction, skew=skew)

    grid = np.linspace(0, limit, 302)[1:-1]
    index = int(np.argmin([radius(step) for step in grid]))
    spacing = limit / 301
    found = minimize_scalar(
        radius,
        bounds=(max(grid[index] - spacing, limit * 1e-9), min(grid[index] + spacing, limit)),
        method="bounded",
        options={"xatol": 1e-6 * limit},
    )
    best = float(found.x)
    return best if radius(best) <= radius(float(grid[index])) else float(grid[index])
