from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from localmin.errors import DataError
from localmin.sampling.trial import ScoreWeights, TrialOutcome, TrialPlan, cross_fit_folds, run_trial
from localmin.tasks import Task
from localmin.tasks.training import Start

MakeTask = Callable[..., Task]


def outcome(hits: list[float], looks: list[float], last: list[float] | None = None) -> TrialOutcome:
    return TrialOutcome(
        torch.tensor(hits, dtype=torch.float64),
        torch.tensor(last or hits, dtype=torch.float64),
        torch.tensor(looks, dtype=torch.float64),
        10,
    )


@given(count=st.integers(4, 300), share=st.sampled_from([0.25, 0.3, 0.5, 0.75, 0.8]), seed=st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_folds_are_disjoint_or_complements_of_disjoint_parts(count: int, share: float, seed: int) -> None:
    labels = torch.arange(count) % 3
    try:
        first, second = cross_fit_folds(labels, share=share, num_folds=2, seed=seed)
    except DataError:
        assert min(count * share, count * (1 - share)) < 2.5
        return
    assert len(first) == len(second)
    assert abs(len(first) - count * share) <= 1
    inside = [set(first.tolist()), set(second.tolist())]
    assert all(len(fold) == len(first) for fold in inside)
    if share <= 0.5:
        assert not inside[0] & inside[1]
    else:
        assert inside[0] | inside[1] == set(range(count))
    assert len(first) < count
    again = cross_fit_folds(labels, share=share, num_folds=2, seed=seed)
    assert torch.equal(again[0], first)


def test_folds_keep_the_class_mix_and_follow_the_seed() -> None:
    labels = torch.tensor([0] * 80 + [1] * 20)
    for fold in cross_fit_folds(labels, share=0.5, num_folds=2, seed=1):
        assert labels[fold].bincount().tolist() == [40, 10]
    one, other = (cross_fit_folds(labels, share=0.25, num_folds=1, seed=s)[0] for s in (0, 1))
    assert not torch.equal(one, other)
    with pytest.raises(DataError, match="too few"):
        cross_fit_folds(labels[:3], share=0.5, num_folds=2, seed=0)


class Recorder(nn.Module):
    """A network that notes which examples it is trained on: the first input is the example's number."""

    def __init__(self, seen: list[set[int]]) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)
        self.seen: set[int] = set()
        seen.append(self.seen)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.seen |= set(inputs[:, 0].round().int().tolist())
        logits: Tensor = self.layer(inputs / 100)
        return logits


@pytest.mark.parametrize(("share", "num_folds"), [(0.5, 2), (0.25, 1), (0.8, 2)])
def test_held_out_items_are_never_trained_on(make_task: MakeTask, share: float, num_folds: int) -> None:
    from localmin.tasks import Examples, Normalization

    task = make_task()
    seen: list[set[int]] = []
    inputs = task.train.inputs.clone()
    inputs[:, 0] = torch.arange(160)
    validation = task.validation.inputs.clone()
    validation[:, 0] = 1_000
    task = replace(
        task,
        train=Examples(inputs, task.train.labels),
        validation=Examples(validation, task.validation.labels),
        model=lambda: Recorder(seen),
        normalization=Normalization(),
    )
    folds = cross_fit_folds(task.train.labels, share=share, num_folds=num_folds, seed=0)
    found = run_trial(task, torch.rand(160).double() + 0.1, TrialPlan(folds, epochs=4, seed=3))
    for fold, trained_on in zip(folds, seen, strict=True):
        assert trained_on <= set(fold.tolist())
        assert len(trained_on) > 0.5 * len(fold)
    # and each held-out item is looked at by exactly the networks that did not train on it
    expected = torch.full((220,), float(num_folds), dtype=torch.float64)
    for fold in folds:
        expected[fold] -= 1
    assert torch.equal(found.looks, expected)
    assert bool((found.hits[found.looks == 0] == 0).all())
    assert found.num_draws == 4 * sum(len(fold) for fold in folds)


