"""Rank and null space of a matrix up to a tolerance."""

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.numerics.tolerances import rank_tolerance_relative

__all__ = ["null_space_basis", "numerical_rank"]


def numerical_rank(
    matrix: Float[Tensor, "m n"],
    *,
    tolerance_relative: float | None = None,
    tolerance_absolute: float | None = None,
) -> int:
    """Count the singular values above a tolerance.

    Args:
        matrix: Shape ``(m, n)``, floating point, finite; ``m`` or ``n`` may be zero.
        tolerance_relative: Threshold as a multiple of the largest singular value. By default
            `rank_tolerance_relative`.
        tolerance_absolute: Threshold in the unit of the matrix, for a scale that is known from the
            problem instead. At most one of the two may be given.

    Returns:
        The numerical rank; zero for a zero matrix whatever the relative tolerance.

    Raises:
        ShapeError: If ``matrix`` is not two-dimensional.
        InputError: If both tolerances are given, or one is negative.

    Cost:
        One singular value decomposition without vectors.

    Example:
        >>> matrix = torch.diag(torch.tensor([5.0, 1e-3, 0.0], dtype=torch.float64))
        >>> numerical_rank(matrix), numerical_rank(matrix, tolerance_relative=1e-3)
        (2, 1)
    """
    _check(matrix, tolerance_relative, tolerance_absolute)
    if matrix.numel() == 0:
        return 0
    return _rank_of(torch.linalg.svdvals(matrix), matrix, tolerance_relative, tolerance_absolute)


def null_space_basis(
    matrix: Float[Tensor, "m n"],
    *,
    tolerance_relative: float | None = None,
    tolerance_absolute: float | None = None,
) -> Float[Tensor, "n k"]:
    """Build an orthonormal basis of ``{v : matrix v = 0}`` up to a tolerance.

    Args:
        matrix: Shape ``(m, n)``, floating point, finite; ``m`` or ``n`` may be zero.
        tolerance_relative: As in `numerical_rank`.
        tolerance_absolute: As in `numerical_rank`.

    Returns:
        Orthonormal columns, shape ``(n, n - rank)``: ``norm(matrix v)`` is at most the threshold times
        ``norm(v)`` on their span.

    Raises:
        ShapeError: If ``matrix`` is not two-dimensional.
        InputError: If both tolerances are given, or one is negative.

    Cost:
        One full singular value decomposition.

    Example:
        >>> null_space_basis(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]])).abs().tolist()
        [[0.0], [1.0], [0.0]]
    """
    _check(matrix, tolerance_relative, tolerance_absolute)
    num_columns = matrix.shape[1]
    if matrix.numel() == 0:
        return torch.eye(num_columns, dtype=matrix.dtype, device=matrix.device)
    _, values, right = torch.linalg.svd(matrix, full_matrices=True)
    rank = _rank_of(values, matrix, tolerance_relative, tolerance_absolute)
    basis: Tensor = right[rank:].mT.contiguous()
    return basis


def _rank_of(
    values: Tensor, matrix: Tensor, tolerance_relative: float | None, tolerance_absolute: float | None
) -> int:
    if tolerance_absolute is None:
        if tolerance_relative is None:
            tolerance_relative = rank_tolerance_relative((matrix.shape[0], matrix.shape[1]), matrix.dtype)
        tolerance_absolute = tolerance_relative * float(values[0])
    return int((values > tolerance_absolute).sum())


def _check(matrix: Tensor, tolerance_relative: float | None, tolerance_absolute: float | None) -> None:
    if matrix.ndim != 2 or not matrix.is_floating_point():
        raise ShapeError(
            f"expected a floating-point matrix (m, n), got {matrix.dtype} of shape {tuple(matrix.shape)}"
        )
    if tolerance_relative is not None and tolerance_absolute is not None:
        raise InputError("expected a relative or an absolute tolerance, got both")
    for tolerance in (tolerance_relative, tolerance_absolute):
        if tolerance is not None and not tolerance >= 0.0:
            raise InputError(f"expected a tolerance that is not negative, got {tolerance}")
