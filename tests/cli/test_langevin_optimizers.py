"""`localmin train --optimizer`: Langevin dynamics with what they take, and nothing silently ignored."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from localmin.cli import main
from localmin.cli.optimizers import DynamicsOptions, choose_optimizer
from localmin.errors import InputError
from localmin.tasks.recipe import Recipe


def _options(name: str | None, **settings: Any) -> DynamicsOptions:
    return DynamicsOptions(**{"optimizer": name, "temperature": 0.5, **settings})


def _build(name: str, weight_decay: float = 0.0, **settings: Any) -> tuple[nn.Parameter, Any]:
    recipe = Recipe(momentum=0.9, weight_decay=weight_decay)
    factory = choose_optimizer(_options(name, **settings), recipe, lr=0.04, seed=3, num_steps=100)
    assert callable(factory)
    x = nn.Parameter(torch.zeros(4))
    return x, factory([x])


def test_friction_scheme_and_weight_decay_reach_the_optimizer() -> None:
    _, optimizer = _build("underdamped", friction="1.5", scheme="obabo", weight_decay=0.01)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["friction"], group["temperature"], group["weight_decay"]) == (
        0.04,
        1.5,
        0.5,
        0.01,
    )
    assert optimizer._scheme == "obabo"
    _, critical = _build("underdamped", friction="critical", curvature=0.25)
    assert critical.param_groups[0]["friction"] == 1.0
    _, default = _build("underdamped")
    assert default.param_groups[0]["friction"] == pytest.approx(-math.log(0.9) / 0.2)
    x, skewed = _build("non-reversible", skew_strength=2.0, temperature=0.0)
    x.grad = torch.tensor([1.0, 0.0, 0.0, 0.0])
    skewed.step()
    torch.testing.assert_close(x.detach(), torch.tensor([-0.04, 0.08, 0.0, 0.0]))


@pytest.mark.parametrize(
    ("cooling", "last"),
    [("constant", 0.5), ("exponential", 5e-4), ("logarithmic", 0.5 * math.log(2) / math.log(102))],
)
def test_cooling_runs_over_the_training(cooling: str, last: float) -> None:
    x, optimizer = _build("langevin", cooling=cooling)
    seen = []
    for _ in range(101):
        x.grad = torch.zeros(4)
        optimizer.step()
        seen.append(optimizer.param_groups[0]["temperature"])
    assert seen[0] == pytest.approx(0.5)
    assert seen[-1] == pytest.approx(last)


def test_cyclical_cooling_returns() -> None:
    x, optimizer = _build("langevin", cooling="cyclical")
    for _ in range(26):  # the second of four cycles begins
        x.grad = torch.zeros(4)
        optimizer.step()
    assert optimizer.param_groups[0]["temperature"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("sgd", {"friction": "2", "temperature": 0.0}, "--friction is for underdamped; sgd has none"),
        ("langevin", {"scheme": "baoab"}, "--scheme is for underdamped"),
        ("underdamped", {"skew_strength": 1.0}, "--skew-strength is for non-reversible"),
        (None, {"cooling": "cyclical", "temperature": 0.0}, "--cooling is for langevin"),
        ("adam", {}, "--temperature is for"),
        ("underdamped", {"friction": "critical"}, "needs --curvature"),
        ("underdamped", {"curvature": 1.0}, "goes with --friction critical"),
        ("underdamped", {"friction": "much"}, "a number or critical"),
        ("underdamped", {"friction": "-1"}, "above 0"),
        ("underdamped", {"scheme": "leapfrog"}, "scheme is one of"),
        ("langevin", {"cooling": "slow"}, "--cooling is one of"),
        ("langevin", {"temperature": -1.0}, "must not be negative"),
        ("annealing", {}, "unknown optimizer"),
    ],
)
def test_wrong_options_are_refused(name: str | None, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_optimizer(_options(name, **settings), Recipe(), lr=0.04, seed=3, num_steps=100)


def test_what_the_dynamics_need_is_asked_for() -> None:
    with pytest.raises(InputError, match="needs --friction"):
        choose_optimizer(_options("underdamped"), Recipe(momentum=0), lr=0.04, seed=3, num_steps=100)
    for name in ("langevin", "adam"):
        options = _options(name, temperature=0.0)
        with pytest.raises(InputError, match="needs --lr"):
            choose_optimizer(options, Recipe(), lr=None, seed=3, num_steps=100)


def test_the_dynamics_are_said_in_words() -> None:
    options = _options("underdamped", friction="critical", curvature=0.25, cooling="cyclical")
    factory = choose_optimizer(options, Recipe(), lr=0.04, seed=3, num_steps=100)
    assert str(factory) == (
        "underdamped Langevin dynamics (lr 0.04, temperature 0.5, cyclical cooling, friction 1, scheme baoab)"
    )


def test_the_command_trains(capsys: pytest.CaptureFixture[str]) -> None:
    command = "train digits --limit 200 --epochs 1 --optimizer underdamped --lr 0.05 --friction critical"
    command += " --curvature 0.02 --temperature 1e-5 --cooling exponential"
    with pytest.raises(SystemExit) as exit_info:
        main(command.split())
    assert not exit_info.value.code
    assert "test accuracy" in capsys.readouterr().out
