from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from localmin.sampling.context import SearchContext
from localmin.sampling.engines import Observation
from localmin.sampling.feature_table import FeatureTable
from localmin.sampling.forms import get_form
from localmin.sampling.policy import PolicySpace
from localmin.sampling.rounds import (
    Candidate,
    RoundRunner,
    RoundState,
    Trial,
    nearest_cuts,
    pick_top,
    run_round,
)
from localmin.sampling.settings import SearchSettings
from localmin.sampling.surrogate import SamplerProcess, embed
from localmin.sampling.trial import TrialOutcome, TrialPlan, cross_fit_folds
from localmin.sampling.trial_log import TrialLog
from localmin.tasks import Task

MakeTask = Callable[..., Task]
MakeContext = Callable[..., SearchContext]
MakeTable = Callable[..., FeatureTable]

CUTS = (1.2, 0.8, 0.6, 0.4)


def state_of(space: PolicySpace, rows: list[tuple[torch.Tensor, float, str]]) -> RoundState:
    state = RoundState([], [], [])
    nothing = torch.zeros(3, dtype=torch.float64)
    for number, (z, score, status) in enumerate(rows):
        point = torch.from_numpy(embed(space.weights(z).numpy()[None])[0])
        state.trials.append(Trial(number, 1, "cut", tuple(z.tolist()), score, 0.01, 50.0, 1.0, status))
        state.observations.append(Observation(z, point, score, 0.01))
        state.outcomes.append(TrialOutcome(nothing, nothing, nothing, 1, status))  # type: ignore[arg-type]
    return state


def make_space(table: FeatureTable, name: str = "a", prior: bool = False) -> PolicySpace:
    labels = torch.arange(len(table.values)) % 4
    return PolicySpace.fit(get_form(name, class_prior=prior), table, labels, num_classes=4)


def make_runner(
    task: Task, context: SearchContext, table: FeatureTable, *, name: str = "d", prior: bool = False
) -> RoundRunner:
    folds = cross_fit_folds(task.train.labels, share=0.5, num_folds=2, seed=0)
    space = make_space(table, name, prior)
    log = TrialLog(None, study_name="x", parameter_names=space.form.parameter_names)
    return RoundRunner(context, space, TrialPlan(folds, 1, seed=0), RoundState([], [], []), 1, [log])


def test_failed_trials_never_win_and_do_not_teach(make_table: MakeTable) -> None:
    space = make_space(make_table(100))
    form = space.form
    good = [(form.uniform(), 0.80, "done"), (form.cut(0.6), 0.84, "done"), (form.cut(0.5), 0.85, "done")]
    failed = (form.cut(0.3), 0.0, "diverged")
    state = state_of(space, [*good, failed, (form.cut(0.2), 0.0, "rejected")])
    means = state.posterior_means()
    assert means[3:].tolist() == [-np.inf, -np.inf]
    np.testing.assert_array_equal(means[:3], state_of(space, good).posterior_means())
    assert torch.equal(pick_top(state, [3, 1], form, 5), form.canonical(form.cut(0.6)))
    # when everything failed, uniform is what is left
    nothing = state_of(space, [failed, failed])
    assert nothing.posterior_means().tolist() == [-np.inf] * 2
    assert torch.equal(pick_top(nothing, [0, 1], form, 5), form.uniform())


def test_the_pick_averages_the_largest_posterior_means(make_table: MakeTable) -> None:
    space = make_space(make_table(100), "d")
    form = space.form
    cuts = [form.cut(c) for c in (1.2, 0.8, 0.6, 0.5, 0.4, 0.3)]
    state = state_of(space, [(z, 0.7 + 0.02 * i, "done") for i, z in enumerate(cuts)])
    means = (
        SamplerProcess(
            np.stack([o.point.numpy() for o in state.observations]), np.array([t.score for t in state.trials])
        )
        .posterior(np.stack([o.point.numpy() for o in state.observations]))
        .mean
    )
    order = np.argsort(-means)
    expected = torch.stack([cuts[i] for i in order[:3]]).mean(0)
    torch.testing.assert_close(pick_top(state, list(range(6)), form, 3), form.canonical(expected))
    # among the given numbers only
    assert torch.equal(pick_top(state, [0], form, 3), form.canonical(cuts[0]))


def test_the_nearest_cuts_surround_the_best() -> None:
    cuts = SearchSettings().cuts
    assert nearest_cuts(cuts, 0.3, 4) == [0.6, 0.5, 0.4, 0.3]
    assert nearest_cuts(cuts, 1.2, 2) == [1.2, 0.9]
    assert nearest_cuts(cuts, 0.7, 4) == [0.9, 0.8, 0.7, 0.6]
    assert nearest_cuts(cuts, None, 1) == [0.6]
    assert nearest_cuts(cuts, 0.7, 20) == list(cuts)


