from __future__ import annotations

import pytest

from localmin.reports.plots.scales import Scale, nice_ticks


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 25.0, [0, 5, 10, 15, 20, 25]),
        (0.53, 0.58, [0.53, 0.54, 0.55, 0.56, 0.57, 0.58]),
        (-1.0, 1.0, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_linear_scale_may_run_backwards_and_is_bounded() -> None:
    scale = Scale(10, 20, 300, 100)
    assert [scale(v) for v in (10, 12.5, 20, 99, -5)] == [300, 250, 100, 100, 300]


def test_logarithmic_ticks_are_powers_of_ten() -> None:
    assert Scale(0.002, 30, 0, 1, logarithmic=True).ticks() == pytest.approx([0.01, 0.1, 1, 10])
    assert len(Scale(1e-9, 1e3, 0, 1, logarithmic=True).ticks(4)) <= 5
