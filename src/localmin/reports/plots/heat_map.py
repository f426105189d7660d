"""Draw a `HeatMap`: one shade a cell, darker for larger values."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from localmin.charts import HeatMap
from localmin.reports.plots.axes import draw_x_axis, draw_y_axis, tick_text
from localmin.reports.plots.scales import Scale
from localmin.reports.plots.svg import Canvas, both_widths

__all__ = ["heat_map_figure"]

_LEVELS = 8
_BOTTOM, _TOP, _LEFT = 50, 34, 52


def heat_map_figure(grid: HeatMap) -> Markup:
    """Draw a heat map for wide and for narrow pages.

    Args:
        grid: What to show.

    Returns:
        Two SVG elements; the style sheet shows one of them.
    """
    return both_widths(lambda width: _draw(grid, width))


def _draw(grid: HeatMap, width: int) -> Canvas:
    narrow = width < 500
    size = width - _LEFT - 12 if narrow else 360
    canvas = Canvas(
        width,
        size + _TOP + _BOTTOM + (40 if narrow else 0),
        name=grid.name,
        title=grid.title,
        description=grid.note or grid.title,
    )
    columns, rows = len(grid.x), len(grid.y)
    across, up = size / columns, size / rows
    finite = [value for row in grid.values for value in row if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    cells: dict[int, list[tuple[float, float]]] = {}
    for j, row in enumerate(grid.values):
        for i, value in enumerate(row):
            if math.isfinite(value):
                share = (value - low) / (high - low) if high > low else 0.0
                level = min(_LEVELS, 1 + int(share * _LEVELS))
                cells.setdefault(level, []).append((_LEFT + i * across, _TOP + size - (j + 1) * up))
    for level, corners in sorted(cells.items()):
        canvas.squares(corners, across, up, f"accent-{level}")
    canvas.rect(_LEFT, _TOP, size, size, "frame")
    x = _cell_scale(grid.x, _LEFT, _LEFT + size)
    y = _cell_scale(grid.y, _TOP + size, _TOP)
    draw_y_axis(canvas, y, _LEFT, _LEFT + size, grid.y_label, grid=False)
    draw_x_axis(canvas, x, _TOP + size, grid.x_label, narrow=narrow)
    for mark_x, mark_y, name in grid.marks:
        canvas.circle(x(mark_x), y(mark_y), 4.5, "node", hint=name)
        canvas.text(x(mark_x) + 9, y(mark_y) + 4, name, "label halo")
    _key(canvas, grid.value_label, low, high, narrow=narrow, size=size)
    return canvas


def _cell_scale(values: Sequence[float], start: float, end: float) -> Scale:
    """Map cell centres to the middle of their cells; cells are drawn of equal size."""
    half = (values[-1] - values[0]) / (len(values) - 1) / 2
    return Scale(values[0] - half, values[-1] + half, start, end)


def _key(canvas: Canvas, label: str, low: float, high: float, *, narrow: bool, size: float) -> None:
    left, top = (_LEFT, _TOP + size + 56) if narrow else (_LEFT + size + 36, _TOP + 30)
    canvas.text(left, top - 6 if narrow else top - 12, label, "caption")
    step = 16.0
    for level in range(_LEVELS):
        if narrow:
            canvas.rect(left + level * step, top, step, 10, f"accent-{level + 1}")
        else:
            canvas.rect(left, top + (_LEVELS - 1 - level) * step, 14, step, f"accent-{level + 1}")
    if narrow:
        canvas.text(left, top + 24, tick_text(float(f"{low:.3g}")), "tick")
        canvas.text(left + _LEVELS * step, top + 24, tick_text(float(f"{high:.3g}")), "tick", anchor="end")
        return
    canvas.text(left + 22, top + 10, tick_text(float(f"{high:.3g}")), "tick")
    canvas.text(left + 22, top + _LEVELS * step, tick_text(float(f"{low:.3g}")), "tick")
