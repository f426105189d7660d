"""The names of a chart's series: in rows above it, at the edge, or beside a point."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from localmin.reports.plots.label_places import Box, place_labels
from localmin.reports.plots.scales import Scale
from localmin.reports.plots.styled import StyledSeries
from localmin.reports.plots.svg import Canvas, text_width

__all__ = ["KEY_ROW", "draw_keys", "draw_names"]

KEY_ROW = 18.0
_TOP = 30.0
_GAP = 15.0
_SIZE = 13.0
_STEP = 6.0


def draw_keys(canvas: Canvas, named: Sequence[StyledSeries]) -> None:
    """Write the names in rows above the plot, each behind a sample of its looks.

    Args:
        canvas: To draw on.
        named: Series with a name.
    """
    for row, one in enumerate(named):
        at = _TOP + KEY_ROW * row
        if one.series.kind == "bars":
            canvas.rect(0, at - 9, 12, 10, f"column {one.style}")
        elif one.series.kind == "points":
            canvas.circle(6, at - 4, 3.2, f"dot {one.style}")
        else:
            canvas.path([(0, at - 4), (14, at - 4)], f"series {one.style}")
        canvas.text(20, at, one.series.name, "tick")


def draw_names(canvas: Canvas, x: Scale, y: Scale, shown: Sequence[StyledSeries]) -> None:
    """Write each name where its series ends: at the right edge, or beside a last point inside the plot.

    Args:
        canvas: To draw on.
        x: Scale of the horizontal axis.
        y: Scale of the vertical axis.
        shown: All series, so that names keep off their curves.
    """
    named = [one for one in shown if one.series.name and one.points]
    taken = _at_the_edge(canvas, x, y, [one for one in named if not one.is_inside])
    inside = [one for one in named if one.is_inside]
    spots = [(*_last(one, x, y), one.series.name) for one in inside]
    bounds = Box(x.start, 20, canvas.width, y.start)
    for one, label in zip(inside, place_labels(spots, [*taken, *_ink(x, y, shown)], bounds), strict=True):
        canvas.text(label.x, label.y, one.series.name, f"label {one.style} halo", anchor=label.anchor)


def _at_the_edge(canvas: Canvas, x: Scale, y: Scale, named: list[StyledSeries]) -> list[Box]:
    named = sorted(named, key=lambda one: _last(one, x, y)[1])
    places = _spread([_last(one, x, y)[1] + 4 for one in named], bottom=y.start)
    taken = []
    for one, at in zip(named, places, strict=True):
        left = max(_last(one, x, y)[0], x.end - 40) + 8
        canvas.text(left, at, one.series.name, f"label {one.style}")
        taken.append(Box(left, at - 11, left + text_width(one.series.name, size=_SIZE), at + 3))
    return taken


def _spread(wanted: Sequence[float], *, bottom: float) -> list[float]:
    """Keep baselines a row apart, above the axis where there is room, in their order."""
    places: list[float] = []
    for level in wanted:
        places.append(max(level, places[-1] + _GAP) if places else level)
    lowest = bottom
    for index in reversed(range(len(places))):
        places[index] = min(places[index], lowest)
        lowest = places[index] - _GAP
    return places


def _last(one: StyledSeries, x: Scale, y: Scale) -> tuple[float, float]:
    index = one.points[-1]
    return x(one.series.x[index]), y(one.series.y[index])


def _ink(x: Scale, y: Scale, shown: Sequence[StyledSeries]) -> list[Box]:
    """Cover curves, dots and error bars with small boxes."""
    boxes = []
    for one in shown:
        series = one.series
        where = [(x(series.x[i]), y(series.y[i])) for i in one.points]
        boxes += [_around(*place, 4) for place in where] if series.kind == "points" else _along(where)
        if series.low is not None and series.high is not None:
            for i in one.points:
                if series.low[i] == series.low[i] and series.high[i] == series.high[i]:
                    at = x(series.x[i])
                    boxes.append(Box(at - 2, y(series.high[i]), at + 2, y(series.low[i])))
    return boxes


def _along(places: Sequence[tuple[float, float]]) -> list[Box]:
    boxes = []
    for (left, top), (right, bottom) in pairwise(places):
        parts = max(1, round((abs(right - left) + abs(bottom - top)) / _STEP))
        boxes += [
            _around(left + k * (right - left) / parts, top + k * (bottom - top) / parts, 3)
            for k in range(parts + 1)
        ]
    return boxes


def _around(x: float, y: float, reach: float) -> Box:
    return Box(x - reach, y - reach, x + reach, y + reach)
