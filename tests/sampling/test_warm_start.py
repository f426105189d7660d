from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from localmin.sampling.context import SearchContext
from localmin.sampling.feature_table import FeatureTable
from localmin.sampling.forms import get_form
from localmin.sampling.policy import PolicySpace
from localmin.sampling.rounds import feature_stage
from localmin.sampling.settings import PRESETS
from localmin.sampling.trial import TrialOutcome, TrialPlan
from localmin.sampling.warm_start import gated_plan, warm_start_plan
from localmin.tasks import Task

MakeTask = Callable[..., Task]
MakeContext = Callable[..., SearchContext]
MakeTable = Callable[..., FeatureTable]

PAPER = PRESETS["paper"]


def test_trials_fine_tune_the_network_of_the_feature_run(
    make_task: MakeTask, make_context: MakeContext
) -> None:
    task = make_task(sizes=(160, 100, 40), recipe={"epochs": 8})
    context = make_context(task, settings=replace(PAPER, feature_source="checkpoint"))
    features = feature_stage(context, 1, None)
    plan = warm_start_plan(context, features)
    assert features.start is not None
    assert plan.start is features.start
    assert (features.epochs, plan.epochs, plan.lr_scale) == (2.0, 2, 0.5)
    (fold,) = plan.folds
    assert torch.equal(fold, torch.arange(160))
    # the features are those of the shared network, after its last epoch
    model = task.build_model(0)
    model.load_state_dict(features.start.model)
    predictions = model.eval()(task.prepare(task.train.inputs)).argmax(1)
    assert torch.equal(features.table.predictions, predictions)


def gate(
    context: SearchContext,
    table: FeatureTable,
    monkeypatch: pytest.MonkeyPatch,
    gains: dict[int, float],
    *,
    spent: float = 0.0,
    status: Any = "done",
) -> tuple[Any, list[int]]:
    """Run the gate on made-up pilots: the cut gains so much, by length of the trial."""
    lengths: list[int] = []
    labels = context.task.train.labels
    space = PolicySpace.fit(get_form("b"), table, labels, num_classes=4)

    def pilot(task: Task, weights: torch.Tensor, plan: TrialPlan, **options: Any) -> TrialOutcome:
        lengths.append(plan.epochs)
        is_cut = not bool((weights == weights[0]).all())
        hits = torch.zeros(260, dtype=torch.float64)
        hits[160 : 160 + round(100 * (0.5 + gains[plan.epochs] * is_cut))] = 1
        looks = torch.zeros(260, dtype=torch.float64)
        looks[160:] = 1
        return TrialOutcome(hits, hits, looks, plan.num_draws, status if is_cut else "done")

    monkeypatch.setattr("localmin.sampling.execution.in_process.run_trial", pilot)
    plan = TrialPlan((torch.arange(160),), 2, seed=0)
    return gated_plan(context, space, plan, spent=spent), lengths


def test_the_gate_opens_doubles_or_warns(
    make_task: MakeTask, make_context: MakeContext, make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(sizes=(160, 100, 40), recipe={"epochs": 8})
    free = make_context(task, settings=replace(PAPER, max_cost=None))
    table = make_table(160)
    opened, lengths = gate(free, table, monkeypatch, {2: 0.2})
    assert (opened.plan.epochs, opened.epochs, opened.note, lengths) == (2, 0.0, None, [2, 2])
    assert list(opened.pilots) == [1.2, 0.55]
    # a cut that does harm is told apart as well as one that helps
    assert gate(free, table, monkeypatch, {2: -0.2})[0].note is None
    doubled, lengths = gate(free, table, monkeypatch, {2: 0.0, 4: 0.2})
    assert (doubled.plan.epochs, doubled.epochs, doubled.note, lengths) == (4, 4.0, None, [2, 2, 4, 4])
    closed, lengths = gate(free, table, monkeypatch, {2: 0.0, 4: 0.0})
    assert (closed.plan.epochs, closed.epochs, lengths) == (4, 4.0, [2, 2, 4, 4])
    assert "4 epochs could not tell" in closed.note
    failed, _ = gate(free, table, monkeypatch, {2: 0.2, 4: 0.2}, status="diverged")
    assert failed.note is not None


def test_trials_are_not_lengthened_beyond_the_budget(
    make_task: MakeTask, make_context: MakeContext, make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(sizes=(160, 100, 40), recipe={"epochs": 8})
    table = make_table(160)
    # spent 2 + pilots 4 + five cuts of 4 epochs = 26 epochs = 3.25 trainings
    for limit, length in ((3.24, 2), (3.25, 4)):
        context = make_context(task, settings=replace(PAPER, max_cost=limit))
        found, _ = gate(context, table, monkeypatch, {2: 0.0, 4: 0.2}, spent=2.0)
        assert found.plan.epochs == length
        assert (found.note is None) == (length == 4)
