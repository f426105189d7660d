"""Release from a minimum: counted right where the answer is known, and nothing else touched."""

import json
import math
from collections.abc import Callable, Sequence

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
    SameBasin,
    UnderdampedLangevin,
    compare_releases,
    line_barrier,
    release_from_minimum,
)
from localmin.langevin.basins import Basins, unflatten


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
        optimizer.register_step_post_hook(lambda *_, x=x, seen=seen: seen.append(float(x.detach())))
        release_from_minimum(
            [x],
            closure,
            optimizer,
            num_steps=50,
            check_every=check_every,
            descent=Descent(0.1),
            same=SameBasin(barrier_above=0.01),
        )
        paths.append(seen)
    assert len(paths[0]) == 50
    assert paths[0] == paths[1]


def _valley(start: float) -> tuple[nn.Parameter, Callable[[], Tensor]]:
    """Build a loss whose minima are a circle: far apart, and no barrier on a short way around."""
    angle = torch.tensor(start, dtype=torch.float64)
    x = nn.Parameter(torch.stack([angle.cos(), angle.sin()]))

    def closure() -> Tensor:
        x.grad = 4 * (x.detach().square().sum() - 1) * x.detach()
        return (x.detach().square().sum() - 1) ** 2

    return x, closure


def test_a_flat_valley_is_one_basin_unless_the_line_meets_a_barrier() -> None:
    for rule, leaves in ((0.05, True), (SameBasin(0.05, barrier_above=0.02), False)):
        x, closure = _valley(0.0)
        optimizer = LangevinDynamics([x], lr=0.05, temperature=0.01, seed=1)
        result = release_from_minimum(
            [x], closure, optimizer, num_steps=100, check_every=20, descent=Descent(0.05), same=rule
        )
        assert max(check.distance for check in result.checks) > 0.1
        assert result.left == leaves
    # The straight line is an upper bound only: to the opposite point it crosses the hill in the middle.
    x, closure = _valley(math.pi)
    basins = Basins(SameBasin(0.05, barrier_above=0.02), _loss_along(x, closure), [_point(1.0)])
    number, barrier = basins.number(_point(-1.0))
    assert number == 1
    assert barrier == pytest.approx(1.0)


def _point(x: float) -> Tensor:
    return torch.tensor([x, 0.0], dtype=torch.float64)


def _loss_along(x: nn.Parameter, closure: Callable[[], Tensor]) -> Callable[[Tensor], float]:
    def loss(point: Tensor) -> float:
        unflatten(point, [x])
        return float(closure())

    return loss


def test_basins_are_numbered_in_order_and_known_again() -> None:
    wells = Basins(SameBasin(0.05, barrier_above=0.1), lambda x: float(DoubleWell().value(x)))
    wells.minima.append(torch.tensor([-1.0]))
    ends = torch.tensor([[1.0], [-0.8], [0.9], [-1.01]])
    numbers, barriers = zip(*map(wells.number, ends), strict=True)
    assert numbers == (1, 0, 1, 0)
    # Seven inner points meet the top at 0 only when the ends are -1 and 1.
    assert barriers[0] == 0.25
    assert barriers[1] == barriers[3] == 0.0
    assert 0.2 < barriers[2] < 0.25
    assert line_barrier(wells.loss, ends[0], ends[0]) == 0.0


def test_a_broken_off_study_goes_on() -> None:
    made: list[float] = []

    def problem(seed: int) -> tuple[list[nn.Parameter], Callable[[], Tensor]]:
        x, closure = _double_well(0.9738)
        return [x], closure

    def overdamped(p: Sequence[Tensor], t: float, s: int) -> LangevinDynamics:
        made.append(t)
        return LangevinDynamics(p, lr=0.1, temperature=t, seed=s)

    saved: list[ReleaseStudy] = []

    def study(num_steps: int = 60, earlier: ReleaseStudy | None = None) -> ReleaseStudy:
        return compare_releases(
            problem,
            {"overdamped": overdamped},
            temperatures=[0.0, 0.1],
            seeds=[0, 1],
            num_steps=num_steps,
            check_every=30,
            descent=Descent(0.1),
            earlier=earlier,
            save=saved.append,
        )

    whole = study()
    assert [len(one.releases) for one in saved] == [1, 2, 3, 4]
    assert saved[-1] == whole
    made.clear()
    assert study(earlier=saved[2]) == whole
    assert made == [0.1]
    with pytest.raises(InputError, match="num_steps = 60"):
        study(50, earlier=whole)


def test_bad_input() -> None:
    x, closure = _double_well(1.0)
    optimizer = LangevinDynamics([x], lr=0.1)
    with pytest.raises(InputError, match="num_steps"):
        release_from_minimum([x], closure, optimizer, num_steps=0, check_every=1, descent=Descent(0.1))
    with pytest.raises(InputError, match="momentum"):
        Descent(0.1, momentum=1.0)
    with pytest.raises(InputError, match="lr"):
        Descent(math.nan)
    with pytest.raises(InputError, match="within"):
        SameBasin(within=0.0)
    with pytest.raises(InputError, match="barrier_above"):
        SameBasin(barrier_above=-1.0)


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
    assert figures[0].series[0].x[:2] == (0, 60)
    assert figures[0].series[0].y[0] == rows["overdamped", 1e-4]["loss_at_start"]
    assert Chart.from_dict(figures[0].to_dict()) == figures[0]
    with pytest.raises(InputError, match="at least one"):
        compare_releases(
            problem, {}, temperatures=[0.1], seeds=[0], num_steps=1, check_every=1, descent=Descent(0.1)
        )
