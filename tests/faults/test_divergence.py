"""Trainings that end in NaN: a clear outcome everywhere, and valid JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from localmin.sampling import trial
from localmin.sampling.transfer import train_run
from localmin.workflow import whole_run

Program = Callable[..., Any]

_SMALL = ("digits", "--limit", "300", "--batch-size", "64", "--epochs", "4")


def read_all_json(folder: Path) -> None:
    """Read every JSON file as a strict reader does: NaN is no JSON."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in a JSON file")

    files = list(folder.rglob("*.json"))
    assert files
    for file in files:
        json.loads(file.read_text(), parse_constant=refuse)


@pytest.mark.parametrize("command", [("search",), ("run", "--points", "20")])
def test_a_learning_rate_that_is_too_large(command: tuple[str, ...], program: Program) -> None:
    name, *options = command
    for _ in range(2):  # repeated, it does not train again, and says the same
        line = program(name, *_SMALL, "--noise", "0.4", "--lr", "1e6", *options, "--out", "run").complaint()
        assert "the uniform training diverged in epoch 1 of 4; lower the learning rate (--lr)" in line
    read_all_json(Path("run"))
    assert not Path("run", "result.json").exists()


def test_a_training_says_so_and_is_refused_by_what_comes_after(program: Program) -> None:
    shown = program("train", *_SMALL, "--lr", "1e6", "--out", "run").out
    assert "note: training diverged in epoch 1, the score means nothing; lower the learning rate" in shown
    ended = program("train", *_SMALL, "--lr", "1e6", "--out", "run", "--json")
    assert ended.result()["diverged"] is True
    read_all_json(Path("run"))
    for command in (("certify", "run"), ("reduce", "run"), ("compare", "run", "run")):
        line = program(*command).complaint()
        assert "parameter '1.weight' has entries that are NaN or infinite" in line
        assert "--lr" in line


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_bad_entry_of_a_checkpoint_is_named(value: float, program: Program) -> None:
    program("train", *_SMALL, "--out", "run", "--json").result()
    weights = load_file(Path("run", "model.safetensors"))
    weights["3.bias"][2] = value
    save_file(weights, "bad.safetensors")
    torch.save(weights, "bad.pt")
    for checkpoint in ("bad.safetensors", "bad.pt"):
        for command in ("certify", "reduce"):
            line = program(command, checkpoint, "digits", "--limit", "300").complaint()
            assert checkpoint in line
            assert "parameter '3.bias' has entries that are NaN or infinite" in line


def test_a_dynamics_that_diverges(program: Program) -> None:
    hot = ("--optimizer", "langevin", "--temperature", "1e30", "--lr", "0.01")
    line = program("run", *_SMALL, "--noise", "0.4", *hot, "--points", "20", "--out", "run").complaint()
    assert "is not finite" in line
    assert "Lower lr or the temperature" in line
    read_all_json(Path("run"))
    assert program("report", "run").code == 0  # the search before it is whole


def test_a_second_training_that_diverges(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverged(*arguments: Any, **options: Any) -> Any:
        return replace(train_run(*arguments, **options), diverged=True, losses=(math.nan,))

    monkeypatch.setattr(whole_run, "train_run", diverged)
    line = program("run", *_SMALL, "--optimizer", "sgd", "--points", "20", "--out", "run").complaint()
    assert "the training by the other optimiser diverged in epoch 1 of 4; lower --lr" in line
    assert not Path("run", "ending.json").exists()


def test_a_trial_that_diverges_scores_worst_and_is_marked(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = trial.run_fold, 0

    def flaky(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        found = real(*arguments, **options)
        return replace(found, diverged=True) if calls == 3 else found

    monkeypatch.setattr(trial, "run_fold", flaky)
    arguments = ("search", *_SMALL, "--noise", "0.4", "--trials", "6", "--out", "run", "--json")
    summary = program(*arguments).result()
    trials = summary["per_seed"][0]["trials"]
    (failed,) = [one for one in trials if one["status"] == "diverged"]
    assert failed["score"] == 0.0
    assert all(one["score"] > 0 for one in trials if one is not failed)
    read_all_json(Path("run"))
    assert program("report", "run").code == 0
    assert 'colspan="3">diverged' in Path("run", "report.html").read_text()
