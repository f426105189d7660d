"""The series of a chart with the looks they are drawn in."""

from __future__ import annotations

import math
from dataclasses import dataclass

from localmin.charts import Chart, Series

__all__ = ["StyledSeries", "ends_inside", "styled_series"]

_NUM_PLAIN = 4
# A curve that ends further left than this share of the axis is named where it ends.
_INSIDE = 0.8


@dataclass(frozen=True)
class StyledSeries:
    """A series, which of its points can be shown, and the class that gives it its colour.

    Args:
        series: Of the chart.
        points: Indices of points with coordinates that the axes can show.
        style: ``"accent"``, ``"muted"``, ``"dashed"`` or ``"plain-0"`` to ``"plain-3"``, in turn.
        is_inside: Whether it ends inside the plot, so that its name belongs there and not at the edge.
    """

    series: Series
    points: list[int]
    style: str
    is_inside: bool = False


def styled_series(chart: Chart) -> list[StyledSeries]:
    """Give each series of a chart its looks."""
    styled, plain = [], 0
    for series in chart.series:
        style = series.emphasis
        name = f"plain-{plain % _NUM_PLAIN}" if style == "plain" else style
        plain += style == "plain"
        styled.append(StyledSeries(series, chart.points(series), name, ends_inside(chart, series)))
    return styled


def ends_inside(chart: Chart, series: Series) -> bool:
    """Tell whether the last point of a series is a single one or far from the right edge.

    Args:
        chart: With the series in it.
        series: One of its series.

    Returns:
        Whether its name is better written beside its last point.
    """
    shown = chart.points(series)
    if not shown:
        return False
    if series.kind == "points" and len(shown) == 1:
        return True
    every = [one.x[i] for one in chart.series for i in chart.points(one)]
    low, high, last = min(every), max(every), series.x[shown[-1]]
    if chart.x_log:
        low, high, last = math.log(low), math.log(high), math.log(last)
    return high > low and (last - low) / (high - low) < _INSIDE
