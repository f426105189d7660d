"""Skew matrices designed from a Hessian."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from localmin.errors import InputError, ShapeError
from localmin.langevin.theory.spectra import as_hessian, check_positive, positive_spectrum

__all__ = ["critical_skew_strength", "optimal_skew", "skew_rate_bounds"]

Array = NDArray[np.float64]


def skew_rate_bounds(hessian: ArrayLike) -> tuple[float, float]:
    """Compute the range of rates that skew matrices reach on this Hessian, (m, tr(H)/d).

    Args:
        hessian: Positive definite Hessian: a number, eigenvalues ``(d,)`` or a matrix ``(d, d)``.

    Returns:
        The smallest (J = 0) and the largest (optimal J) rate [1/time].

    Source:
        Upper bound after Lelievre, Nier and Pavliotis; derived here.

    Example:
        >>> skew_rate_bounds([0.5, 1.0])
        (0.5, 0.75)
    """
    spectrum = positive_spectrum(hessian)
    return float(spectrum[0]), float(spectrum.mean())


def critical_skew_strength(softest: float, stiffest: float) -> float:
    """Compute the strength a_c = (M - m)/(2 sqrt(m M)) above which a 2-D rotation reaches rate (m + M)/2.

    Args:
        softest: m.
        stiffest: M >= m.

    Returns:
        a_c for J = a [[0, 1], [-1, 0]] and H = diag(m, M).

    Raises:
        InputError: If M is below m.

    Source:
        Derived here.

    Example:
        >>> round(critical_skew_strength(0.1, 1.0), 6)
        1.423025
    """
    m, largest = check_positive("softest", softest), check_positive("stiffest", stiffest)
    if largest < m:
        raise InputError(f"stiffest must be at least softest, got {largest} < {m}")
    return (largest - m) / (2 * float(np.sqrt(m * largest)))


def optimal_skew(hessian: ArrayLike, *, levels: ArrayLike | None = None) -> Array:
    """Build the J for which every eigenvalue of (I + J) H has real part tr(H)/d.

    In an orthonormal basis in which H has constant diagonal, J~_jk = H_jk (q_j + q_k)/(q_j - q_k), then
    J = H^(-1/2) J~ H^(-1/2). Optimal in continuous time only: |J| is large when H is ill conditioned, and the
    explicit Euler step must shrink like Re(mu)/|mu|^2, so check `max_stable_step` before using it.

    Args:
        hessian: Positive definite Hessian: eigenvalues ``(d,)`` or a matrix ``(d, d)``.
        levels: Distinct positive q ``(d,)``; None means 1, 2, ..., d. The prefactor of the decay is at most
            sqrt(max q/min q * condition number of H).

    Returns:
        J ``(d, d)``, antisymmetric.

    Raises:
        ShapeError: If there are not d levels.
        InputError: If levels are not distinct and positive, or H is not positive definite.

    Source:
        Lelievre, Nier and Pavliotis 2013 for the existence; the construction is derived here.

    Cost:
        O(d^3).

    Example:
        >>> H = np.diag([0.01, 0.1, 1.0])
        >>> np.linalg.eigvals((np.eye(3) + optimal_skew(H)) @ H).real.round(6).tolist()
        [0.37, 0.37, 0.37]
    """
    matrix = as_hessian(hessian)
    dimension = matrix.shape[0]
    positive_spectrum(matrix)
    q = np.arange(1.0, dimension + 1) if levels is None else np.asarray(levels, dtype=np.float64)
    if q.shape != (dimension,):
        raise ShapeError(f"levels must have shape ({dimension},), got {q.shape}")
    if (q <= 0).any() or np.unique(q).size != dimension:
        raise InputError("levels must be distinct and above 0")
    basis = _equalising_basis(matrix)
    rotated = basis.T @ matrix @ basis
    difference = q[:, None] - q[None, :] + np.eye(dimension)
    inner = rotated * (q[:, None] + q[None, :]) / difference
    np.fill_diagonal(inner, 0.0)
    eigenvalues, vectors = np.linalg.eigh(matrix)
    inverse_root = (vectors / np.sqrt(eigenvalues)) @ vectors.T
    result = inverse_root @ (basis @ inner @ basis.T) @ inverse_root
    skew: Array = (result - result.T) / 2
    return skew


def _equalising_basis(matrix: Array) -> Array:
    """Rotate to an orthonormal basis in which the matrix has a constant diagonal."""
    dimension = matrix.shape[0]
    _, vectors = np.linalg.eigh(matrix)
    if dimension & (dimension - 1) == 0:
        basis: Array = vectors @ _hadamard(dimension)
        return basis
    return _givens_equalise(matrix, vectors)


def _hadamard(dimension: int) -> Array:
    result = np.ones((1, 1))
    while result.shape[0] < dimension:
        result = np.block([[result, result], [result, -result]]) / np.sqrt(2)
    return result


def _givens_equalise(matrix: Array, vectors: Array) -> Array:
    # Each rotation of the smallest with the largest diagonal entry sets one of them to the mean for good.
    basis = vectors.copy()
    current = basis.T @ matrix @ basis
    mean = float(np.trace(current)) / current.shape[0]
    open_indices = list(range(current.shape[0]))
    while len(open_indices) > 1:
        diagonal = current.diagonal()
        low, high = min(open_indices, key=lambda i: diagonal[i]), max(open_indices, key=lambda i: diagonal[i])
        if low == high:
            break
        # cos^2 a + 2 sin cos b + sin^2 c = mean, solved for t = tan: (c - mean) t^2 + 2 b t + (a - mean) = 0.
        a, b, c = current[low, low] - mean, current[low, high], current[high, high] - mean
        t = 0.0 if c <= 0 else (-b + np.sqrt(max(b * b - a * c, 0.0))) / c
        cosine = 1 / np.sqrt(1 + t * t)
        rotation = np.array([[cosine, -t * cosine], [t * cosine, cosine]])
        basis[:, [low, high]] = basis[:, [low, high]] @ rotation
        current = basis.T @ matrix @ basis
        open_indices.remove(low)
    return basis
