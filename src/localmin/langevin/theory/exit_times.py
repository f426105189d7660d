"""Expected time from one well to another over a saddle: the Eyring-Kramers formula for all three dynamics."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import quad

from localmin.errors import InputError, ShapeError
from localmin.langevin.theory.spectra import (
    Dynamics,
    FrictionLike,
    as_hessian,
    as_skew,
    check_positive,
    positive_spectrum,
    resolve_friction,
)

__all__ = ["eyring_kramers", "low_friction_factor", "saddle_rate"]


def saddle_rate(
    hessian_saddle: ArrayLike, dynamics: Dynamics, *, friction: float | None = None, skew: Any = None
) -> float:
    """Compute mu, the rate at which the noiseless dynamics leaves the saddle.

    Overdamped: mu = |negative eigenvalue of L|. Underdamped: the positive root of
    z^2 + friction z - mu_LD = 0. Non-reversible: minus the negative eigenvalue of (I + J) L, never below the
    overdamped one.

    Args:
        hessian_saddle: L ``(d, d)`` (or a number, or eigenvalues) with exactly one negative eigenvalue.
        dynamics: "overdamped", "underdamped" or "nonreversible".
        friction: Friction [1/time], a number, for "underdamped".
        skew: Skew matrix J for "nonreversible".

    Returns:
        mu [1/time].

    Raises:
        InputError: If L does not have exactly one negative and no zero eigenvalue, or arguments are missing.

    Source:
        Derived here. Rigour of the exit formula: [lee2020] (non-reversible), [lee2025]
        (underdamped).

    Example:
        >>> round(saddle_rate([-0.25, 1.0], "underdamped", friction=0.5), 6)
        0.309017
    """
    matrix = as_hessian(hessian_saddle)
    eigenvalues = np.linalg.eigvalsh(matrix)
    if (eigenvalues < 0).sum() != 1 or (eigenvalues == 0).any():
        raise InputError(
            f"a saddle Hessian has exactly one negative eigenvalue, got {int((eigenvalues < 0).sum())}"
            f" negative and {int((eigenvalues == 0).sum())} zero"
        )
    unstable = -float(eigenvalues[0])
    if dynamics == "overdamped":
        return unstable
    if dynamics == "underdamped":
        given: object = friction
        if not isinstance(given, Real):
            raise InputError("saddle_rate needs the friction as a number for underdamped dynamics")
        gamma = check_positive("friction", float(given))
        return float(2 * unstable / (np.sqrt(gamma * gamma + 4 * unstable) + gamma))
    if dynamics == "nonreversible":
        dimension = matrix.shape[0]
        drift = (np.eye(dimension) + as_skew(skew, dimension)) @ matrix
        return -float(np.linalg.eigvals(drift).real.min())
    raise InputError(f'dynamics is "overdamped", "underdamped" or "nonreversible", got {dynamics!r}')


def eyring_kramers(
    hessian_minimum: ArrayLike,
    hessian_saddle: ArrayLike,
    barrier: float,
    beta: float,
    dynamics: Dynamics,
    *,
    friction: FrictionLike = None,
    skew: Any = None,
) -> float:
    """Compute the expected time to the other well, ``(2 pi/mu) sqrt(|det L|/det H) exp(beta barrier)``.

    Valid as beta grows: the relative error is of order 1/beta (19 % at beta = 12 for the double well
    (x^2 - 1)^2/4). For several equal saddles add the rates. The underdamped form also needs
    friction times beta times the loop action to be about 5 or more; see `low_friction_factor`.

    Args:
        hessian_minimum: Hessian H at the starting minimum: a number, eigenvalues or a matrix ``(d, d)``.
        hessian_saddle: Hessian L at the saddle, same size.
        barrier: F(saddle) - F(minimum), above zero [unit of F].
        beta: Inverse temperature [1/unit of F].
        dynamics: "overdamped", "underdamped" or "nonreversible".
        friction: Friction [1/time] for "underdamped"; None or "critical" means 2 sqrt(m) of the minimum.
        skew: Skew matrix J for "nonreversible".

    Returns:
        Time; infinity if exp(beta barrier) overflows.

    Raises:
        ShapeError: If the two Hessians differ in size.

    Source:
        Eyring-Kramers formula; the role of mu follows Bouchet and Reygner. See `saddle_rate`.

    Example:
        >>> round(eyring_kramers(2.0, -1.0, 0.25, 12.0, "overdamped"), 4)
        89.2377
        >>> round(eyring_kramers(2.0, -1.0, 0.25, 12.0, "underdamped", friction=1.0), 2)
        144.39
    """
    wells = positive_spectrum(hessian_minimum)
    saddle = as_hessian(hessian_saddle)
    if saddle.shape[0] != wells.size:
        raise ShapeError(f"the two Hessians differ in size: {wells.size} and {saddle.shape[0]}")
    height = check_positive("barrier", barrier) * check_positive("beta", beta)
    gamma = resolve_friction(friction, hessian_minimum) if dynamics == "underdamped" else None
    mu = saddle_rate(saddle, dynamics, friction=gamma, skew=skew)
    # Through logarithms: determinants of large Hessians overflow.
    logarithm = np.log(2 * np.pi / mu) + 0.5 * (np.linalg.slogdet(saddle)[1] - np.log(wells).sum()) + height
    with np.errstate(over="ignore"):
        return float(np.exp(logarithm))


def low_friction_factor(friction: float, beta: float, action: float, *, symmetric: bool = True) -> float:
    """Compute the factor by which low friction lengthens an underdamped exit.

    With A(d) = exp((1/2 pi) * integral of log(1 - exp(-d (s^2 + 1/4)))/(s^2 + 1/4) ds) and
    d = friction beta action: 1/A(d) for leaving one well, A(2 d)/A(d)^2 between two equal wells.

    Args:
        friction: Friction [1/time].
        beta: Inverse temperature.
        action: Loop action in the well at the saddle's energy, 2 * integral of sqrt(2 (barrier - F)).
        symmetric: Between two equal wells (True), or out of one well (False).

    Returns:
        A factor of at least 1 that multiplies the time of `eyring_kramers`.

    Source:
        Mel'nikov; Pollak, Grabert and Hanggi; recalled, and checked here against spectral gaps to about
        ten per cent.

    Example:
        >>> round(low_friction_factor(10.0, 20.0, 4 / 3), 6)
        1.0
    """
    depth = (
        check_positive("friction", friction) * check_positive("beta", beta) * check_positive("action", action)
    )
    if symmetric:
        return float(np.exp(_log_depopulation(2 * depth) - 2 * _log_depopulation(depth)))
    return float(np.exp(-_log_depopulation(depth)))


def _log_depopulation(depth: float) -> float:
    def integrand(s: float) -> float:
        level = s * s + 0.25
        return float(np.log(-np.expm1(-depth * level)) / level)

    upper = float(np.sqrt(40 / depth)) + 1.0
    return float(quad(integrand, 0, upper, limit=500)[0]) / float(np.pi)
