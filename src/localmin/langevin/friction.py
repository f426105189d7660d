"""Friction from curvature: 2 sqrt(m) settles fastest, with m the smallest positive curvature."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from localmin.errors import InputError

Vector = NDArray[np.float64]

__all__ = ["critical_friction", "estimate_curvature", "friction_from_momentum", "momentum_from_friction"]


def critical_friction(curvature: float) -> float:
    """Compute the friction 2 sqrt(m) at which the underdamped mean returns fastest.

    Args:
        curvature: m > 0 [unit of F per squared unit of x].

    Returns:
        Friction [1/time].

    Raises:
        InputError: If the curvature is not a positive number.

    Example:
        >>> critical_friction(0.25)
        1.0
    """
    if not (math.isfinite(curvature) and curvature > 0):
        raise InputError(
            f"critical friction needs a curvature above 0, got {curvature!r}; at a saddle or in a flat valley"
            " pass the curvature that you want to damp, for example your weight decay"
        )
    return 2 * math.sqrt(curvature)


def friction_from_momentum(momentum: float, lr: float) -> float:
    """Convert torch's momentum mu at a learning rate to friction, -log(mu)/sqrt(lr).

    Args:
        momentum: mu in (0, 1).
        lr: Learning rate > 0, which is h^2.

    Returns:
        Friction [1/time].

    Raises:
        InputError: If a number is out of range.

    Example:
        >>> round(friction_from_momentum(0.9, 0.01), 6)
        1.053605
    """
    if not 0 < momentum < 1 or not lr > 0:
        raise InputError(f"expected 0 < momentum < 1 and lr > 0, got {momentum!r} and {lr!r}")
    return -math.log(momentum) / math.sqrt(lr)


def momentum_from_friction(friction: float, lr: float) -> float:
    """Convert friction at a learning rate to torch's momentum, exp(-friction sqrt(lr)).

    Args:
        friction: Friction > 0 [1/time].
        lr: Learning rate > 0, which is h^2.

    Returns:
        Momentum in (0, 1).

    Example:
        >>> round(momentum_from_friction(1.0, 0.01), 6)
        0.904837
    """
    return math.exp(-friction * math.sqrt(lr))


def estimate_curvature(
    hessian_vector_product: Callable[[Tensor], Tensor],
    dimension: int,
    *,
    floor: float | None = None,
    max_products: int = 200,
    seed: int = 0,
) -> tuple[float, float]:
    """Estimate the smallest and the largest Hessian eigenvalue by Lanczos iterations.

    Args:
        hessian_vector_product: Maps a float64 vector ``(dimension,)`` to H times it.
        dimension: d >= 3.
        floor: If given, the smaller estimate is not below it (a network has many curvatures near zero and
            below; damping those at their own rate would mean no friction at all).
        max_products: Roughly how many products may be spent on each end.
        seed: Seed of the starting vector.

    Returns:
        (smallest, largest). Lanczos values lie inside the spectrum: the smallest is an upper estimate,
        accurate to about one per cent when the iteration converged within its budget.

    Raises:
        InputError: If the dimension is below 3 or a product is not finite.

    Cost:
        At most about ``2 * max_products`` products; 20 vectors of memory.

    Example:
        >>> spectrum = torch.linspace(0.1, 2.0, 50, dtype=torch.float64)
        >>> [round(one, 3) for one in estimate_curvature(lambda v: spectrum * v, 50)]
        [0.1, 2.0]
    """
    if dimension < 3:
        raise InputError(
            f"estimate_curvature needs dimension >= 3, got {dimension}; compute the Hessian directly"
        )

    def product(vector: Vector) -> Vector:
        result = hessian_vector_product(torch.from_numpy(np.array(vector, dtype=np.float64).reshape(-1)))
        if not bool(torch.isfinite(result).all()):
            raise InputError("the Hessian-vector product is not finite")
        array: Vector = result.detach().to("cpu", torch.float64).numpy()
        return array

    operator = LinearOperator((dimension, dimension), matvec=product, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(dimension)
    basis = min(dimension, 20)
    ends = []
    for which in ("SA", "LA"):
        settings = {
            "k": 1,
            "which": which,
            "v0": start,
            "ncv": basis,
            "tol": 1e-3,
            "return_eigenvectors": False,
        }
        try:
            ends.append(float(eigsh(operator, maxiter=max(max_products // basis, 1), **settings)[0]))
        except ArpackNoConvergence:
            ends.append(_rayleigh_end(product, start, which, max_products))
    smallest, largest = ends
    return (smallest if floor is None else max(smallest, floor)), largest


def _rayleigh_end(product: Callable[[Vector], Vector], start: Vector, which: str, max_products: int) -> float:
    # Plain Lanczos with full reorthogonalisation: always gives a value, if not a converged one.
    steps = min(max_products, start.size, 60)
    basis = [start / np.linalg.norm(start)]
    diagonal, off_diagonal = [], []
    for _ in range(steps):
        vector = product(basis[-1])
        diagonal.append(float(vector @ basis[-1]))
        stacked = np.stack(basis)
        for _ in range(2):
            vector -= stacked.T @ (stacked @ vector)
        norm = float(np.linalg.norm(vector))
        if norm < 1e-12 * max(map(abs, diagonal)):
            break
        off_diagonal.append(norm)
        basis.append(vector / norm)
    size = len(diagonal)
    off = off_diagonal[: size - 1]
    values = np.linalg.eigvalsh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))
    return float(values[0] if which == "SA" else values[-1])
