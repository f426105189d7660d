import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from localmin.certification import (
    certificate_figures,
    certify,
    line_chart,
    line_slice,
    plane_map,
    plane_slice,
    settle,
    settling_chart,
    spectrum_chart,
)
from localmin.charts import Chart, HeatMap
from localmin.errors import InputError
from localmin.numerics import SpectralDensity
from localmin.objective import Objective

SADDLE = Objective.from_function(lambda p: p[0] ** 2 + (p[1] ** 2 - 1.0) ** 2, torch.zeros(2).double())


def test_a_saddle_has_spectrum_line_and_plane() -> None:
    certificate = certify(SADDLE)
    figures = certificate_figures(SADDLE, certificate)
    assert [figure.name for figure in figures] == ["spectrum", "witness", "plane"]
    spectrum, line, plane = figures
    assert isinstance(spectrum, Chart)
    assert [series.name for series in spectrum.series] == ["eigenvalues", "witness"]
    assert spectrum.series[1].x == pytest.approx((-4.0,))
    assert isinstance(line, Chart)
    # The bottom of the well is in the picture, and the parabola leaves it.
    assert min(line.series[0].y) < 0.01
    assert min(value for value in line.series[1].y if not math.isnan(value)) < 0.0
    assert isinstance(plane, HeatMap)
    assert plane.marks == ((0.0, 0.0, "point"),)
    for figure in figures:
        assert type(figure).from_dict(figure.to_dict()).to_dict() == figure.to_dict()


def test_what_cannot_be_drawn_is_left_out() -> None:
    assert certificate_figures(SADDLE, certify(SADDLE), num_products=0, num_plane=0)[0].name == "witness"
    flat = Objective.from_function(lambda p: (p**4).sum(), torch.zeros(3).double())
    attained = certify(flat, value_lower_bound=0.0)
    assert [one.name for one in certificate_figures(flat, attained)] == ["spectrum"]
    scalar = Objective.from_function(lambda p: (p**2).sum(), torch.ones(1).double())
    assert [one.name for one in certificate_figures(scalar, certify(scalar))] == ["spectrum", "witness"]
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(9, 2, generator=torch.Generator().manual_seed(0)).double()
    kink = Objective(model, F.mse_loss, (x, x[:, :1] - x[:, :1].mean()))
    assert [one.name for one in certificate_figures(kink, certify(kink))] == ["witness", "plane"]
    with pytest.raises(InputError, match="parameters"):
        certificate_figures(scalar, certify(SADDLE))


def test_axes_are_those_of_the_slices() -> None:
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    plane = plane_map(plane_slice(SADDLE, first, second, [-1.0, 0.0, 2.0], [0.0, 1.0]), "well")
    assert (plane.x, plane.y) == ((-1.0, 0.0, 2.0), (0.0, 1.0))
    assert plane.values == ((2.0, 1.0, 5.0), (1.0, 0.0, 4.0))
    assert plane.y_label == "along the well"
    line = line_chart(line_slice(SADDLE, first, [-1.0, 0.0, 2.0]))
    assert line.series[1].y == pytest.approx((2.0, 1.0, 5.0))


def test_the_height_of_one_eigenvalue_among_many() -> None:
    density = SpectralDensity(((0.0, 1.0),), ((0.999, 0.001),), 1000, 2)
    chart = spectrum_chart(density)
    assert len(chart.series) == 1
    peaks = [value for value in chart.series[0].y if not math.isnan(value)]
    assert max(peaks) / peaks[-5] > 100.0
    assert spectrum_chart(SpectralDensity(((2.0,),), ((1.0,),), 3, 1)).series[0].x[0] < 2.0


def test_the_history_of_settling() -> None:
    chart = settling_chart(settle(SADDLE))
    assert chart.categories == ("1: strict-saddle", "2: local-minimum")
    assert chart.series[0].y == pytest.approx((1.0, 0.0), abs=1e-12)
