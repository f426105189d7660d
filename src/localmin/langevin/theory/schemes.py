"""One step of every scheme on a quadratic as matrices: mean map, noise covariance, response to the gradient.

The splitting schemes are composed here from their sub-steps A (drift), B (kick), O (thermostat), letter by
letter; the kernels are written the other way round, as in-place updates, so each can check the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from localmin.errors import InputError
from localmin.langevin.coefficients import exponential_coefficients
from localmin.langevin.theory.spectra import (
    Dynamics,
    FrictionLike,
    as_hessian,
    as_skew,
    check_positive,
    resolve_friction,
)

__all__ = ["ModeStep", "Scheme", "canonical_scheme", "mode_step", "spectral_radius", "underdamped_schemes"]

Scheme = Literal[
    "overdamped",
    "nonreversible",
    "baoab",
    "baoa",
    "obabo",
    "aboba",
    "symplectic_euler",
    "symplectic_euler_linear",
    "exponential",
    "euler_maruyama",
]

underdamped_schemes: tuple[Scheme, ...] = get_args(Scheme)[2:]

# The kernels see one gradient a step, at the position where the step starts, so BAOAB and OBABO are walked
# from the point where the closing half kick of one step meets the opening half kick of the next.
# Letters: sub-step; numbers: its length in units of h.
_WALKS: dict[str, tuple[tuple[str, float], ...]] = {
    "baoab": (("B", 0.5), ("B", 0.5), ("A", 0.5), ("O", 1.0), ("A", 0.5)),
    "baoa": (("B", 1.0), ("A", 0.5), ("O", 1.0), ("A", 0.5)),
    "obabo": (("B", 0.5), ("O", 0.5), ("O", 0.5), ("B", 0.5), ("A", 1.0)),
    "aboba": (("A", 0.5), ("B", 0.5), ("O", 1.0), ("B", 0.5), ("A", 0.5)),
    "symplectic_euler": (("O", 1.0), ("B", 1.0), ("A", 1.0)),
}
# What still separates the walk's end from the scheme's own end of a step.
_CLOSINGS: dict[str, tuple[tuple[str, float], ...]] = {
    "baoab": (("B", 0.5),),
    "obabo": (("B", 0.5), ("O", 0.5)),
}


@dataclass(frozen=True)
class ModeStep:
    """One step on F = curvature x^2 / 2, acting on (x, v).

    Attributes:
        mean: Map of the mean ``(2, 2)``.
        noise: Covariance of the injected noise ``(2, 2)``, in units of the temperature.
        gradient_response: Change of (x, v) per unit of gradient error ``(2,)``.
    """

    mean: NDArray[np.float64]
    noise: NDArray[np.float64]
    gradient_response: NDArray[np.float64]


def canonical_scheme(scheme: str) -> Scheme:
    """Check a scheme name; "underdamped" means the default scheme "baoab".

    Args:
        scheme: A name.

    Returns:
        The name of the scheme.

    Raises:
        InputError: If the name is unknown.

    Example:
        >>> canonical_scheme("underdamped")
        'baoab'
    """
    if scheme == "underdamped":
        return "baoab"
    for known in get_args(Scheme):
        if scheme == known:
            return known  # type: ignore[no-any-return]
    raise InputError(f"unknown scheme {scheme!r}; choose from underdamped, {', '.join(get_args(Scheme))}")


def mode_step(
    scheme: str, curvature: float, step_size: float, friction: float, *, closing: bool = False
) -> ModeStep:
    """Build one step of an underdamped scheme on a single quadratic mode.

    Args:
        scheme: An underdamped scheme.
        curvature: Curvature of the mode.
        step_size: h [time].
        friction: Friction [1/time].
        closing: Build what separates the walk's end from the scheme's own end of a step instead.

    Returns:
        Mean map, noise covariance and response to a gradient error.

    Example:
        >>> mode_step("symplectic_euler", 0.0, 0.5, 1.0).mean.round(4).tolist()
        [[1.0, 0.3033], [0.0, 0.6065]]
    """
    if closing or scheme in _WALKS:
        walk = _CLOSINGS.get(scheme, ()) if closing else _WALKS[scheme]
        return _compose(walk, curvature, step_size, friction)
    h, gamma = step_size, friction
    if scheme == "exponential":
        psi = exponential_coefficients(h, gamma)
        response = np.array([-psi.psi2, -psi.psi1])
        mean = np.array([[1.0, psi.psi1], [0.0, psi.psi0]])
        noise = np.array(
            [[psi.covariance_xx, psi.covariance_vx], [psi.covariance_vx, psi.covariance_vv]], dtype=np.float64
        )
    elif scheme == "euler_maruyama":
        response = np.array([0.0, -h])
        mean = np.array([[1.0, h], [0.0, 1 - gamma * h]])
        noise = np.array([[0.0, 0.0], [0.0, 2 * gamma * h]])
    else:  # symplectic_euler_linear
        response = np.array([-h * h, -h])
        mean = np.array([[1.0, h * (1 - gamma * h)], [0.0, 1 - gamma * h]])
        noise = 2 * gamma * h * np.array([[h * h, h], [h, 1.0]])
    return ModeStep(mean + curvature * np.outer(response, [1.0, 0.0]), noise, response)


def _compose(walk: tuple[tuple[str, float], ...], curvature: float, h: float, friction: float) -> ModeStep:
    mean, noise, response = np.eye(2), np.zeros((2, 2)), np.zeros(2)
    for letter, length in walk:
        time = length * h
        sub_step, injected = np.eye(2), np.zeros((2, 2))
        if letter == "A":
            sub_step[0, 1] = time
        elif letter == "B":
            sub_step[1, 0] = -time * curvature
        else:
            sub_step[1, 1] = np.exp(-friction * time)
            injected[1, 1] = -np.expm1(-2 * friction * time)
        mean, noise, response = sub_step @ mean, sub_step @ noise @ sub_step.T + injected, sub_step @ response
        if letter == "B":
            response = response + np.array([0.0, -time])
    return ModeStep(mean, noise, response)


def spectral_radius(
    hessian: ArrayLike,
    scheme: Scheme | Dynamics,
    step_size: float,
    *,
    friction: FrictionLike = None,
    skew: Any = None,
) -> float:
    """Compute the largest modulus of an eigenvalue of the map that one step applies to the mean.

    Args:
        hessian: Hessian: a number, eigenvalues ``(d,)`` or a matrix ``(d, d)``.
        scheme: A scheme name; "underdamped" means "baoab".
        step_size: eta for "overdamped" and "nonreversible", h for the others [time].
        friction: For underdamped schemes; None or "critical" means 2 sqrt(m).
        skew: For "nonreversible".

    Returns:
        The spectral radius; below 1 means that the step is stable.

    Example:
        >>> round(spectral_radius([0.01, 1.0], "overdamped", 1.0), 6)
        0.99
    """
    name = canonical_scheme(scheme)
    step = check_positive("step_size", step_size)
    matrix = as_hessian(hessian)
    if name in {"overdamped", "nonreversible"}:
        identity = np.eye(matrix.shape[0])
        drift = matrix if name == "overdamped" else (identity + as_skew(skew, matrix.shape[0])) @ matrix
        return float(np.abs(np.linalg.eigvals(identity - step * drift)).max())
    gamma = resolve_friction(friction, hessian)
    maps = [mode_step(name, float(mode), step, gamma).mean for mode in np.linalg.eigvalsh(matrix)]
    return float(np.abs(np.linalg.eigvals(np.stack(maps))).max())
