"""Numbers from a user, made comparable."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["finite_or_nan"]


def finite_or_nan(value: Any) -> float:
    """Convert to a float; what is not a finite number becomes NaN, which fails every comparison.

    Args:
        value: Anything.

    Returns:
        The number, or NaN.

    Example:
        >>> finite_or_nan(0.5) >= 0, finite_or_nan("0.5") >= 0, finite_or_nan(None) >= 0
        (True, False, False)
    """
    if isinstance(value, str | bytes):
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        return math.nan
    return number if math.isfinite(number) else math.nan
