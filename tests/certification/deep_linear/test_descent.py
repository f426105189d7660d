import pytest
import torch

from localmin.certification.deep_linear import descent_chart, descent_curve
from localmin.errors import InputError

X = torch.eye(3, dtype=torch.float64)
Y = torch.diag(torch.tensor([3.0, 1.5, 0.8], dtype=torch.float64))


def test_plateaus_are_the_losses_of_the_missing_components() -> None:
    curve = descent_curve(X, Y, (3, 3), start_scale=0.03, step_size=0.02, num_steps=6000, seed=1)
    assert curve.levels[-1] == pytest.approx(5.945)
    for missing in (1.445, 0.32):
        assert min(abs(plateau - missing) for plateau in curve.plateaus) < 0.001
    assert len(curve.losses) == len(curve.gradient_norms) == 6000
    chart = descent_chart(curve)
    assert [level.value for level in chart.levels] == pytest.approx(list(curve.levels))
    assert len(chart.series[0].x) == 1000
    assert curve.to_dict()["levels"] == list(curve.levels)


def test_equal_levels_are_named_once() -> None:
    curve = descent_curve(X, 2.0 * X, (3,), start_scale=0.1, step_size=0.1, num_steps=50)
    assert curve.levels == pytest.approx((0.0, 2.0, 4.0, 6.0))


def test_bad_options_and_divergence_are_named() -> None:
    with pytest.raises(InputError, match="num_steps"):
        descent_curve(X, Y, (3,), start_scale=1.0, step_size=0.1, num_steps=2)
    with pytest.raises(InputError, match="smaller"):
        descent_curve(X, Y, (3, 3), start_scale=3.0, step_size=10.0, num_steps=50)
