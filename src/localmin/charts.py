"""Plots as data: what to show, in which units, without drawing anything.

Any package may give a `Chart` or a `HeatMap` beside its numbers; `localmin.reports` draws them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from localmin.errors import InputError, ShapeError

__all__ = ["Chart", "Emphasis", "Figure", "HeatMap", "Level", "Series", "figure_from_dict"]

Kind = Literal["line", "points", "bars", "steps"]
Emphasis = Literal["accent", "plain", "muted", "dashed"]


@dataclass(frozen=True)
class Series:
    """One line, cloud of points or row of bars, named beside it.

    Args:
        name: Short; written beside the series, not in a legend. Empty for one that needs no name.
        x: Positions, shape ``(n,)``.
        y: Values, shape ``(n,)``; NaN leaves a gap.
        kind: ``"line"``, ``"points"``, ``"bars"`` or ``"steps"``.
        emphasis: ``"accent"`` for the one that matters, ``"plain"``, ``"muted"``, or ``"dashed"`` for what
            theory says.
        low: Lower ends of error bars, shape ``(n,)``; None draws none.
        high: Upper ends, shape ``(n,)``.

    Raises:
        ShapeError: If the lengths differ.

    Example:
        >>> Series("loss", (0, 1), (2.0, 1.0)).y
        (2.0, 1.0)
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    kind: Kind = "line"
    emphasis: Emphasis = "plain"
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None

    def __post_init__(self) -> None:
        for name in ("x", "y", "low", "high"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, tuple(float(value) for value in values))
        if (self.low is None) != (self.high is None):
            raise ShapeError(f"series {self.name!r} has one end of its error bars only")
        lengths = {len(values) for values in (self.x, self.y, self.low, self.high) if values is not None}
        if len(lengths) != 1:
            raise ShapeError(f"the lists of series {self.name!r} have different lengths: {sorted(lengths)}")


@dataclass(frozen=True)
class Level:
    """A horizontal line that means something: a critical value, a bound, chance.

    Args:
        value: Where.
        name: Written on it.
    """

    value: float
    name: str


@dataclass(frozen=True)
class Chart:
    """Series over two axes.

    Args:
        name: Unique in a report; letters, digits and dashes.
        title: What is shown.
        x_label: Quantity and unit.
        y_label: Quantity and unit.
        series: At least one, with at least one finite point.
        levels: Horizontal lines.
        x_log: Logarithmic axis; points that are not positive are left out.
        y_log: As ``x_log``.
        categories: Names at ``x = 0, 1, ...`` in place of numbers.
        note: What the picture shows, in a sentence; also for those who cannot see it.

    Raises:
        InputError: If nothing can be drawn.

    Example:
        >>> chart = Chart("decay", "Loss", "step", "loss", (Series("", (0, 1), (1.0, 0.5)),))
        >>> Chart.from_dict(chart.to_dict()) == chart
        True
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    levels: Sequence[Level] = ()
    x_log: bool = False
    y_log: bool = False
    categories: Sequence[str] = ()
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "series", tuple(self.series))
        object.__setattr__(self, "levels", tuple(self.levels))
        object.__setattr__(self, "categories", tuple(self.categories))
        if not any(self.points(series) for series in self.series):
            raise InputError(f"chart {self.name!r} has no point that can be drawn")

    def points(self, series: Series) -> list[int]:
        """Find the positions of a series that the axes can show.

        Args:
            series: One of the chart's.

        Returns:
            Indices of points with finite (on a logarithmic axis positive) coordinates.
        """
        return [
            i
            for i, (x, y) in enumerate(zip(series.x, series.y, strict=True))
            if _shows(x, self.x_log) and _shows(y, self.y_log)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types."""
        return {"figure": "chart", **asdict(self)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Chart:
        """Rebuild from `to_dict`, directly or after a round trip through JSON."""
        given = {key: value for key, value in stored.items() if key != "figure"}
        given["series"] = tuple(_series(one) for one in given["series"])
        given["levels"] = tuple(Level(**one) for one in given["levels"])
        return cls(**given)


@dataclass(frozen=True)
class HeatMap:
    """Values over a rectangular grid.

    Args:
        name: Unique in a report; letters, digits and dashes.
        title: What is shown.
        x_label: Quantity and unit.
        y_label: Quantity and unit.
        value_label: Quantity and unit of the shading.
        x: Columns, increasing, shape ``(m,)``, at least 2.
        y: Rows, increasing, shape ``(n,)``, at least 2.
        values: One row per ``y``, shape ``(n, m)``; NaN leaves a hole.
        marks: Points to mark, as ``(x, y, name)``.
        note: What the picture shows, in a sentence.

    Raises:
        ShapeError: If the sizes do not fit.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    value_label: str
    x: Sequence[float]
    y: Sequence[float]
    values: Sequence[Sequence[float]]
    marks: Sequence[tuple[float, float, str]] = field(default=())
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", tuple(float(value) for value in self.x))
        object.__setattr__(self, "y", tuple(float(value) for value in self.y))
        object.__setattr__(self, "values", tuple(tuple(float(v) for v in row) for row in self.values))
        object.__setattr__(self, "marks", tuple((float(x), float(y), str(n)) for x, y, n in self.marks))
        shape = (len(self.values), len(self.values[0]) if self.values else 0)
        if shape != (len(self.y), len(self.x)) or min(shape) < 2 or len({len(r) for r in self.values}) != 1:
            raise ShapeError(
                f"heat map {self.name!r} needs values of shape (len(y), len(x)) = ({len(self.y)}, "
                f"{len(self.x)}), at least 2 x 2, got {shape}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types."""
        return {"figure": "heat-map", **asdict(self)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> HeatMap:
        """Rebuild from `to_dict`, directly or after a round trip through JSON."""
        given = {key: value for key, value in stored.items() if key != "figure"}
        given["values"] = tuple(_numbers(row) for row in given["values"])
        return cls(**given)


Figure = Chart | HeatMap


def figure_from_dict(stored: dict[str, Any]) -> Figure:
    """Rebuild a figure from its `to_dict`.

    Args:
        stored: Of a chart or a heat map.

    Returns:
        The figure.

    Raises:
        InputError: If it is neither.
    """
    kinds: dict[str, type[Chart] | type[HeatMap]] = {"chart": Chart, "heat-map": HeatMap}
    if stored.get("figure") not in kinds:
        raise InputError(f"unknown figure {stored.get('figure')!r}; this localmin draws {', '.join(kinds)}")
    return kinds[stored["figure"]].from_dict(stored)


def _series(stored: dict[str, Any]) -> Series:
    given = dict(stored)
    for name in ("x", "y", "low", "high"):
        if given[name] is not None:
            given[name] = _numbers(given[name])
    return Series(**given)


def _numbers(values: Sequence[float | None]) -> tuple[float, ...]:
    """Read numbers; JSON has null for NaN."""
    return tuple(math.nan if value is None else float(value) for value in values)


def _shows(value: float, logarithmic: bool) -> bool:
    return math.isfinite(value) and (value > 0 or not logarithmic)
