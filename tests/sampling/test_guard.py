from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from localmin.sampling.context import SearchContext
from localmin.sampling.engines import Observation
from localmin.sampling.guard import guard, guard_kind, guard_plan, safe_rule
from localmin.sampling.rounds import RoundState
from localmin.sampling.settings import PRESETS, SearchSettings
from localmin.sampling.trial import TrialOutcome, run_trial
from localmin.tasks import Task

MakeTask = Callable[..., Task]
MakeContext = Callable[..., SearchContext]


def noisy_task(make_task: MakeTask) -> Task:
    return make_task(noise=0.4, sizes=(240, 100, 60), spread=0.8, recipe={"epochs": 25, "lr": 0.2})


@pytest.mark.parametrize("kind", ["halves", "four-fifths"])
def test_the_guard_refuses_harm_and_accepts_help(
    make_task: MakeTask, make_context: MakeContext, kind: Any
) -> None:
    task = noisy_task(make_task)
    context = make_context(task, settings=SearchSettings(guard=kind))
    # Negative control: half of the classes are never drawn.
    harmful = guard(context, (task.train.labels < 2).double(), is_uniform=False)
    assert not harmful.accepted
    assert harmful.kind == kind
    assert harmful.difference is not None
    assert harmful.standard_error is not None
    assert harmful.difference < -2 * harmful.standard_error
    assert "does not beat" in harmful.reason
    # Positive control: nothing but right labels.
    assert task.clean_train_labels is not None
    right = (task.clean_train_labels == task.train.labels).double()
    helpful = guard(context, right, is_uniform=False)
    assert helpful.accepted
    assert helpful.difference is not None
    assert helpful.standard_error is not None
    assert helpful.difference > helpful.standard_error
    # Four fifths: the first pair of networks, 1.6 trainings, where it is clear; else both.
    assert helpful.epochs in {"halves": (50.0,), "four-fifths": (40.0, 80.0)}[kind]
    assert harmful.epochs == {"halves": 50.0, "four-fifths": 40.0}[kind]


def test_a_doubtful_first_pair_calls_for_the_second(
    make_task: MakeTask, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = noisy_task(make_task)
    assert task.clean_train_labels is not None
    right = (task.clean_train_labels == task.train.labels).double()
    verdicts = {}
    for clear in (0.0, 1e9):
        monkeypatch.setattr("localmin.sampling.guard._CLEAR", clear)
        context = make_context(task, settings=SearchSettings(guard="four-fifths"))
        verdicts[clear] = guard(context, right, is_uniform=False)
    once, twice = verdicts[0.0], verdicts[1e9]
    assert (once.epochs, twice.epochs) == (40.0, 80.0)
    assert once.standard_error is not None
    assert twice.standard_error is not None
    # More items and more looks: the second pair makes the comparison sharper.
    assert twice.standard_error < once.standard_error


def test_uniform_against_itself_is_no_gain(make_task: MakeTask, make_context: MakeContext) -> None:
    context = make_context(make_task())
    # The same draws, the same weights: the difference is exactly zero, and that is not enough.
    verdict = guard(context, torch.full((160,), 3.0).double(), is_uniform=False)
    assert (verdict.accepted, verdict.difference, verdict.standard_error) == (False, 0.0, 0.0)
    free = guard(context, torch.ones(160).double(), is_uniform=True)
    assert (free.accepted, free.epochs, free.difference) == (False, 0.0, None)


def test_which_guard_is_due(make_task: MakeTask, make_context: MakeContext) -> None:
    task = make_task()
    convolutional = replace(task, model=lambda: nn.Sequential(nn.Unflatten(1, (1, 8)), nn.Conv1d(1, 4, 8)))
    kinds = {
        name: (
            guard_kind(make_context(task, settings=settings)),
            guard_kind(make_context(convolutional, settings=settings)),
        )
        for name, settings in PRESETS.items()
    }
    assert kinds == {
        "standard": ("halves", "four-fifths"),
        "quick": ("none", "four-fifths"),
        "paper": ("halves", "four-fifths"),
    }
    asked = replace(PRESETS["quick"], guard="halves")
    assert guard_kind(make_context(convolutional, settings=asked)) == "halves"
    without = make_context(task, settings=SearchSettings(guard="none"))
    verdict = guard(without, torch.rand(160).double(), is_uniform=False)
    assert (verdict.accepted, verdict.epochs) == (True, 0.0)


@pytest.mark.parametrize("count", [160, 163])
def test_guard_networks_are_trained_in_full_length(
    make_task: MakeTask, make_context: MakeContext, count: int
) -> None:
    context = make_context(make_task(sizes=(count, 60, 60)))
    halves, fifths = guard_plan(context, "halves"), guard_plan(context, "four-fifths")
    assert halves.epochs == fifths.epochs == context.task.epochs
    assert [len(fold) for fold in halves.folds] == [count // 2] * 2
    assert [len(fold) for fold in fifths.folds] == [round(0.8 * count)] * 2
    assert halves.start is None


@pytest.mark.parametrize("broken", ["candidate", "uniform"])
def test_a_guard_training_that_fails_refuses_and_says_which(
    make_task: MakeTask, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    real = run_trial

    def flaky(task: Task, weights: Tensor, *arguments: Any, **options: Any) -> TrialOutcome:
        outcome = real(task, weights, *arguments, **options)
        is_uniform = bool((weights == weights[0]).all())
        return replace(outcome, status="diverged") if is_uniform == (broken == "uniform") else outcome

    monkeypatch.setattr("localmin.sampling.execution.in_process.run_trial", flaky)
    verdict = guard(make_context(make_task()), torch.linspace(0.1, 1, 160).double(), is_uniform=False)
    assert not verdict.accepted
    assert verdict.reason == f"in the guard the {broken} diverged"
    assert verdict.epochs > 0


def state_of(*outcomes: TrialOutcome) -> RoundState:
    point = torch.ones(1, dtype=torch.float64)
    return RoundState([], [Observation(point, point, 0.0, 0.0)] * len(outcomes), list(outcomes))


def outcome_with(share: float, *, status: Any = "done") -> TrialOutcome:
    hits = torch.zeros(220, dtype=torch.float64)
    hits[: round(220 * share)] = 1
    # What counts is the last pass alone.
    return TrialOutcome(torch.zeros(220).double(), hits, torch.ones(220).double(), 1, status)


def test_the_safe_rule_wants_one_paired_standard_error(
    make_task: MakeTask, make_context: MakeContext
) -> None:
    context = make_context(make_task())
    uniform = outcome_with(0.5)
    assert safe_rule(context, state_of(uniform, outcome_with(0.6)), 1).accepted
    assert not safe_rule(context, state_of(uniform, outcome_with(0.4)), 1).accepted
    assert not safe_rule(context, state_of(uniform, uniform), 1).accepted
    assert not safe_rule(context, state_of(uniform, outcome_with(0.6)), 0).accepted
    # one item gained among 220: the error of the paired difference, by hand
    one_more = safe_rule(context, state_of(uniform, outcome_with(111 / 220)), 1)
    assert one_more.difference == pytest.approx(1 / 220)
    assert one_more.standard_error == pytest.approx((1 / 220) * (1 - 1 / 220) ** 0.5)
    broken = safe_rule(context, state_of(outcome_with(0.5, status="diverged"), outcome_with(0.6)), 1)
    assert (broken.accepted, broken.difference) == (False, None)
    assert "uniform trial diverged" in broken.reason
