"""Two axes with ticks and labels, for any figure over numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from localmin.reports.plots.scales import Scale
from localmin.reports.plots.svg import Canvas

__all__ = ["axis_scale", "draw_x_axis", "draw_y_axis", "tick_text"]

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PLAIN_LOW, _PLAIN_HIGH = 1e-3, 1e5
_MARGIN = 0.05


def axis_scale(values: Iterable[float], start: float, end: float, *, logarithmic: bool) -> Scale:
    """Fit a scale around values, with a margin.

    Args:
        values: Finite, at least one; positive for a logarithmic scale.
        start: Position of the low end.
        end: Position of the high end.
        logarithmic: Whether equal ratios take equal room.

    Returns:
        A scale whose interval is never empty.

    Example:
        >>> scale = axis_scale([1.0, 3.0], 0.0, 100.0, logarithmic=False)
        >>> round(scale.low, 3), round(scale.high, 3)
        (0.9, 3.1)
    """
    found = list(values)
    low, high = min(found), max(found)
    if logarithmic:
        room = max((high / low) ** _MARGIN, 1.05)
        return Scale(low / room, high * room, start, end, logarithmic=True)
    room = _MARGIN * (high - low) or 0.1 * abs(high) or 1.0
    # Zero stays the end of the axis where nothing lies below it.
    bottom = 0.0 if low == 0 else low - room
    return Scale(bottom, high + room, start, end)


def tick_text(value: float) -> str:
    """Write a number on an axis, with a power of ten where it is very large or small.

    Args:
        value: Round.

    Returns:
        Such as ``"0.25"`` or ``"2·10⁻⁵"``.

    Example:
        >>> tick_text(0.25), tick_text(1e-5), tick_text(2e6)
        ('0.25', '10⁻⁵', '2·10⁶')
    """
    if value == 0 or _PLAIN_LOW <= abs(value) < _PLAIN_HIGH:
        return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")
    power = math.floor(math.log10(abs(value)) + 1e-9)
    factor = f"{value / 10.0**power:.3g}".replace("-", "\N{MINUS SIGN}")
    tail = f"10{str(power).translate(_SUPERSCRIPTS)}"
    return tail if factor == "1" else f"{factor}·{tail}"


def draw_x_axis(
    canvas: Canvas, x: Scale, base: float, label: str, *, categories: Sequence[str] = (), narrow: bool
) -> None:
    """Draw the lower axis with its ticks and its label.

    Args:
        canvas: To draw on.
        x: Scale of the axis.
        base: Where the axis lies.
        label: Quantity and unit.
        categories: Names at 0, 1, ... in place of numbers.
        narrow: Whether there is room for few ticks only.
    """
    canvas.line(x.start, base, x.end, base, "axis")
    places = list(range(len(categories))) if categories else x.ticks(4 if narrow else 7)
    for place in places:
        canvas.line(x(place), base, x(place), base + 4, "axis")
        text = categories[int(place)] if categories else tick_text(place)
        canvas.text(x(place), base + 18, text, "tick", anchor="middle")
    canvas.text((x.start + x.end) / 2, base + 38, label, "caption", anchor="middle")


def draw_y_axis(
    canvas: Canvas, y: Scale, left: float, right: float, label: str, *, grid: bool = True
) -> None:
    """Draw the ticks of the left axis with its label above it.

    Args:
        canvas: To draw on.
        y: Scale of the axis.
        left: Where the axis lies.
        right: Where the grid ends.
        label: Quantity and unit.
        grid: Whether to draw lines across.
    """
    canvas.text(0, 14, label, "caption")
    for tick in y.ticks(5):
        if grid:
            canvas.line(left, y(tick), right, y(tick), "grid")
        canvas.text(left - 7, y(tick) + 4, tick_text(tick), "tick", anchor="end")