def test_hits_are_the_mean_over_the_last_quarter_of_the_epochs(make_task: MakeTask) -> None:
    task = make_task(spread=2.0)
    folds = cross_fit_folds(task.train.labels, share=0.5, num_folds=2, seed=0)
    found = run_trial(task, torch.ones(160).double(), TrialPlan(folds, epochs=9, seed=0))
    looked = found.looks > 0
    # two looks (epochs 8 and 9) by one network, or by two for validation items
    assert set((found.hits[:160][looked[:160]] * 2).tolist()) <= {0.0, 1.0, 2.0}
    assert set((found.hits[160:] * 4).tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    assert set((found.last_hits[:160][looked[:160]]).tolist()) <= {0.0, 1.0}
    assert not torch.equal(found.hits, found.last_hits)
    one_look = run_trial(task, torch.ones(160).double(), TrialPlan(folds, epochs=3, seed=0))
    assert torch.equal(one_look.hits, one_look.last_hits)


def test_a_trial_is_deterministic_and_all_trials_share_their_initial_weights(make_task: MakeTask) -> None:
    started: list[list[Tensor]] = []

    class Spy(torch.optim.SGD):
        def __init__(self, parameters: object) -> None:
            kept = list(parameters)  # type: ignore[call-overload]
            started.append([parameter.detach().clone() for parameter in kept])
            super().__init__(kept, lr=0.1)

    task = make_task(dropout=0.2, noise=0.2)
    task = task.with_recipe(replace(task.recipe, optimizer=Spy))
    folds = cross_fit_folds(task.train.labels, share=0.5, num_folds=2, seed=0)
    plan = TrialPlan(folds, epochs=3, seed=1)
    ones, other = torch.ones(160).double(), torch.linspace(0.1, 1, 160).double()
    first, again = run_trial(task, ones, plan), run_trial(task, ones, plan)
    assert torch.equal(first.hits, again.hits)
    different = run_trial(task, other, plan)
    assert not torch.equal(first.hits, different.hits)
    for fold in range(2):
        for run in (2, 4):
            for a, b in zip(started[fold], started[run + fold], strict=True):
                assert torch.equal(a, b)
    assert not torch.equal(started[0][0], started[1][0])
    assert not torch.equal(run_trial(task, ones, replace(plan, seed=2)).hits, first.hits)


def test_a_warm_start_begins_where_it_is_told(make_task: MakeTask) -> None:
    task = make_task()
    start = Start(dict(task.build_model(77).state_dict()))
    everything = (torch.arange(160),)
    plan = TrialPlan(everything, epochs=1, seed=0, start=start, lr_scale=1e-9)
    found = run_trial(task, torch.ones(160).double(), plan)
    logits = task.build_model(77)(task.prepare(task.validation.inputs))
    assert torch.equal(found.hits[160:], (logits.argmax(1) == task.validation.labels).double())
    assert found.looks[:160].sum() == 0


def test_failures_are_a_status(make_task: MakeTask) -> None:
    task = make_task()
    folds = cross_fit_folds(task.train.labels, share=0.5, num_folds=2, seed=0)
    plan = TrialPlan(folds, epochs=4, seed=0)
    exploded = run_trial(task, torch.ones(160).double(), replace(plan, lr_scale=1e30))
    assert exploded.status == "diverged"
    assert 0 < exploded.num_draws < plan.num_draws
    narrow = torch.zeros(160).double()
    narrow[folds[0]] = 1
    assert run_trial(task, narrow, plan).status == "rejected"
    assert run_trial(task, narrow, plan).num_draws == 0
    few = torch.full((160,), 1e-9).double()
    few[::40] = 1.0
    assert run_trial(task, few, replace(plan, min_effective=10)).status == "rejected"
    weights = ScoreWeights.for_task(task, None)
    for failed in (exploded, run_trial(task, narrow, plan)):
        assert weights.score(failed) == (0.0, 0.0)


def test_scores_without_a_class_mix_are_means_over_looks() -> None:
    weights = ScoreWeights(torch.tensor([0, 1, 0, 1]))
    hits, looks = [1.0, 0.5, 0.0, 1.0], [1.0, 2.0, 1.0, 0.0]
    score, error = weights.score(outcome(hits, looks))
    repeated = np.array([1.0, 0.5, 0.5, 0.0])
    assert score == pytest.approx(repeated.mean())
    w, v = np.array(looks), np.array(hits)
    assert error == pytest.approx(math.sqrt((w**2 * (v - repeated.mean()) ** 2).sum()) / w.sum())


def test_balanced_scores_are_means_over_classes_whoever_was_looked_at() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    hits, looks = rng.random(100), rng.integers(0, 3, 100).astype(float)
    mix = np.array([0.5, 0.2, 0.3])
    weights = ScoreWeights(torch.from_numpy(labels), torch.from_numpy(mix))
    expected = sum(
        share * np.average(hits[labels == label], weights=looks[labels == label])
        for label, share in enumerate(mix)
    )
    score, _ = weights.score(outcome(hits.tolist(), looks.tolist()))
    assert score == pytest.approx(expected)
    # a class that nobody looked at counts nothing
    looks[labels == 2] = 0
    score, error = weights.score(outcome(hits.tolist(), looks.tolist()))
    parts = [np.average(hits[labels == label], weights=looks[labels == label]) for label in (0, 1)]
    assert score == pytest.approx((0.5 * parts[0] + 0.2 * parts[1]) / 0.7)
    assert math.isfinite(error)


def test_differences_are_paired_item_by_item() -> None:
    rng = np.random.default_rng(1)
    base = rng.random(400)
    better = base + 0.02 + 0.01 * rng.standard_normal(400)
    looks = [1.0] * 400
    weights = ScoreWeights(torch.zeros(400, dtype=torch.int64))
    difference, error = weights.paired_difference(
        outcome(better.tolist(), looks, last=base.tolist()), outcome(base.tolist(), looks)
    )
    assert difference == pytest.approx((better - base).mean())
    assert error == pytest.approx((better - base).std() / math.sqrt(400))
    # far below what two separate means would give
    assert error < 0.1 * base.std() / math.sqrt(400)
    last, _ = weights.paired_difference(
        outcome(better.tolist(), looks, last=base.tolist()), outcome(base.tolist(), looks), last=True
    )
    assert last == pytest.approx(0.0)


def test_progress_is_told_in_draws(make_task: MakeTask) -> None:
    task, told = make_task(), []  # type: tuple[Task, list[int]]
    folds = cross_fit_folds(task.train.labels, share=0.25, num_folds=1, seed=0)
    plan = TrialPlan(folds, epochs=3, seed=0)
    found = run_trial(task, torch.ones(160).double(), plan, on_draws=told.append)
    assert told == [40, 40, 40]
    assert sum(told) == found.num_draws == plan.num_draws
