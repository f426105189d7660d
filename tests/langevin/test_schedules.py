"""Schedules at hand-computed points."""

import math
from typing import Any

import pytest

from localmin.errors import InputError
from localmin.langevin import Constant, Cyclical, Exponential, Logarithmic, Polynomial


def test_values() -> None:
    assert Constant(0.3)(7) == 0.3
    assert Exponential(2.0, 0.5, floor=0.3)(2) == 0.5
    assert Exponential(2.0, 0.5, floor=0.3)(9) == 0.3
    assert Logarithmic(3.0)(5) == pytest.approx(3 / math.log(7))
    assert Polynomial(2.0, 3.0, 0.55)(10) == pytest.approx(2 * 13**-0.55)


def test_cycles_restart_and_do_not_reach_zero_early() -> None:
    schedule = Cyclical(0.8, total_steps=10, num_cycles=3)  # cycles of 4
    values = [schedule(k) for k in range(9)]
    assert values[0] == values[4] == values[8] == 0.8
    assert values[3] == pytest.approx(0.4 * (math.cos(math.pi * 3 / 4) + 1))
    assert values[1:4] == sorted(values[1:4], reverse=True)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Constant(-1.0),
        lambda: Exponential(1.0, 1.5),
        lambda: Logarithmic(math.inf),
        lambda: Polynomial(0.0, 1.0, 0.5),
        lambda: Cyclical(1.0, 5, 6),
    ],
)
def test_bad_settings(build: Any) -> None:
    with pytest.raises(InputError):
        build()
