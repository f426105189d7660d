from __future__ import annotations

import math
import re

import pytest

from localmin.charts import Chart, HeatMap, Level, Series
from localmin.reports.plots import draw_figure


def wide(figure: Chart | HeatMap) -> str:
    """Give the first of the two drawings."""
    return str(draw_figure(figure)).partition("</svg>")[0]


def heights(drawing: str, kind: str) -> list[float]:
    return [float(y) for y in re.findall(rf'<circle class="{kind}[^"]*" cx="[^"]*" cy="([^"]*)"', drawing)]


def test_equal_ratios_take_equal_room_on_a_logarithmic_axis() -> None:
    chart = Chart("c", "C", "x", "y", (Series("", (1, 2, 3), (1, 10, 100), kind="points"),), y_log=True)
    first, second, third = heights(wide(chart), "dot")
    assert first - second == pytest.approx(second - third, abs=0.2)
    linear = Chart("c", "C", "x", "y", (Series("", (1, 2, 3), (1, 10, 100), kind="points"),))
    first, second, third = heights(wide(linear), "dot")
    assert (second - third) == pytest.approx(10 * (first - second), rel=0.05)


def test_a_gap_interrupts_a_line() -> None:
    whole = Chart("c", "C", "x", "y", (Series("", range(20), [1.0] * 20),))
    values = [1.0] * 20
    values[9] = math.nan
    broken = Chart("c", "C", "x", "y", (Series("", range(20), values),))
    assert wide(whole).count("<polyline") == 1
    assert wide(broken).count("<polyline") == 2


def test_steps_hold_each_value_until_the_next_point() -> None:
    chart = Chart("c", "C", "x", "y", (Series("", (0, 1, 2), (0, 5, 1), kind="steps"),))
    line = re.search(r'points="([^"]*)"', wide(chart))
    assert line is not None
    corners = [tuple(map(float, point.split(","))) for point in line.group(1).split()]
    assert len(corners) == 5
    assert corners[0][1] == corners[1][1]
    assert corners[1][0] == corners[2][0]
    assert corners[2][1] == corners[3][1]


def test_bars_stand_on_zero_and_reach_below_it() -> None:
    chart = Chart(
        "b", "B", "", "gain", (Series("a", (0, 1), (2.0, -1.0), kind="bars"),), categories=("one", "two")
    )
    bars = re.findall(
        r'<rect class="column[^"]*" x="[^"]*" y="([^"]*)" width="[^"]*" height="([^"]*)"', wide(chart)
    )
    (top, tall), (foot, low) = [tuple(map(float, bar)) for bar in bars if float(bar[1]) != 10]
    assert top + tall == pytest.approx(foot, abs=0.2)
    assert tall == pytest.approx(2 * low, rel=0.02)
    assert ">one</text>" in wide(chart)
    assert ">two</text>" in wide(chart)


def test_series_are_named_beside_the_line_or_above_a_narrow_drawing() -> None:
    series = (Series("first", (0, 1), (0, 1)), Series("second", (0, 1), (0, 1.001)))
    drawing = str(draw_figure(Chart("c", "C", "x", "y", series)))
    assert drawing.count(">first</text>") == drawing.count(">second</text>") == 2
    names = re.findall(r'y="([^"]*)" text-anchor="start">(first|second)<', drawing.partition("</svg>")[0])
    assert abs(float(names[0][0]) - float(names[1][0])) >= 15


def test_levels_are_drawn_with_their_names_and_error_bars_span_their_ends() -> None:
    series = Series("", (0, 1), (1.0, 2.0), kind="points", low=(0.5, 1.5), high=(1.5, 2.5))
    drawing = wide(Chart("c", "C", "x", "y", (series,), levels=(Level(3.0, "bound"),)))
    assert ">bound</text>" in drawing
    assert drawing.count('class="error"') == 2


def test_names_are_escaped() -> None:
    chart = Chart("c", "<b>", "<i>", "y", (Series("<script>", (0, 1), (0, 1)),))
    drawing = str(draw_figure(chart))
    assert "<script>" not in drawing
    assert "<i>" not in drawing
    assert "&lt;script&gt;" in drawing


def test_equal_charts_give_equal_bytes() -> None:
    chart = Chart("c", "C", "x", "y", (Series("a", (0, 1), (0, 1)),))
    assert draw_figure(chart) == draw_figure(Chart.from_dict(chart.to_dict()))


def test_a_single_point_and_a_constant_series_can_be_drawn() -> None:
    for y_log in (False, True):
        assert "<circle" in wide(
            Chart("c", "C", "x", "y", (Series("", (3,), (7,)),), x_log=True, y_log=y_log)
        )


def test_a_heat_map_shades_by_value_and_leaves_holes() -> None:
    grid = HeatMap("h", "H", "x", "y", "v", (0, 1), (0, 1), ((0.0, 1.0), (math.nan, 1.0)), ((0, 1, "here"),))
    cells = dict(re.findall(r'<path class="accent-(\d)" d="([^"]*)"', wide(grid)))
    assert set(cells) == {"1", "8"}
    assert cells["8"].count("M") == 2
    assert cells["1"].count("M") == 1
    assert ">here</text>" in wide(grid)
