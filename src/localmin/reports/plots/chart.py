"""Draw a `Chart`: lines, points, steps and bars over two axes, each named beside it."""

from __future__ import annotations

from itertools import groupby, pairwise

from markupsafe import Markup

from localmin.charts import Chart
from localmin.reports.plots.axes import axis_scale, draw_x_axis, draw_y_axis, tick_text
from localmin.reports.plots.names import KEY_ROW, draw_keys, draw_names
from localmin.reports.plots.scales import Scale
from localmin.reports.plots.styled import StyledSeries, styled_series
from localmin.reports.plots.svg import Canvas, both_widths, text_width

__all__ = ["chart_figure"]

_BOTTOM = 50
_BAR_SHARE = 0.7
_WIDEST_NAME = 230.0


def chart_figure(chart: Chart) -> Markup:
    """Draw a chart for wide and for narrow pages.

    Args:
        chart: What to show.

    Returns:
        Two SVG elements; the style sheet shows one of them.
    """
    return both_widths(lambda width: _Drawing(chart, width).draw())


class _Drawing:
    """One drawing of a chart."""

    def __init__(self, chart: Chart, width: int) -> None:
        self.chart, self.narrow = chart, width < 500
        self.shown = styled_series(chart)
        named = [one for one in self.shown if one.series.name]
        # Bars stand where their neighbours' labels would be, so names go into rows above; long ones too.
        has_bars = any(one.series.kind == "bars" for one in self.shown)
        widest = max((text_width(one.series.name, size=13) + 10 for one in named), default=0.0)
        self.beside = not self.narrow and not has_bars and widest <= _WIDEST_NAME
        self.keys = [] if self.beside else named
        top = 30 + KEY_ROW * len(self.keys)
        height = (300 if self.narrow else 320) + KEY_ROW * len(self.keys)
        self.canvas = Canvas(
            width, height, name=chart.name, title=chart.title, description=chart.note or chart.title
        )
        labels = [one.series.name for one in named if not one.is_inside] if self.beside else []
        right = width - 12 - max((text_width(name, size=13) + 10 for name in labels), default=0.0)
        base = height - _BOTTOM
        self.y = _y_scale(chart, self.shown, base, top)
        left = 16 + max((text_width(tick_text(tick), size=11.5) for tick in self.y.ticks(5)), default=24.0)
        self.x = _x_scale(chart, self.shown, left, right)

    def draw(self) -> Canvas:
        """Draw from back to front."""
        canvas, chart = self.canvas, self.chart
        draw_y_axis(canvas, self.y, self.x.start, self.x.end, chart.y_label)
        draw_x_axis(
            canvas, self.x, self.y.start, chart.x_label, categories=chart.categories, narrow=self.narrow
        )
        for level in chart.levels:
            at = self.y(level.value)
            canvas.line(self.x.start, at, self.x.end, at, "uniform-line")
        bars = [one for one in self.shown if one.series.kind == "bars"]
        for one in self.shown:
            if one.series.kind == "bars":
                self._bars(one, bars.index(one), len(bars))
            else:
                self._curve(one)
        for level in chart.levels:
            canvas.text(self.x.start + 6, self.y(level.value) - 5, level.name, "tick halo")
        if self.beside:
            draw_names(canvas, self.x, self.y, self.shown)
        else:
            draw_keys(canvas, self.keys)
        return canvas

    def _curve(self, one: StyledSeries) -> None:
        canvas, series = self.canvas, one.series
        self._errors(one, 0.0)
        if series.kind in ("line", "steps"):
            # A point that cannot be shown interrupts the line.
            for _, run in groupby(enumerate(one.points), key=lambda pair: pair[1] - pair[0]):
                places = [(self.x(series.x[i]), self.y(series.y[i])) for _, i in run]
                canvas.path(_stairs(places) if series.kind == "steps" else places, f"series {one.style}")
        if series.kind == "points" or len(one.points) <= 12:
            for i in one.points:
                hint = f"{series.name} ({series.x[i]:.4g}, {series.y[i]:.4g})".strip()
                radius = 3.2 if len(one.points) < 200 else 1.8
                canvas.circle(self.x(series.x[i]), self.y(series.y[i]), radius, f"dot {one.style}", hint=hint)

    def _bars(self, one: StyledSeries, position: int, count: int) -> None:
        canvas, series = self.canvas, one.series
        step = abs(self.x(1) - self.x(0))
        width = _BAR_SHARE * step / count
        offset = (position - (count - 1) / 2) * width
        for i in one.points:
            middle, top = self.x(series.x[i]) + offset, self.y(series.y[i])
            foot = self.y(max(self.y.low, 0.0) if not self.chart.y_log else self.y.low)
            canvas.rect(
                middle - width / 2 + 0.5, min(top, foot), width - 1, abs(foot - top), f"column {one.style}"
            )
        self._errors(one, offset)

    def _errors(self, one: StyledSeries, offset: float) -> None:
        series = one.series
        if series.low is None or series.high is None:
            return
        for i in one.points:
            if series.low[i] == series.low[i] and series.high[i] == series.high[i]:
                at = self.x(series.x[i]) + offset
                self.canvas.line(at, self.y(series.low[i]), at, self.y(series.high[i]), "error")


def _y_scale(chart: Chart, shown: list[StyledSeries], base: float, top: float) -> Scale:
    values = [one.series.y[i] for one in shown for i in one.points]
    for one in shown:
        for ends in (one.series.low, one.series.high):
            if ends is not None:
                values += [ends[i] for i in one.points if ends[i] == ends[i]]
    values += [level.value for level in chart.levels]
    if any(one.series.kind == "bars" for one in shown) and not chart.y_log:
        values.append(0.0)
    if chart.y_log:
        values = [value for value in values if value > 0]
    return axis_scale(values, base, top, logarithmic=chart.y_log)


def _x_scale(chart: Chart, shown: list[StyledSeries], left: float, right: float) -> Scale:
    if chart.categories:
        return Scale(-0.5, len(chart.categories) - 0.5, left, right)
    values = [one.series.x[i] for one in shown for i in one.points]
    return axis_scale(values, left, right, logarithmic=chart.x_log)


def _stairs(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Hold each level until the next point."""
    stairs = points[:1]
    for (_, before), (x, y) in pairwise(points):
        stairs += [(x, before), (x, y)]
    return stairs
