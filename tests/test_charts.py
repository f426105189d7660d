import json
import math

import pytest

from localmin.charts import Chart, HeatMap, Level, Series
from localmin.errors import InputError, ShapeError
from localmin.tasks.storage import finite


def test_a_chart_survives_json_with_gaps_as_null() -> None:
    series = Series(
        "loss", (1, 2, 3), (1.0, math.nan, 0.5), low=(0.9, math.nan, 0.4), high=(1.1, math.nan, 0.6)
    )
    chart = Chart("decay", "Loss", "step", "loss", (series,), levels=(Level(0.2, "best"),), y_log=True)
    again = Chart.from_dict(json.loads(json.dumps(finite(chart.to_dict()))))
    assert again.levels == chart.levels
    assert again.series[0].y[::2] == (1.0, 0.5)
    assert math.isnan(again.series[0].y[1])


def test_points_that_an_axis_cannot_show_are_left_out() -> None:
    series = Series("", (0.0, 1.0, 2.0), (1.0, -1.0, math.inf))
    chart = Chart("a", "A", "x", "y", (series,))
    assert chart.points(series) == [0, 1]
    logarithmic = Chart("a", "A", "x", "y", (Series("", (1.0, 2.0), (1.0, -1.0)),), x_log=True, y_log=True)
    assert logarithmic.points(logarithmic.series[0]) == [0]


def test_a_chart_without_a_point_is_refused() -> None:
    with pytest.raises(InputError, match="no point"):
        Chart("a", "A", "x", "y", (Series("", (1.0,), (math.nan,)),))
    with pytest.raises(InputError, match="no point"):
        Chart("a", "A", "x", "y", (Series("", (1.0,), (0.0,)),), y_log=True)


@pytest.mark.parametrize(("x", "y", "low"), [((1,), (1, 2), None), ((1,), (1,), (1, 2))])
def test_lists_of_different_lengths_are_refused(
    x: tuple[float, ...], y: tuple[float, ...], low: tuple[float, ...] | None
) -> None:
    with pytest.raises(ShapeError):
        Series("a", x, y, low=low, high=low)


def test_a_heat_map_survives_json_and_checks_its_shape() -> None:
    grid = HeatMap("m", "M", "x", "y", "loss", (0, 1, 2), (0, 1), ((1, 2, 3), (4, 5, 6)), ((0, 0, "here"),))
    assert HeatMap.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid
    with pytest.raises(ShapeError, match=r"\(len\(y\), len\(x\)\)"):
        HeatMap("m", "M", "x", "y", "loss", (0, 1), (0, 1, 2), ((1, 2, 3), (4, 5, 6)))
