"""The largest step at which each scheme is stable on a quadratic."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from localmin.langevin.coefficients import exponential_coefficients
from localmin.langevin.theory.schemes import Scheme, canonical_scheme
from localmin.langevin.theory.spectra import (
    Dynamics,
    FrictionLike,
    drift_matrix,
    positive_spectrum,
    resolve_friction,
)

__all__ = ["max_stable_step"]


def max_stable_step(
    hessian: ArrayLike, scheme: Scheme | Dynamics, *, friction: FrictionLike = None, skew: Any = None
) -> float:
    """Compute the step below which every step is stable on the quadratic with this Hessian.

    "overdamped": 2/M. "nonreversible": min 2 Re(mu)/|mu|^2 over eigenvalues mu of (I + J) H.
    "baoab", "baoa", "obabo", "aboba": 2/sqrt(M). "symplectic_euler": h^2 M = 2 (1 + e^(-friction h)).
    "symplectic_euler_linear" (decay 1 - friction h): 2 friction h + h^2 M = 4. "euler_maruyama":
    h lambda < friction and 2 friction h < 4 + h^2 lambda for every eigenvalue. "exponential": the two
    conditions on psi0, psi1, psi2.

    Args:
        hessian: Positive definite Hessian: a number, eigenvalues ``(d,)`` or a matrix ``(d, d)``.
        scheme: A scheme name; "underdamped" means "baoab", the default of `UnderdampedLangevin`.
        friction: Friction [1/time] for underdamped schemes; None or "critical" means 2 sqrt(m).
        skew: Skew matrix J for "nonreversible".

    Returns:
        The step [time]: eta for "overdamped" and "nonreversible", h otherwise (an optimiser's ``lr`` is
        eta or h^2).

    Source:
        Derived here from the one-step map of each mode.

    Cost:
        One eigenvalue decomposition and scalar root searches; deterministic.

    Example:
        >>> max_stable_step([0.01, 1.0], "overdamped")
        2.0
        >>> max_stable_step([0.01, 1.0], "baoab")
        2.0
        >>> round(max_stable_step([0.01, 1.0], "euler_maruyama", friction=0.2), 6)
        0.2
    """
    name = canonical_scheme(scheme)
    spectrum = positive_spectrum(hessian)
    stiffest = float(spectrum[-1])
    if name == "overdamped":
        return 2.0 / stiffest
    if name == "nonreversible":
        eigenvalues = np.linalg.eigvals(drift_matrix(hessian, "nonreversible", skew=skew))
        return float((2 * eigenvalues.real / np.abs(eigenvalues) ** 2).min())
    gamma = resolve_friction(friction, hessian)
    if name == "symplectic_euler":
        top = 2.0 / float(np.sqrt(stiffest))  # at friction 0; friction only lowers it
        return _first_root(lambda h: 2 * (1 + np.exp(-gamma * h)) - h * h * stiffest, top)
    if name == "symplectic_euler_linear":
        return 4.0 / (gamma + float(np.sqrt(gamma * gamma + 4 * stiffest)))
    if name == "euler_maruyama":
        return min(_euler_maruyama_limit(float(mode), gamma) for mode in spectrum)
    if name == "exponential":
        return _exponential_limit(spectrum, gamma)
    return 2.0 / float(np.sqrt(stiffest))


def _euler_maruyama_limit(mode: float, gamma: float) -> float:
    stale = gamma / mode
    discriminant = gamma * gamma - 4 * mode
    if discriminant < 0:
        return stale
    # Smaller root of h^2 lambda - 2 gamma h + 4, written without cancellation.
    return min(stale, 4.0 / (gamma + float(np.sqrt(discriminant))))


def _exponential_limit(spectrum: NDArray[np.float64], gamma: float) -> float:
    def margin(h: float, mode: float) -> float:
        psi = exponential_coefficients(h, gamma)
        mixed = psi.psi1**2 - psi.psi0 * psi.psi2
        return float(min((1 - psi.psi0) - mode * mixed, 2 * (1 + psi.psi0) - mode * (psi.psi2 - mixed)))

    return min(_exponential_mode_limit(margin, float(mode), gamma) for mode in spectrum)


def _exponential_mode_limit(margin: Any, mode: float, gamma: float) -> float:
    # The stable set of one mode is an interval from 0; walk outwards in small factors, then bisect.
    low = min(gamma / mode, 1 / np.sqrt(mode), 1 / gamma) * 1e-3
    high = low * 1.02
    while margin(high, mode) > 0:
        low, high = high, high * 1.02
    return float(brentq(margin, low, high, args=(mode,), xtol=1e-15, rtol=1e-14))


def _first_root(function: Any, top: float) -> float:
    return float(brentq(function, 1e-12 * top, top, xtol=1e-15, rtol=1e-14))
