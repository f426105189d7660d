from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations

import pytest
import torch

from localmin.sampling.execution.folds import FoldCollector
from localmin.sampling.execution.protocol import TrialRequest
from localmin.sampling.trial import FoldOutcome, TrialOutcome, TrialPlan, cross_fit_folds, run_fold, run_trial
from localmin.tasks import Task

MakeTask = Callable[..., Task]


def same(first: TrialOutcome, second: TrialOutcome) -> bool:
    arrays = ("hits", "last_hits", "looks")
    return (first.status, first.num_draws) == (second.status, second.num_draws) and all(
        torch.equal(getattr(first, name), getattr(second, name)) for name in arrays
    )


def plan_of(task: Task) -> TrialPlan:
    return TrialPlan(cross_fit_folds(task.train.labels, share=0.3, num_folds=3, seed=0), 2, seed=1)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_networks_may_come_in_any_order(make_task: MakeTask, order: Sequence[int]) -> None:
    task = make_task()
    plan, weights = plan_of(task), torch.linspace(0.2, 1, 160).double()
    collector = FoldCollector(task)
    assert list(collector.open(TrialRequest("a", weights, plan))) == [0, 1, 2]
    for number in order:
        assert collector.finished() == []
        collector.add("a", number, run_fold(task, weights, plan, number))
    ((name, found),) = collector.finished()
    assert name == "a"
    assert same(found, run_trial(task, weights, plan))
    assert collector.finished() == []


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_what_comes_after_a_network_that_diverged_does_not_show(
    make_task: MakeTask, order: Sequence[int]
) -> None:
    task = make_task()
    plan, weights = plan_of(task), torch.ones(160).double()
    real = [run_fold(task, weights, plan, number) for number in range(3)]
    real[1] = replace(real[1], diverged=True, num_draws=7)
    collector = FoldCollector(task)
    collector.open(TrialRequest("a", weights, plan))
    for number in order:
        collector.add("a", number, real[number])
    assert not collector.is_open("a")
    ((_, found),) = collector.finished()
    assert (found.status, found.num_draws) == ("diverged", real[0].num_draws + 7)


def test_rejected_candidates_need_no_network(make_task: MakeTask) -> None:
    task = make_task()
    collector = FoldCollector(task)
    weights = torch.zeros(160).double()
    assert len(collector.open(TrialRequest("a", weights, plan_of(task)))) == 0
    ((_, found),) = collector.finished()
    assert same(found, run_trial(task, weights, plan_of(task)))
    collector.add("a", 0, FoldOutcome(weights, weights, 1, False))
    assert collector.finished() == []
