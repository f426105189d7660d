"""Release from a minimum: counted right where the answer is known, and nothing else touched."""

import json
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from localmin.charts import Chart
from localmin.errors import InputError
from localmin.langevin import (
    Descent,
    DoubleWell,
    LangevinDynamics,
    ReleaseResult,
    ReleaseStudy,
    UnderdampedLangevin,
    compare_releases,
    release_from_minimum,
)


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


def test_results_come_back_from_json_and_show_themselves() -> None:
    x, closure = _double_well(0.9738)
    optimizer = LangevinDynamics([x], lr=0.1, temperature=0.15, seed=2)
    result = release_from_minimum(
        [x], closure, optimizer, num_steps=100, check_every=40, descent=Descent(0.1)
    )
    assert [check.step for check in result.checks] == [40, 80, 100]
    assert result.checks[-1].loss == result.loss_at_end
    assert ReleaseResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    assert result.figure().series[0].y == (result.loss_at_start, *(check.loss for check in result.checks))


def test_dynamics_are_compared_from_the_same_minima() -> None:
    seen: list[tuple[int, int]] = []

    def problem(seed: int) -> tuple[list[nn.Parameter], Callable[[], Tensor]]:
        x, closure = _double_well(0.9738 + 1e-3 * seed)
        return [x], closure

    study = compare_releases(
        problem,
        {
            "overdamped": lambda p, t, s: LangevinDynamics(p, lr=0.1, temperature=t, seed=s),
            "underdamped": lambda p, t, s: UnderdampedLangevin(
                p, lr=0.1, friction=0.5, temperature=t, seed=s
            ),
        },
        temperatures=[1e-4, 0.15],
        seeds=[0, 1],
        num_steps=300,
        check_every=60,
        descent=Descent(0.1),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (8, 8)
    rows = {(row["dynamics"], row["temperature"]): row for row in study.table()}
    assert rows["overdamped", 1e-4]["left"] == 0
    assert rows["overdamped", 1e-4]["gradients_to_leave"] == 300
    assert rows["underdamped", 0.15]["left"] == 2
    assert rows["underdamped", 0.15]["num_seeds"] == 2
    starts = {row["loss_at_start"] for row in rows.values()}
    assert len(starts) == 1  # every release starts where the first did
    assert ReleaseStudy.from_dict(json.loads(json.dumps(study.to_dict()))) == study
    figures = study.figures()
    assert [len(figure.series) for figure in figures] == [2, 2]
    assert Chart.from_dict(figures[0].to_dict()) == figures[0]
    with pytest.raises(InputError, match="at least one"):
        compare_releases(
            problem, {}, temperatures=[0.1], seeds=[0], num_steps=1, check_every=1, descent=Descent(0.1)
        )
