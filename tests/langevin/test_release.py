"""Release from a minimum: counted right where the answer is known, and nothing else touched."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.langevin import Descent, DoubleWell, LangevinDynamics, release_from_minimum


def _double_well(start: float) -> tuple[nn.Parameter, Callable[[], Tensor]]:
    x = nn.Parameter(torch.tensor([start], dtype=torch.float64))

    def closure() -> Tensor:
        x.grad = DoubleWell().gradient(x.detach()) + 0.05  # tilted: the left well is deeper
        return DoubleWell().value(x.detach()) + 0.05 * x.detach()[0]

    return x, closure


def test_a_cold_release_stays() -> None:
    x, closure = _double_well(0.9738)
    optimizer = LangevinDynamics([x], lr=0.1, temperature=1e-4, seed=1)
    result = release_from_minimum(
        [x], closure, optimizer, num_steps=100, check_every=20, descent=Descent(0.1)
    )
    assert not result.left
    assert result.steps_to_leave is None
    assert result.num_escapes == 0
    assert result.distance < 1e-3
    assert result.best_loss == pytest.approx(result.loss_at_start, abs=1e-6)
    assert result.num_gradients == result.to_dict()["num_gradients"] == 100


def test_a_warm_release_finds_the_deeper_well_and_escapes_are_counted() -> None:
    x, closure = _double_well(0.9738)
    optimizer = LangevinDynamics([x], lr=0.1, temperature=0.15, seed=2)
    result = release_from_minimum(
        [x], closure, optimizer, num_steps=1500, check_every=50, descent=Descent(0.1)
    )
    assert result.left
    assert result.steps_to_leave is not None
    assert result.steps_to_leave % 50 == 0
    assert result.best_loss == pytest.approx(-0.0506, abs=1e-3)
    assert result.highest_loss > 0.25
    assert result.num_escapes > 2
    assert abs(abs(float(x.detach())) - 1) < 0.05  # left at the last minimum
    assert result.distance == pytest.approx(abs(float(x.detach()) - 0.9738) / 0.9738, rel=1e-6)


def test_checks_do_not_disturb_the_path() -> None:
    paths = []
    for check_every in (7, 1000):
        x, closure = _double_well(0.9738)
        optimizer = LangevinDynamics([x], lr=0.1, temperature=0.1, seed=3)
        seen: list[float] = []

        def recording(
            closure: Callable[[], Tensor] = closure, x: nn.Parameter = x, seen: list[float] = seen
        ) -> Tensor:
            seen.append(float(x.detach()))
            return closure()

        release_from_minimum(
            [x],
            recording,
            optimizer,
            num_steps=50,
            check_every=check_every,
            descent=Descent(0.1, num_steps=1),
        )
        paths.append(seen)
    # With one-step descents every check adds one call, at the point where the path goes on.
    without = [value for index, value in enumerate(paths[0]) if index == 0 or value != paths[0][index - 1]]
    other = [value for index, value in enumerate(paths[1]) if index == 0 or value != paths[1][index - 1]]
    assert without == other


def test_bad_input() -> None:
    x, closure = _double_well(1.0)
    optimizer = LangevinDynamics([x], lr=0.1)
    with pytest.raises(InputError, match="num_steps"):
        release_from_minimum([x], closure, optimizer, num_steps=0, check_every=1, descent=Descent(0.1))
    with pytest.raises(InputError, match="momentum"):
        Descent(0.1, momentum=1.0)
    with pytest.raises(InputError, match="lr"):
        Descent(math.nan)
