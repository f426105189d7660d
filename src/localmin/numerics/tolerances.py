"""Tolerances that follow from the arithmetic and scale with the problem."""

import torch

__all__ = ["rank_tolerance_relative", "rounding_margin_absolute"]


def rank_tolerance_relative(shape: tuple[int, int], dtype: torch.dtype) -> float:
    """Compute the usual threshold for a singular value that is zero up to rounding, ``max(m, n) * eps``.

    It suits matrices that carry rounding errors only. A matrix built from weights that were trained,
    or from a point that is only nearly critical, needs a larger tolerance.

    Args:
        shape: Shape ``(m, n)`` of the matrix.
        dtype: Its floating-point dtype.

    Returns:
        Tolerance relative to the largest singular value.

    Example:
        >>> rank_tolerance_relative((100, 3), torch.float64) == 100 * 2.0**-52
        True
    """
    return max(shape) * torch.finfo(dtype).eps


def rounding_margin_absolute(norm: float, size: int, dtype: torch.dtype) -> float:
    """Compute ``size * u * norm``, the order of rounding in the eigenvalues of a symmetric matrix.

    Below this margin the sign of a computed eigenvalue means nothing. Derived here from the backward
    stability of dense symmetric eigensolvers; the constant in front is taken as 1.

    Args:
        norm: Spectral norm of the matrix, or an upper bound.
        size: Number of its rows.
        dtype: Dtype of the computation; the unit roundoff ``u`` is half its machine epsilon.

    Returns:
        Margin in the unit of ``norm``.

    Example:
        >>> rounding_margin_absolute(2.0, 1000, torch.float64) == 2000 * 2.0**-53
        True
    """
    return size * norm * torch.finfo(dtype).eps / 2.0