@pytest.mark.parametrize("prior", [False, True])
def test_a_round_makes_the_design_then_searches(
    make_task: MakeTask, make_context: MakeContext, make_table: MakeTable, prior: bool
) -> None:
    task = make_task()
    context = make_context(task, settings=SearchSettings(cuts=CUTS, refresh_cuts=2, batch=2))
    runner = make_runner(task, context, make_table(160), prior=prior)
    numbers = run_round(runner, best_before=None, prior=0.0, steps=3)
    kinds = [trial.kind for trial in runner.state.trials]
    design = ["uniform", "cut", "cut", "cut"] + ["class-prior"] * 3 * prior
    assert kinds == [*design, "search", "search", "search"]
    assert numbers == list(range(len(kinds)))
    assert [trial.number for trial in runner.state.trials] == numbers
    assert runner.state.trials[0].z == tuple(runner.space.form.uniform().tolist())
    if prior:
        assert [trial.z[-1] for trial in runner.state.trials[4:7]] == [1 / 3, 2 / 3, 1.0]
    runner.number = 2
    best = runner.state.trials[2]
    again = run_round(runner, best_before=best, prior=0.25 if prior else 0.0, steps=0)
    refreshed = [runner.state.trials[i] for i in again]
    assert [trial.cut for trial in refreshed] == [0.8, 0.6]
    assert {trial.round for trial in refreshed} == {2}
    if prior:
        assert {trial.z[-1] for trial in refreshed} == {0.25}


@pytest.mark.parametrize(
    ("limit", "cuts", "searched"), [(2, [1.2, 0.6], 0), (3, [1.2, 0.8, 0.4], 0), (5, list(CUTS), 1)]
)
def test_a_limit_thins_the_design_and_keeps_uniform(
    make_task: MakeTask,
    make_context: MakeContext,
    make_table: MakeTable,
    limit: int,
    cuts: list[float],
    searched: int,
) -> None:
    task = make_task()
    context = make_context(task, settings=SearchSettings(cuts=CUTS))
    runner = make_runner(task, context, make_table(160))
    run_round(runner, best_before=None, prior=0.0, steps=4, limit=limit)
    trials = runner.state.trials
    assert [trial.cut for trial in trials if trial.cut is not None] == cuts
    assert sum(trial.kind == "search" for trial in trials) == searched
    assert len(trials) == limit


def test_samplers_with_too_few_examples_are_rejected_untried(
    make_task: MakeTask, make_context: MakeContext, make_table: MakeTable
) -> None:
    task = make_task(recipe={"batch_size": 40})
    context = make_context(task, settings=SearchSettings(cuts=CUTS))
    runner = make_runner(task, context, make_table(160), name="a")
    (trial,) = runner.attempt([Candidate(runner.space.form.cut(0.15), "cut", 0.15)])
    assert (trial.status, trial.score, trial.epochs) == ("rejected", 0.0, 0.0)
    assert 0 < trial.num_effective < 40
    runner.attempt([Candidate(runner.space.form.uniform(), "uniform")])
    assert np.isneginf(runner.state.posterior_means()[0])
    runner.search(2)
    assert [t.status for t in runner.state.trials[2:]] == ["done", "done"]
    assert all(t.num_effective >= 40 for t in runner.state.trials[2:])


def test_a_bump_that_misses_every_example_is_rejected(
    make_task: MakeTask, make_context: MakeContext, make_table: MakeTable
) -> None:
    # All features equal: every example stands at 1/2, and the last node reaches none of them.
    table = make_table(160)
    flat = replace(table, values=torch.ones_like(table.values), gradient=torch.ones(160).double())
    task = make_task()
    runner = make_runner(task, make_context(task), flat, name="a")
    z = torch.zeros(10, dtype=torch.float64)
    z[9] = 1
    (trial,) = runner.attempt([Candidate(z, "search")])
    assert (trial.status, trial.num_effective) == ("rejected", 0.0)
    assert bool(torch.isfinite(runner.state.observations[0].point).all())
    runner.attempt([Candidate(runner.space.form.uniform(), "uniform")])
    assert np.isfinite(runner.state.posterior_means()[1])


def test_proposals_that_are_all_refused_end_the_search_quietly(
    make_task: MakeTask, make_context: MakeContext, make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    runner = make_runner(task, make_context(task), make_table(160))
    nothing = torch.zeros(220, dtype=torch.float64)

    def explode(*arguments: Any, **options: Any) -> TrialOutcome:
        return TrialOutcome(nothing, nothing, nothing, 40, "diverged")

    monkeypatch.setattr("localmin.sampling.execution.in_process.run_trial", explode)
    run_round(runner, best_before=None, prior=0.0, steps=3)
    assert {trial.status for trial in runner.state.trials} == {"diverged"}
    assert len(runner.state.trials) == len(SearchSettings().cuts)


def test_large_sets_are_looked_at_through_a_sample(
    make_task: MakeTask, make_context: MakeContext, make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localmin.sampling.rounds._MAX_EMBEDDED", 50)
    task = make_task()
    runner = make_runner(task, make_context(task), make_table(160))
    runner.attempt([Candidate(runner.space.form.cut(0.5), "cut", 0.5)])
    point = runner.state.observations[0].point
    assert point.shape == (50,)
    assert float(point.square().sum()) == pytest.approx(1.0)
    assert len(runner.thin_space) == 50
    runner.search(1)
    assert runner.state.trials[1].status == "done"
