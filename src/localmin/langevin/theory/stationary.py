"""The covariance that a scheme's chain really has at equilibrium, bias of the step included."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import expm, solve_discrete_lyapunov

from localmin.errors import InputError, ShapeError
from localmin.langevin.theory.schemes import Scheme, canonical_scheme, mode_step
from localmin.langevin.theory.spectra import (
    Dynamics,
    FrictionLike,
    as_hessian,
    as_skew,
    check_positive,
    drift_matrix,
    positive_spectrum,
    resolve_friction,
)
from localmin.langevin.theory.stability import max_stable_step

__all__ = ["stationary_covariance", "transient_covariance", "w2_gaussian", "w2_to_equilibrium"]


def stationary_covariance(
    hessian: ArrayLike,
    scheme: Scheme | Dynamics,
    step_size: float,
    beta: float,
    *,
    friction: FrictionLike = None,
    skew: Any = None,
    gradient_noise: float = 0.0,
) -> NDArray[np.float64]:
    """Compute the exact stationary covariance S = P S P^T + N of a scheme on F = x^T H x / 2.

    Args:
        hessian: Positive definite H: a number, eigenvalues ``(d,)`` or a matrix ``(d, d)``.
        scheme: A scheme name; "underdamped" means "baoab". Velocities are those at the end of the scheme's
            step (for OBABO after its last half O).
        step_size: eta for "overdamped" and "nonreversible", h otherwise [time]; must be stable.
        beta: Inverse temperature, above zero.
        friction: Friction [1/time] for underdamped schemes; None or "critical" means 2 sqrt(m).
        skew: Skew matrix J for "nonreversible".
        gradient_noise: Variance sigma^2 of an independent error in every gradient coordinate of every step;
            kicks that share a gradient share its error.

    Returns:
        Overdamped and non-reversible: ``(d, d)``. Underdamped: ``(2, 2)`` over (x, v) for a number,
        ``(d, 2, 2)`` for eigenvalues, ``(2 d, 2 d)`` for a matrix, positions first.

    Raises:
        InputError: If the step is not stable, or a number is out of range.

    Source:
        Derived here; closed forms per scheme are checked in the tests.

    Cost:
        One eigenvalue decomposition and a 4 x 4 linear system per mode; a Lyapunov equation of size d for
        "nonreversible".

    Example:
        >>> stationary_covariance(2.0, "baoab", 0.5, 4.0, friction=1.0).diagonal().round(6).tolist()
        [0.125, 0.21875]
        >>> stationary_covariance(2.0, "overdamped", 0.5, 4.0).tolist()
        [[0.25]]
    """
    name = canonical_scheme(scheme)
    step, temperature = check_positive("step_size", step_size), 1 / check_positive("beta", beta)
    if not np.isfinite(gradient_noise) or gradient_noise < 0:
        raise InputError(f"gradient_noise is a variance of at least 0, got {gradient_noise!r}")
    limit = max_stable_step(hessian, name, friction=friction, skew=skew)
    if step >= limit:
        raise InputError(f"step_size {step:.6g} is not stable for {name!r}: it must be below {limit:.6g}")
    matrix = as_hessian(hessian)
    if name in {"overdamped", "nonreversible"}:
        return _first_order(matrix, name, step, temperature, gradient_noise, skew)
    gamma = resolve_friction(friction, hessian)
    eigenvalues, vectors = np.linalg.eigh(matrix)
    if np.ndim(hessian) < 2:
        blocks = np.stack(
            [
                _mode_covariance(name, float(mode), step, gamma, temperature, gradient_noise)
                for mode in np.atleast_1d(np.asarray(hessian, dtype=np.float64))
            ]
        )
        return blocks[0] if np.ndim(hessian) == 0 else blocks
    modes = np.stack(
        [
            _mode_covariance(name, float(mode), step, gamma, temperature, gradient_noise)
            for mode in eigenvalues
        ]
    )
    return np.block([[(vectors * modes[:, row, column]) @ vectors.T for column in (0, 1)] for row in (0, 1)])


def _first_order(
    matrix: NDArray[np.float64], name: str, step: float, temperature: float, gradient_noise: float, skew: Any
) -> NDArray[np.float64]:
    identity = np.eye(matrix.shape[0])
    rotated = identity if name == "overdamped" else identity + as_skew(skew, matrix.shape[0])
    injected = 2 * step * temperature * identity + step**2 * gradient_noise * rotated @ rotated.T
    if name == "overdamped":
        eigenvalues, vectors = np.linalg.eigh(matrix)
        variance = (2 * temperature + step * gradient_noise) / (eigenvalues * (2 - step * eigenvalues))
        diagonal: NDArray[np.float64] = (vectors * variance) @ vectors.T
        return diagonal
    solution: NDArray[np.float64] = solve_discrete_lyapunov(identity - step * rotated @ matrix, injected)
    return (solution + solution.T) / 2


def _mode_covariance(
    name: str, mode: float, step: float, gamma: float, temperature: float, gradient_noise: float
) -> NDArray[np.float64]:
    one = mode_step(name, mode, step, gamma)
    injected = temperature * one.noise + gradient_noise * np.outer(
        one.gradient_response, one.gradient_response
    )
    system = np.eye(4) - np.kron(one.mean, one.mean)
    covariance = np.linalg.solve(system, injected.reshape(4)).reshape(2, 2)
    if name in {"baoab", "obabo"}:
        end = mode_step(name, mode, step, gamma, closing=True)
        covariance = (
            end.mean @ covariance @ end.mean.T
            + temperature * end.noise
            + gradient_noise * np.outer(end.gradient_response, end.gradient_response)
        )
    symmetric: NDArray[np.float64] = (covariance + covariance.T) / 2
    return symmetric


def transient_covariance(
    hessian: ArrayLike,
    beta: float,
    time: float,
    dynamics: Dynamics = "overdamped",
    *,
    friction: FrictionLike = None,
    skew: Any = None,
) -> NDArray[np.float64]:
    """Compute the covariance at a time after a start from one point, S - e^(-tA) S e^(-tA^T).

    Args:
        hessian: Positive definite H: a number, eigenvalues ``(d,)`` or a matrix ``(d, d)``.
        beta: Inverse temperature.
        time: Time t >= 0 of the exact (continuous) dynamics.
        dynamics: "overdamped", "underdamped" or "nonreversible".
        friction: For "underdamped"; None or "critical" means 2 sqrt(m).
        skew: For "nonreversible".

    Returns:
        ``(d, d)``, or ``(2 d, 2 d)`` with positions first for "underdamped".

    Raises:
        InputError: If the time is negative or H is not positive definite.

    Source:
        Derived here (solution of the linear stochastic equation).

    Example:
        >>> round(float(transient_covariance(2.0, 1.0, 0.5)[0, 0]), 6)
        0.432332
    """
    if not np.isfinite(time) or time < 0:
        raise InputError(f"time must be a finite number of at least 0, got {time!r}")
    positive_spectrum(hessian)
    matrix = as_hessian(hessian)
    temperature = 1 / check_positive("beta", beta)
    stationary = np.linalg.inv(matrix) * temperature
    if dynamics == "underdamped":
        zero = np.zeros_like(matrix)
        stationary = np.block([[stationary, zero], [zero, temperature * np.eye(matrix.shape[0])]])
    flow = expm(-time * drift_matrix(hessian, dynamics, friction=friction, skew=skew))
    covariance: NDArray[np.float64] = stationary - flow @ stationary @ flow.T
    return (covariance + covariance.T) / 2


def w2_to_equilibrium(
    hessian: ArrayLike,
    start: ArrayLike,
    time: float,
    beta: float,
    dynamics: Dynamics = "overdamped",
    *,
    friction: FrictionLike = None,
    skew: Any = None,
) -> float:
    """Compute the 2-Wasserstein distance to the Gibbs law after a start from one point, on a quadratic.

    Decays at the rate of `convergence_rate`: m, sqrt(m) (critical friction, with a factor linear in t), or
    min Re eig((I + J) H).

    Args:
        hessian: Positive definite H: a number, eigenvalues ``(d,)`` or a matrix ``(d, d)``.
        start: Starting position ``(d,)``; velocities start at zero.
        time: Time t >= 0 of the exact (continuous) dynamics.
        beta: Inverse temperature.
        dynamics: "overdamped", "underdamped" (then over positions and velocities) or "nonreversible".
        friction: For "underdamped"; None or "critical" means 2 sqrt(m).
        skew: For "nonreversible".

    Returns:
        The distance.

    Raises:
        ShapeError: If the start does not fit the Hessian.

    Source:
        Derived here: means and covariances of the linear equation in `w2_gaussian`.

    Example:
        >>> round(w2_to_equilibrium(2.0, [3.0], 0.0, 0.5), 6) == round(float(np.sqrt(9 + 1)), 6)
        True
    """
    covariance = transient_covariance(hessian, beta, time, dynamics, friction=friction, skew=skew)
    matrix = as_hessian(hessian)
    stationary = np.linalg.inv(matrix) / beta
    position = np.atleast_1d(np.asarray(start, dtype=np.float64))
    if position.shape != (matrix.shape[0],):
        raise ShapeError(f"start must have shape ({matrix.shape[0]},), got {position.shape}")
    if dynamics == "underdamped":
        zero = np.zeros_like(matrix)
        stationary = np.block([[stationary, zero], [zero, np.eye(matrix.shape[0]) / beta]])
        position = np.concatenate([position, np.zeros_like(position)])
    flow = expm(-time * drift_matrix(hessian, dynamics, friction=friction, skew=skew))
    return w2_gaussian(flow @ position, covariance, np.zeros_like(position), stationary)


def w2_gaussian(mean1: ArrayLike, covariance1: ArrayLike, mean2: ArrayLike, covariance2: ArrayLike) -> float:
    """Compute the 2-Wasserstein distance of two Gaussians.

    W2^2 = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1^(1/2) S2 S1^(1/2))^(1/2)).

    Args:
        mean1: First mean ``(d,)``.
        covariance1: First covariance ``(d, d)``, positive semidefinite.
        mean2: Second mean ``(d,)``.
        covariance2: Second covariance ``(d, d)``, positive semidefinite.

    Returns:
        The distance (not squared).

    Raises:
        InputError: If the means have different lengths.

    Example:
        >>> w2_gaussian([0.0], [[4.0]], [3.0], [[64.0]])
        6.708203932499369
    """
    first, second = np.atleast_1d(np.asarray(mean1, float)), np.atleast_1d(np.asarray(mean2, float))
    if first.shape != second.shape:
        raise InputError(f"the two means must have one shape, got {first.shape} and {second.shape}")
    a, b = as_hessian(covariance1), as_hessian(covariance2)
    root = _square_root(a)
    cross = float(np.trace(_square_root(root @ b @ root)))
    squared = float(((first - second) ** 2).sum()) + float(np.trace(a) + np.trace(b)) - 2 * cross
    return float(np.sqrt(max(squared, 0.0)))


def _square_root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    eigenvalues, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.clip(eigenvalues, 0, None))) @ vectors.T
    return root
