import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from localmin.certification import find_kinks
from localmin.objective import Objective

POINT = torch.tensor([4.0, -1.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("function", "name", "distance"),
    [
        (lambda p: F.relu(p).sum(), "relu", 0.25),
        (lambda p: nn.ReLU(inplace=True)(p * 1.0).sum(), "relu", 0.25),
        (lambda p: F.leaky_relu(p, 0.1).sum(), "leaky_relu", 0.25),
        (lambda p: p.clamp(min=1.0).sum(), "clamp", 0.5),
        (lambda p: F.hardtanh(p, -3.0, 3.0).sum(), "hardtanh", 0.25),
        (lambda p: F.relu6(p).sum(), "hardtanh", 0.25),
        (lambda p: F.threshold(p, 3.0, 0.0).sum(), "threshold", 0.25),
        (lambda p: torch.maximum(p, p.flip(0) + 3.0).sum(), "maximum", 2.0 / 7.0),
        (lambda p: F.l1_loss(p, torch.tensor([1.0, 1.0]).double()), "abs", 2.0 / 3.0),
        (lambda p: F.huber_loss(p, 0 * p, delta=2.0), "huber_loss", 0.25),
        (lambda p: F.hardswish(p).sum(), "hardswish", 0.25),
        (lambda p: F.softshrink(p, 2.0).sum(), "softshrink", 0.25),
    ],
)
def test_distance_from_the_kink(function: object, name: str, distance: float) -> None:
    report = find_kinks(Objective.from_function(function, POINT))  # type: ignore[arg-type]
    assert name in report.names
    assert report.distance == pytest.approx(distance)


def test_smooth_functions_have_none() -> None:
    def smooth(p: Tensor) -> Tensor:
        return (torch.tanh(p) + F.softplus(p) + F.gelu(p)).sum() + F.cross_entropy(p[None], torch.tensor([1]))

    report = find_kinks(Objective.from_function(smooth, POINT))
    assert (report.names, report.distance) == ((), math.inf)


def test_a_kink_that_is_hit_has_distance_zero() -> None:
    report = find_kinks(Objective.from_function(lambda p: p.abs().sum(), torch.zeros(2)))
    assert report.distance == 0.0


def test_what_is_not_examined_is_not_called_far() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)
    ).double()
    data = torch.randn(3, 1, 6, 6, dtype=torch.float64), torch.tensor([0, 1, 0])
    report = find_kinks(Objective(model, F.cross_entropy, data))
    assert "max_pool2d_with_indices" in report.names
    assert "relu" in report.names
    assert math.isnan(report.distance)
