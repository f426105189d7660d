"""The spectral gap of each generator: the rate of the slowest relaxation, between wells when there are two.

All generators are written in weak form on polynomials that are orthonormal for e^(-beta F), found by a
discrete Arnoldi process on quadrature nodes. Only the potential's values enter: integration by parts removes
its gradient. For two equal wells the time from one to the other is close to 2/gap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigvals
from scipy.sparse import csc_matrix, diags, eye, kron
from scipy.sparse.linalg import LinearOperator, eigs, splu

from localmin.errors import InputError
from localmin.langevin.theory.spectra import as_skew, check_positive

__all__ = ["spectral_gap_1d", "spectral_gap_2d", "spectral_gap_underdamped"]

Array = NDArray[np.float64]


def _orthonormal_polynomials(points: Array, measure: Array, size: int) -> tuple[Array, Array]:
    """Build polynomials of degree below size, orthonormal for the discrete measure, and their derivatives."""
    scale = float(np.abs(points).max())
    values, slopes = np.empty((points.size, size)), np.empty((points.size, size))
    values[:, 0], slopes[:, 0] = 1 / np.sqrt(measure.sum()), 0.0
    for degree in range(1, size):
        value = points / scale * values[:, degree - 1]
        slope = points / scale * slopes[:, degree - 1] + values[:, degree - 1] / scale
        for _ in range(2):  # once more for orthogonality to rounding
            overlap = values[:, :degree].T @ (measure * value)
            value, slope = value - values[:, :degree] @ overlap, slope - slopes[:, :degree] @ overlap
        norm = np.sqrt((measure * value**2).sum())
        values[:, degree], slopes[:, degree] = value / norm, slope / norm
    return values, slopes


def _nodes(domain: tuple[float, float], number: int) -> tuple[Array, Array]:
    low, high = domain
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(f"a domain is a pair (low, high) of finite numbers, low < high, got {domain!r}")
    nodes, weights = np.polynomial.legendre.leggauss(number)
    return (low + high) / 2 + (high - low) / 2 * nodes, weights * (high - low) / 2


def _gibbs(values: Any, beta: float) -> Array:
    energy = beta * np.asarray(values, dtype=np.float64)
    if not np.isfinite(energy).all():
        raise InputError("the potential is not finite on the domain")
    weights: Array = np.exp(energy.min() - energy)
    return weights


def _derivative_matrix(
    potential: Callable[[Array], Any], beta: float, domain: tuple[float, float], num_basis: int
) -> Array:
    points, weights = _nodes(domain, 4 * num_basis + 40)
    measure = weights * _gibbs(potential(points), beta)
    values, slopes = _orthonormal_polynomials(points, measure, num_basis)
    matrix: Array = values.T @ (measure[:, None] * slopes)
    return matrix


def spectral_gap_1d(
    potential: Callable[[Array], Any], beta: float, *, domain: tuple[float, float], num_basis: int = 80
) -> float:
    """Compute the spectral gap of overdamped dynamics in one dimension.

    Args:
        potential: F, a function of an array.
        beta: Inverse temperature.
        domain: Interval outside which e^(-beta F) is negligible.
        num_basis: Number of polynomials; raise it until the answer stands still.

    Returns:
        The smallest non-zero eigenvalue of minus the generator [1/time], an upper bound that converges
        exponentially in ``num_basis``.

    Source:
        Galerkin method, derived here.

    Cost:
        One symmetric eigenvalue problem of size ``num_basis``.

    Example:
        >>> gap = spectral_gap_1d(lambda x: (x**2 - 1) ** 2 / 4, 12.0, domain=(-2.6, 2.6))
        >>> round(2 / gap, 4)
        99.2311
    """
    derivative = _derivative_matrix(potential, check_positive("beta", beta), domain, num_basis)
    return float(np.linalg.eigvalsh(derivative.T @ derivative / beta)[1])


def spectral_gap_underdamped(
    potential: Callable[[Array], Any],
    beta: float,
    friction: float,
    *,
    domain: tuple[float, float],
    num_basis: int = 60,
    num_velocities: int = 40,
) -> float:
    """Compute the spectral gap of underdamped dynamics with one position coordinate.

    Hermite functions in the velocity, orthonormal polynomials in the position.

    Args:
        potential: F, a function of an array.
        beta: Inverse temperature.
        friction: Friction [1/time], above zero.
        domain: Interval outside which e^(-beta F) is negligible.
        num_basis: Number of polynomials in the position.
        num_velocities: Number of Hermite functions in the velocity; low friction needs more.

    Returns:
        The smallest real part of a non-zero eigenvalue near zero [1/time].

    Source:
        Hermite-Galerkin method, derived here.

    Cost:
        One sparse factorisation of size ``num_basis * num_velocities``.

    Example:
        >>> gap = spectral_gap_underdamped(lambda x: (x**2 - 1) ** 2 / 4, 12.0, 1.0, domain=(-2.6, 2.6))
        >>> round(2 / gap, 2)
        149.75
    """
    gamma = check_positive("friction", friction)
    derivative = _derivative_matrix(potential, check_positive("beta", beta), domain, num_basis)
    lowering = diags([np.sqrt(np.arange(1.0, num_velocities))], [1])
    # L = sqrt(T) (a^T D - a D^T) - friction N on (velocity, position) coefficients.
    transport = kron(lowering.T, csc_matrix(derivative)) - kron(lowering, csc_matrix(derivative.T))
    decay = kron(diags([np.arange(float(num_velocities))], [0]), eye(num_basis))
    generator = csc_matrix(gamma * decay - transport / np.sqrt(beta))
    size = num_basis * num_velocities
    shift = 1e-9 * gamma
    factor = splu(csc_matrix(generator + shift * eye(size)))
    constant = np.zeros(size)
    constant[0] = 1.0  # the invariant function is the first basis vector: project it out

    def solve(vector: Array) -> Array:
        inner = vector - constant * vector[0]
        solution: Array = factor.solve(inner)
        return np.asarray(solution - constant * solution[0])

    operator = LinearOperator((size, size), matvec=solve, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(size)
    inverse = eigs(operator, k=4, which="LM", v0=start, return_eigenvectors=False)
    return float((1 / inverse - shift).real.min())


def spectral_gap_2d(
    potential: Callable[[Array, Array], Any],
    beta: float,
    *,
    domain: tuple[tuple[float, float], tuple[float, float]],
    skew: Any = None,
    num_basis: int = 30,
) -> float:
    """Compute the spectral gap of overdamped or non-reversible dynamics in two dimensions.

    Args:
        potential: F(x, y), a function of two arrays.
        beta: Inverse temperature.
        domain: Rectangle outside which e^(-beta F) is negligible.
        skew: Skew matrix J ``(2, 2)``; None is the reversible dynamics.
        num_basis: Total polynomial degree is below this.

    Returns:
        The smallest real part of a non-zero eigenvalue of minus the generator [1/time].

    Source:
        Galerkin method, derived here: weak form of minus the generator is the integral of
        grad f . (I - J) grad g times e^(-beta F)/beta.

    Cost:
        One dense eigenvalue problem of size ``num_basis (num_basis + 1)/2``.

    Example:
        >>> well = lambda x, y: (x**2 - 1) ** 2 / 4 + y**2 / 2
        >>> gap = spectral_gap_2d(well, 8.0, domain=((-2.6, 2.6), (-3.0, 3.0)), num_basis=24)
        >>> round(2 / gap, 2)
        35.2
    """
    matrix = np.eye(2) - as_skew(skew, 2)
    check_positive("beta", beta)
    number = 3 * num_basis
    (x, wx), (y, wy) = _nodes(domain[0], number), _nodes(domain[1], number)
    grid = np.meshgrid(x, y, indexing="ij")
    measure = (wx[:, None] * wy[None, :] * _gibbs(potential(*grid), beta)).ravel()
    kept = measure > 1e-32 * measure.max()
    slopes = _orthonormal_polynomials_2d(
        grid[0].ravel()[kept], grid[1].ravel()[kept], measure[kept], num_basis
    )
    form = sum(matrix[i, j] * (slopes[i].T @ slopes[j]) for i in (0, 1) for j in (0, 1)) / beta
    return float(np.sort(eigvals(form[1:, 1:]).real)[0])


def _orthonormal_polynomials_2d(x: Array, y: Array, measure: Array, num_degrees: int) -> tuple[Array, Array]:
    """Build the gradients of orthonormal polynomials, times the root of the measure, by total degree."""
    # Degree by degree: multiply the last degree by x and its last member by y, orthogonalise the block.
    size = num_degrees * (num_degrees + 1) // 2
    scale_x, scale_y = float(np.abs(x).max()), float(np.abs(y).max())
    # Three layers: value, slope in x, slope in y, all times the root of the measure.
    layers = np.zeros((3, x.size, size))
    layers[0, :, 0] = np.sqrt(measure / measure.sum())
    for degree in range(1, num_degrees):
        done = degree * (degree + 1) // 2
        last = layers[:, :, done - degree : done]
        block = np.concatenate(
            [last * (x / scale_x)[:, None], last[:, :, -1:] * (y / scale_y)[:, None]], axis=2
        )
        block[1, :, :degree] += last[0] / scale_x
        block[2, :, degree] += last[0, :, -1] / scale_y
        for _ in range(2):  # once more for orthogonality to rounding
            overlap = layers[0, :, :done].T @ block[0]
            block -= layers[:, :, :done] @ overlap
        _, triangle = np.linalg.qr(block[0])
        layers[:, :, done : done + degree + 1] = block @ np.linalg.inv(triangle)
    return layers[1], layers[2]
