import math

import torch

from localmin.charts import Chart, HeatMap
from localmin.networks import ReLUNetwork
from localmin.realization import compare_networks
from localmin.realization.pictures import (
    comparison_figures,
    kinks_in_the_plane,
    kinks_on_a_line,
    matching_chart,
    path_chart,
)

F64 = torch.float64


def net(first: list[list[float]], bias: list[float], second: list[list[float]]) -> ReLUNetwork:
    weights = [torch.tensor(first, dtype=F64), torch.tensor(second, dtype=F64)]
    return ReLUNetwork(weights, [torch.tensor(bias, dtype=F64), None])


def test_functions_of_one_input_show_every_kink() -> None:
    a = net([[1.0], [-1.0]], [0.5, 0.25], [[1.0, 2.0]])
    b = net([[1.0]], [-1.0], [[3.0]])
    chart = kinks_on_a_line(a, b)
    by_name = {series.name: series for series in chart.series}
    assert sorted(by_name["kinks of a"].x) == [-0.5, 0.25]
    assert by_name["kinks of b"].x == (1.0,)
    assert by_name["kinks of a"].y == tuple(
        a(torch.tensor([[x] for x in by_name["kinks of a"].x], dtype=F64))[:, 0].tolist()
    )
    assert min(by_name["a"].x) < -0.5
    assert max(by_name["b"].x) > 1.0


def test_lines_in_the_plane_lie_on_the_kinks() -> None:
    a = net([[1.0, 0.0], [0.6, 0.8]], [0.5, 0.0], [[1.0, 1.0]])
    b = net([[1.0, 0.0], [0.0, 1.0]], [0.5, -0.3], [[1.0, 1.0]])
    chart, heat = kinks_in_the_plane(a, b)
    assert isinstance(chart, Chart)
    assert isinstance(heat, HeatMap)
    lines = {series.name: series for series in chart.series}
    assert set(lines) == {"in both", "only in a", "only in b"}
    for name, normal, offset in (
        ("in both", (1.0, 0.0), 0.5),
        ("only in a", (0.6, 0.8), 0.0),
        ("only in b", (0.0, 1.0), -0.3),
    ):
        points = [(x, y) for x, y in zip(lines[name].x, lines[name].y, strict=True) if math.isfinite(x)]
        assert len(points) == 2
        for x, y in points:
            assert abs(normal[0] * x + normal[1] * y + offset) < 1e-12
            assert abs(max(abs(x), abs(y)) - heat.x[-1]) < 1e-12
    # Rows of the map are the second input.
    x, y = heat.x[5], heat.y[40]
    point = torch.tensor([[x, y]], dtype=F64)
    assert heat.values[40][5] == float((a(point) - b(point)).abs())


def test_matching_counts_neurons() -> None:
    a = net([[1.0, 0.0], [0.6, 0.8]], [0.5, 0.0], [[1.0, 1.0]])
    b = net([[2.0, 0.0], [0.0, 1.0]], [1.0, -0.3], [[1.0, 1.0]])
    chart = matching_chart(a, b)
    assert chart is not None
    assert [series.y for series in chart.series] == [(1.0,), (1.0,), (1.0,)]
    assert matching_chart(a, ReLUNetwork([torch.zeros(1, 2, dtype=F64)])) is None
    figures = comparison_figures(a, b, compare_networks(a, b))
    assert [figure.name for figure in figures] == ["kinks", "differences", "matching"]


def test_equal_affine_networks_have_no_kink_to_show() -> None:
    affine = ReLUNetwork([torch.ones(1, 2, dtype=F64)])
    chart, _ = kinks_in_the_plane(affine, affine)
    assert isinstance(chart, Chart)
    assert [series.name for series in chart.series] == ["no kink"]


def test_path_chart_states_the_barrier() -> None:
    chart = path_chart(torch.tensor([1.0, 3.0, 2.0]), torch.tensor([1.0, 1.5, 2.0]))
    assert "1 as given, 0 aligned" in chart.note
