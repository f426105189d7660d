"""`localmin train --optimizer`: Langevin dynamics with what they take, and nothing silently ignored."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from localmin.cli import main
from localmin.cli.optimizers import LangevinOptions, choose_optimizer
from localmin.errors import InputError


def _build(name: str, options: LangevinOptions | None = None, **settings: Any) -> tuple[nn.Parameter, Any]:
    arguments = {"lr": 0.04, "temperature": 0.5, "momentum": 0.9, "seed": 3, "num_steps": 100, **settings}
    factory = choose_optimizer(name, options=options, **arguments)
    assert callable(factory)
    x = nn.Parameter(torch.zeros(4))
    return x, factory([x])


def test_friction_scheme_and_weight_decay_reach_the_optimizer() -> None:
    _, optimizer = _build("underdamped", LangevinOptions("1.5", scheme="obabo"), weight_decay=0.01)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["friction"], group["temperature"], group["weight_decay"]) == (
        0.04,
        1.5,
        0.5,
        0.01,
    )
    assert optimizer._scheme == "obabo"
    _, critical = _build("underdamped", LangevinOptions("critical", curvature=0.25))
    assert critical.param_groups[0]["friction"] == 1.0
    _, default = _build("underdamped")
    assert default.param_groups[0]["friction"] == pytest.approx(-math.log(0.9) / 0.2)
    x, skewed = _build("non-reversible", LangevinOptions(skew_strength=2.0), temperature=0.0)
    x.grad = torch.tensor([1.0, 0.0, 0.0, 0.0])
    skewed.step()
    torch.testing.assert_close(x.detach(), torch.tensor([-0.04, 0.08, 0.0, 0.0]))


@pytest.mark.parametrize(
    ("cooling", "last"),
    [("constant", 0.5), ("exponential", 5e-4), ("logarithmic", 0.5 * math.log(2) / math.log(102))],
)
def test_cooling_runs_over_the_training(cooling: str, last: float) -> None:
    x, optimizer = _build("langevin", LangevinOptions(cooling=cooling))
    seen = []
    for _ in range(101):
        x.grad = torch.zeros(4)
        optimizer.step()
        seen.append(optimizer.param_groups[0]["temperature"])
    assert seen[0] == pytest.approx(0.5)
    assert seen[-1] == pytest.approx(last)


def test_cyclical_cooling_returns() -> None:
    x, optimizer = _build("langevin", LangevinOptions(cooling="cyclical"))
    for _ in range(26):  # the second of four cycles begins
        x.grad = torch.zeros(4)
        optimizer.step()
    assert optimizer.param_groups[0]["temperature"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "options", "settings", "message"),
    [
        ("sgd", LangevinOptions("2"), {"temperature": 0.0}, "--friction is for underdamped; sgd has none"),
        ("langevin", LangevinOptions(scheme="baoab"), {}, "--scheme is for underdamped"),
        ("underdamped", LangevinOptions(skew_strength=1.0), {}, "--skew-strength is for non-reversible"),
        (None, LangevinOptions(cooling="cyclical"), {"temperature": 0.0}, "--cooling is for langevin"),
        ("adam", LangevinOptions(), {}, "--temperature is for"),
        ("underdamped", LangevinOptions("critical"), {}, "needs --curvature"),
        ("underdamped", LangevinOptions(curvature=1.0), {}, "goes with --friction critical"),
        ("underdamped", LangevinOptions("much"), {}, "a number or critical"),
        ("underdamped", LangevinOptions("-1"), {}, "above 0"),
        ("underdamped", LangevinOptions(scheme="leapfrog"), {}, "scheme is one of"),
        ("underdamped", LangevinOptions(), {"momentum": 0.0}, "needs --friction"),
        ("langevin", LangevinOptions(cooling="slow"), {}, "--cooling is one of"),
        ("langevin", LangevinOptions(), {"lr": None}, "needs --lr"),
        ("langevin", LangevinOptions(), {"temperature": -1.0}, "must not be negative"),
        ("annealing", LangevinOptions(), {}, "unknown optimizer"),
    ],
)
def test_wrong_options_are_refused(
    name: str | None, options: LangevinOptions, settings: dict[str, Any], message: str
) -> None:
    arguments = {"lr": 0.04, "temperature": 0.5, "momentum": 0.9, "seed": 3, **settings}
    with pytest.raises(InputError, match=message):
        choose_optimizer(name, options=options, **arguments)


def test_the_command_trains(capsys: pytest.CaptureFixture[str]) -> None:
    command = "train digits --limit 200 --epochs 1 --optimizer underdamped --lr 0.05 --friction critical"
    command += " --curvature 0.02 --temperature 1e-5 --cooling exponential"
    with pytest.raises(SystemExit) as exit_info:
        main(command.split())
    assert not exit_info.value.code
    assert "test accuracy" in capsys.readouterr().out
