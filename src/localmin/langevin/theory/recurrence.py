"""How long until the path has settled in a small ball around a minimum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import expm
from scipy.optimize import brentq
from scipy.special import lambertw

from localmin.errors import InputError
from localmin.langevin.theory.rates import semigroup_bound
from localmin.langevin.theory.spectra import (
    Dynamics,
    FrictionLike,
    check_positive,
    critical_constant,
    drift_matrix,
    positive_spectrum,
    resolve_friction,
)

__all__ = ["enter_and_stay_time", "recurrence_time_bound", "settling_time_bound", "skew_prefactor"]


def enter_and_stay_time(curvature: float, ratio: float, dynamics: Dynamics = "overdamped") -> float:
    """Compute when the noiseless path in one mode, started at rest, stays within ratio times its start.

    Overdamped: log(1/ratio)/m. Underdamped at friction 2 sqrt(m): -(1 + W_-1(-ratio/e))/sqrt(m).

    Args:
        curvature: m above zero.
        ratio: Final over initial distance, between 0 and 1.
        dynamics: "overdamped" or "underdamped" (critical friction).

    Returns:
        The time. Its slope in m is -1 against -1/2.

    Raises:
        InputError: If the ratio is outside (0, 1), or for "nonreversible" (one mode has no skew matrix).

    Source:
        Derived here from the solution of the mean equation.

    Example:
        >>> round(enter_and_stay_time(1.0, 0.01, "underdamped"), 6)
        6.638352
    """
    m = check_positive("curvature", curvature)
    if not 0 < ratio < 1:
        raise InputError(f"ratio must lie between 0 and 1, got {ratio!r}")
    if dynamics == "overdamped":
        return float(-np.log(ratio) / m)
    if dynamics == "underdamped":
        return float(-(1 + lambertw(-ratio / np.e, k=-1).real) / np.sqrt(m))
    raise InputError('one mode cannot show a skew drift; use settling_time with dynamics="nonreversible"')


def recurrence_time_bound(
    hessian: ArrayLike,
    radius: float,
    tolerance: float,
    dynamics: Dynamics,
    *,
    friction: FrictionLike = None,
    skew: Any = None,
) -> float:
    """Compute the recurrence time that the theory allows for settling within the tolerance of a minimum.

    Overdamped: (2/m) log(8 r/e). Underdamped at critical friction:
    -(1/sqrt(m)) W_-1(-e^2 sqrt(m) / (8 r^2 sqrt(C_H + 2 + (m + 1)^2))), with C_H as in `semigroup_bound`.
    Underdamped below critical: log(8 C r/e)/rate with C the prefactor of `semigroup_bound`. Non-reversible:
    log(8 C_J r/e)/m_J with C_J from `skew_prefactor` and m_J = min Re eig((I + J) H).

    Args:
        hessian: Positive definite H: a number, eigenvalues ``(d,)`` or a matrix ``(d, d)``.
        radius: r, bound of the starting distance.
        tolerance: e, radius of the final ball; below r.
        dynamics: "overdamped", "underdamped" or "nonreversible".
        friction: For "underdamped", at most critical; None or "critical" means 2 sqrt(m).
        skew: For "nonreversible".

    Returns:
        Time of the continuous dynamics.

    Raises:
        InputError: If the tolerance is not below the radius, or friction is above critical.

    Source:
        Form after [gao2020], recurrence theorems, with constants from memory of the paper for the first two;
        the other two are operational forms derived here from the semigroup bounds. Derived here too: from
        the first two times on (the second from time 1 on) the noiseless path from within r is within
        e^2/(8 r) of the minimum, so the constants suffice; the paper's may be others.

    Example:
        >>> round(recurrence_time_bound([0.01, 1.0], 1.0, 0.1, "overdamped"))
        876
        >>> round(recurrence_time_bound([0.01, 1.0], 1.0, 0.1, "underdamped"), 1)
        124.9
    """
    r, e = check_positive("radius", radius), check_positive("tolerance", tolerance)
    if e >= r:
        raise InputError(f"tolerance {e:.6g} must be below radius {r:.6g}")
    spectrum = positive_spectrum(hessian)
    softest, stiffest = float(spectrum[0]), float(spectrum[-1])
    if dynamics == "overdamped":
        return float(2 / softest * np.log(8 * r / e))
    if dynamics == "nonreversible":
        matrix = drift_matrix(hessian, "nonreversible", skew=skew)
        rate = float(np.linalg.eigvals(matrix).real.min())
        return float(np.log(8 * skew_prefactor(hessian, skew) * r / e) / rate)
    root = float(np.sqrt(softest))
    fraction = resolve_friction(friction, hessian) / (2 * root)
    if fraction > 1 + 1e-12:
        raise InputError(f"the bound holds for friction up to 2 sqrt(m) = {2 * root:.6g}")
    if fraction < 1 - 1e-12:
        prefactor = (1 + stiffest) / np.sqrt(softest * (1 - fraction**2))
        return float(np.log(8 * prefactor * r / e) / (root * fraction))
    constant = critical_constant(spectrum)
    argument = -(e**2) * root / (8 * r**2 * np.sqrt(constant + 2 + (softest + 1) ** 2))
    # With e < r the argument is at least -0.054, inside the domain [-1/e, 0) of the branch.
    return float(-lambertw(argument, k=-1).real / root)


def settling_time_bound(
    hessian: ArrayLike,
    radius: float,
    tolerance: float,
    dynamics: Dynamics,
    *,
    friction: FrictionLike = None,
    skew: Any = None,
) -> float:
    """Bound the time after which the noiseless path from within the radius stays within the tolerance.

    Overdamped: log(r/e)/m, attained. Underdamped: the last t with r times `semigroup_bound` above e.
    Non-reversible: log(C_J r/e)/m_J, with C_J from `skew_prefactor`.

    Unlike `recurrence_time_bound` nothing here is from memory of a paper.

    Args:
        hessian: Positive definite H: a number, eigenvalues ``(d,)`` or a matrix ``(d, d)``.
        radius: r, bound of the starting distance; for "underdamped" of the norm of (x, v).
        tolerance: e, radius of the final ball; below r.
        dynamics: "overdamped", "underdamped" or "nonreversible".
        friction: For "underdamped", at most critical; None or "critical" means 2 sqrt(m).
        skew: For "nonreversible".

    Returns:
        Time of the continuous dynamics.

    Raises:
        InputError: If the tolerance is not below the radius, or friction is above critical.

    Source:
        Derived here.

    Example:
        >>> round(settling_time_bound(0.5, 1.0, 0.1, "overdamped"), 6) == round(2 * float(np.log(10)), 6)
        True
    """
    r, e = check_positive("radius", radius), check_positive("tolerance", tolerance)
    if e >= r:
        raise InputError(f"tolerance {e:.6g} must be below radius {r:.6g}")
    if dynamics == "overdamped":
        return float(np.log(r / e) / positive_spectrum(hessian)[0])
    if dynamics == "nonreversible":
        matrix = drift_matrix(hessian, "nonreversible", skew=skew)
        rate = float(np.linalg.eigvals(matrix).real.min())
        return float(np.log(skew_prefactor(hessian, skew) * r / e) / rate)
    drift_matrix(hessian, dynamics, friction=friction)  # refuses an unknown dynamics

    def excess(time: float) -> float:
        return float(np.log(semigroup_bound(hessian, time, friction=friction) * r / e))

    # From its peak on the bound falls; the peak is before one relaxation time 1/sqrt(m).
    low = 1 / float(np.sqrt(positive_spectrum(hessian)[0]))
    while excess(low) <= 0:
        low /= 2
    high = 2 * low
    while excess(high) > 0:
        high *= 2
    return float(brentq(excess, low, high, xtol=1e-12, rtol=1e-12))


def skew_prefactor(hessian: ArrayLike, skew: Any, *, num_times: int = 400) -> float:
    """Estimate ``C_J = sup over t of |exp(-t (I + J) H)| e^(m_J t)`` on a grid of times.

    Args:
        hessian: Positive definite Hessian.
        skew: Skew matrix J; (I + J) H must be diagonalisable for the supremum to be finite.
        num_times: Grid points over ten relaxation times.

    Returns:
        The largest ratio seen, at least 1.

    Cost:
        One matrix exponential and ``num_times`` products and norms of size d.

    Example:
        >>> round(skew_prefactor([1.0, 2.0], None), 6)
        1.0
    """
    matrix = drift_matrix(hessian, "nonreversible", skew=skew)
    eigenvalues = np.linalg.eigvals(matrix)
    rate = float(eigenvalues.real.min())
    # The slowest period matters as much as the slowest decay.
    turning = float(np.abs(eigenvalues.imag).max())
    spacing = min(10 / rate / num_times, 0.1 / turning if turning > 0 else np.inf)
    one_step = expm(-spacing * (matrix - rate * np.eye(matrix.shape[0])))
    flow, largest = np.eye(matrix.shape[0]), 1.0
    for _ in range(max(num_times, int(10 / rate / spacing))):
        flow = one_step @ flow
        largest = max(largest, float(np.linalg.norm(flow, 2)))
    return largest
