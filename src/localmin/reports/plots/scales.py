"""From data to positions, and where to put tick marks."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Scale", "nice_ticks"]

_MIN_POWERS, _MIN_TICKS = 3, 2


@dataclass(frozen=True)
class Scale:
    """Map the interval ``[low, high]`` to ``[start, end]``, linearly or by logarithm.

    Args:
        low: Of the data; positive for a logarithmic scale.
        high: Of the data, above ``low``.
        start: Position of ``low``.
        end: Position of ``high``.
        logarithmic: Whether equal ratios take equal room.

    Example:
        >>> Scale(0.0, 2.0, 100.0, 0.0)(0.5), Scale(1.0, 100.0, 0.0, 10.0, logarithmic=True)(10.0)
        (75.0, 5.0)
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Place a value; outside the interval the ends hold."""
        bounded = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(bounded / self.low) / math.log(self.high / self.low)
        else:
            share = (bounded - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Choose round values inside the interval, about ``count`` of them."""
        if not self.logarithmic:
            return nice_ticks(self.low, self.high, count)
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        step = max(1, math.ceil((last - first + 1) / count))
        powers = [10.0**power for power in range(first, last + 1, step)]
        if len(powers) >= _MIN_POWERS:
            return powers
        # Less than three powers: the multiples 1, 2, 5, or round values where even these are too few.
        between = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1.0, 2.0, 5.0)]
        inside = [value for value in between if self.low <= value <= self.high]
        return inside if len(inside) >= _MIN_TICKS else nice_ticks(self.low, self.high, count)


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Choose multiples of 1, 2 or 5 times a power of ten in an interval.

    Args:
        low: Lower end.
        high: Upper end, above ``low``.
        count: About how many.

    Returns:
        The values, increasing.

    Example:
        >>> nice_ticks(0.0, 1.0)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]
