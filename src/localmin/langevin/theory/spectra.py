"""Read what a user calls a Hessian: a number, a list of eigenvalues, or a symmetric matrix."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from localmin.errors import InputError, ShapeError

__all__ = [
    "Dynamics",
    "FrictionLike",
    "as_hessian",
    "as_skew",
    "check_positive",
    "critical_constant",
    "drift_matrix",
    "positive_spectrum",
    "resolve_friction",
]

Dynamics = Literal["overdamped", "underdamped", "nonreversible"]
FrictionLike = float | Literal["critical"] | None

_SYMMETRY_TOLERANCE_RELATIVE = 1e-8


def check_positive(name: str, value: float) -> float:
    """Check that a number is finite and above zero.

    Args:
        name: What the number is called in the message.
        value: The number.

    Returns:
        The same number as a Python float.

    Raises:
        InputError: If it is not a finite positive number.
    """
    number = float(value)
    if not np.isfinite(number) or number <= 0:
        raise InputError(f"{name} must be a finite number above 0, got {value!r}")
    return number


def as_hessian(hessian: ArrayLike) -> NDArray[np.float64]:
    """Convert a number, a spectrum or a matrix to a symmetric matrix.

    Args:
        hessian: A scalar curvature, eigenvalues ``(d,)`` (read as a diagonal matrix), or a symmetric
            matrix ``(d, d)``.

    Returns:
        Symmetric matrix ``(d, d)``, float64.

    Raises:
        ShapeError: If the array has more than two dimensions or is not square.
        InputError: If it is not finite or not symmetric.

    Example:
        >>> as_hessian([1.0, 4.0]).tolist()
        [[1.0, 0.0], [0.0, 4.0]]
    """
    array = np.asarray(hessian, dtype=np.float64)
    if array.ndim == 0:
        array = array.reshape(1, 1)
    elif array.ndim == 1:
        array = np.diag(array)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.shape[0] == 0:
        raise ShapeError(
            f"a Hessian is a number, (d,) eigenvalues or a (d, d) matrix, got shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise InputError("the Hessian holds a value that is not finite")
    asymmetry = float(np.abs(array - array.T).max())
    if asymmetry > _SYMMETRY_TOLERANCE_RELATIVE * float(np.abs(array).max(initial=1e-300)):
        raise InputError(
            f"the Hessian is not symmetric (largest difference {asymmetry:.2e}); use (H + H^T) / 2"
        )
    symmetric: NDArray[np.float64] = (array + array.T) / 2
    return symmetric


def positive_spectrum(hessian: ArrayLike) -> NDArray[np.float64]:
    """Compute the eigenvalues of a Hessian at a minimum, in ascending order.

    Args:
        hessian: As in `as_hessian`; must be positive definite.

    Returns:
        Eigenvalues ``(d,)``, ascending, all above zero.

    Raises:
        InputError: If an eigenvalue is not positive.

    Example:
        >>> positive_spectrum([[2.0, 1.0], [1.0, 2.0]]).round(6).tolist()
        [1.0, 3.0]
    """
    eigenvalues = np.asarray(np.linalg.eigvalsh(as_hessian(hessian)), dtype=np.float64)
    if eigenvalues[0] <= 0:
        raise InputError(
            "a nondegenerate minimum needs a positive definite Hessian,"
            f" its smallest eigenvalue is {eigenvalues[0]:.3e}"
        )
    return eigenvalues


def as_skew(skew: Any, dimension: int) -> NDArray[np.float64]:
    """Convert a skew operator or a matrix to a dense antisymmetric matrix.

    Args:
        skew: Matrix ``(d, d)`` with J^T = -J, an object with ``to_dense(dimension)``, or None for J = 0.
        dimension: The dimension d.

    Returns:
        Dense J ``(d, d)``, float64.

    Raises:
        ShapeError: If the shape is not ``(d, d)``.
        InputError: If the matrix is not antisymmetric.

    Example:
        >>> as_skew([[0, 2], [-2, 0]], 2).tolist()
        [[0.0, 2.0], [-2.0, 0.0]]
    """
    if skew is None:
        return np.zeros((dimension, dimension))
    if hasattr(skew, "to_dense") and not hasattr(skew, "numpy"):
        skew = skew.to_dense(dimension)
    array = np.asarray(skew, dtype=np.float64)
    if array.shape != (dimension, dimension):
        raise ShapeError(f"the skew matrix must have shape ({dimension}, {dimension}), got {array.shape}")
    asymmetry = float(np.abs(array + array.T).max())
    if asymmetry > _SYMMETRY_TOLERANCE_RELATIVE * max(float(np.abs(array).max()), 1e-300):
        raise InputError(f"J must satisfy J^T = -J, largest |J + J^T| is {asymmetry:.2e}; use (A - A^T) / 2")
    return array


def resolve_friction(friction: FrictionLike, hessian: ArrayLike) -> float:
    """Compute the friction as a number; None and "critical" mean 2 sqrt(m).

    Args:
        friction: A number above zero [1/time], "critical" or None.
        hessian: Hessian at the minimum, from which m (its smallest eigenvalue) is read.

    Returns:
        The friction [1/time].

    Raises:
        InputError: If the friction is neither of these.

    Example:
        >>> resolve_friction("critical", [0.25, 1.0])
        1.0
    """
    given: object = friction  # callers without a type checker pass other text
    if given is None or given == "critical":
        return 2.0 * float(np.sqrt(positive_spectrum(hessian)[0]))
    if not isinstance(given, Real):
        raise InputError(f'friction is a number above 0 or "critical", got {friction!r}')
    return check_positive("friction", float(given))


def critical_constant(spectrum: NDArray[np.float64]) -> float:
    """Compute C_H, the largest (1 + lambda)^2 / (lambda - m) over eigenvalues above the smallest, m.

    Args:
        spectrum: Positive eigenvalues ``(d,)``, ascending.

    Returns:
        The constant of the critically damped semigroup bound; 0.0 if all eigenvalues are equal.

    Example:
        >>> critical_constant(np.array([1.0, 3.0]))
        8.0
    """
    above = spectrum[spectrum > spectrum[0] * (1 + 1e-12)]
    return float(((1 + above) ** 2 / (above - spectrum[0])).max()) if above.size else 0.0


def drift_matrix(
    hessian: ArrayLike, dynamics: Dynamics, *, friction: FrictionLike = None, skew: Any = None
) -> NDArray[np.float64]:
    """Build the matrix A of the linear mean equation d(mean)/dt = -A mean.

    Args:
        hessian: As in `as_hessian`.
        dynamics: "overdamped" (A = H), "nonreversible" (A = (I + J) H) or "underdamped"
            (A = [[0, -I], [H, friction I]] on positions, then velocities).
        friction: For "underdamped".
        skew: For "nonreversible".

    Returns:
        A, of shape ``(d, d)``, or ``(2 d, 2 d)`` for "underdamped".

    Raises:
        InputError: If the dynamics is unknown.

    Example:
        >>> drift_matrix(2.0, "underdamped", friction=3.0).tolist()
        [[0.0, -1.0], [2.0, 3.0]]
    """
    matrix = as_hessian(hessian)
    dimension = matrix.shape[0]
    identity = np.eye(dimension)
    if dynamics == "overdamped":
        return matrix
    if dynamics == "nonreversible":
        product: NDArray[np.float64] = (identity + as_skew(skew, dimension)) @ matrix
        return product
    if dynamics == "underdamped":
        gamma = resolve_friction(friction, hessian)
        return np.block([[np.zeros_like(identity), -identity], [matrix, gamma * identity]])
    raise InputError(f'dynamics is "overdamped", "underdamped" or "nonreversible", got {dynamics!r}')
