from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import optuna
import pytest
import torch
from torch import Tensor

from localmin.errors import InputError, WorkerError
from localmin.sampling import SearchSettings, search
from localmin.sampling.execution import ProcessPool, TrialRequest
from localmin.sampling.trial import TrialOutcome, TrialPlan, cross_fit_folds, run_trial
from localmin.tasks import Task
from localmin.tasks.task import cross_entropy

MakeTask = Callable[..., Task]

SMALL = SearchSettings(cuts=(1.2, 0.7, 0.5), steps=2, refresh_cuts=2, top=2)


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPool]:
    """One pool for all tests here: a worker takes seconds to start."""
    with ProcessPool(2) as pool:
        yield pool


def same(first: TrialOutcome, second: TrialOutcome) -> bool:
    arrays = ("hits", "last_hits", "looks")
    return (first.status, first.num_draws) == (second.status, second.num_draws) and all(
        torch.equal(getattr(first, name), getattr(second, name)) for name in arrays
    )


def plan_of(task: Task, epochs: int = 2) -> TrialPlan:
    return TrialPlan(cross_fit_folds(task.train.labels, share=0.5, num_folds=2, seed=0), epochs, seed=1)


def collect_all(pool: ProcessPool, count: int) -> dict[str, TrialOutcome]:
    found: dict[str, TrialOutcome] = {}
    while len(found) < count:
        found |= dict(pool.collect(timeout=60))
    return found


def described(task: Task, **how: Any) -> dict[str, Any]:
    content = search(task, settings=SMALL, seed=0, **how).to_dict()
    del content["cost"]["seconds"]
    return content


def test_a_search_gives_the_same_with_workers(make_task: MakeTask, pool: ProcessPool) -> None:
    task = make_task(noise=0.3, dropout=0.2)
    # The tests run on one thread, as the workers do.
    assert described(task, executor=pool) == described(task)


def test_outcomes_are_those_of_this_process(make_task: MakeTask, pool: ProcessPool) -> None:
    task = make_task(noise=0.2)
    drawn: list[int] = []
    pool.use(task, device=torch.device("cpu"), on_draws=drawn.append)
    plan = plan_of(task)
    all_weights = {str(i): torch.linspace(0.1 * i, 1, 160).double() for i in range(1, 6)}
    for name, weights in all_weights.items():
        pool.submit(TrialRequest(name, weights, plan))
    assert not pool.has_room()
    pool.submit(TrialRequest("rejected", torch.zeros(160).double(), plan))
    exploding = replace(plan, lr_scale=1e30)
    pool.submit(TrialRequest("diverged", torch.ones(160).double(), exploding))
    found = collect_all(pool, 7)
    for name, weights in all_weights.items():
        assert same(found[name], run_trial(task, weights, plan))
    assert found["rejected"].status == "rejected"
    assert same(found["diverged"], run_trial(task, torch.ones(160).double(), exploding))
    assert sum(drawn) >= sum(outcome.num_draws for outcome in found.values())
    assert pool.collect() == []
    assert pool.has_room()


def test_a_killed_worker_costs_its_network_alone(make_task: MakeTask, pool: ProcessPool) -> None:
    task = make_task()
    deaths, drawn, killed = pool.num_deaths, [], []  # type: int, list[int], list[int]
    plan = plan_of(task, epochs=60)

    def kill_once(draws: int) -> None:
        drawn.append(draws)
        if not killed:
            killed.append(pool.process_ids[0])
            os.kill(killed[0], signal.SIGKILL)

    pool.use(task, device=torch.device("cpu"), on_draws=kill_once)
    other = pool.process_ids[1]
    for name in ("a", "b", "c"):
        pool.submit(TrialRequest(name, torch.ones(160).double(), plan))
    found = collect_all(pool, 3)
    expected = run_trial(task, torch.ones(160).double(), plan)
    assert all(same(outcome, expected) for outcome in found.values())
    assert pool.num_deaths == deaths + 1
    assert killed[0] not in pool.process_ids
    assert other in pool.process_ids
    # what was trained twice is told once
    assert sum(drawn) == 3 * expected.num_draws


def test_a_search_with_a_killed_worker_counts_every_trial_once(
    make_task: MakeTask, pool: ProcessPool, tmp_path: Path
) -> None:
    task = make_task(noise=0.3, recipe={"epochs": 40})

    class Killer:
        """Kill a worker in the middle of the first trials."""

        deaths: ClassVar[list[int]] = []

        def begin(self, planned: float, unit: str = "epochs") -> None: ...

        def stage(self, name: str) -> None:
            self.name = name

        def advance(self, amount: float) -> None:
            if "trials" in self.name and not self.deaths:
                self.deaths.append(pool.process_ids[1])
                os.kill(self.deaths[0], signal.SIGKILL)

        def end(self) -> None: ...

    settings = replace(SMALL, rounds=1)
    result = search(task, settings=settings, out=tmp_path, executor=pool, progress=Killer())
    assert Killer.deaths[0] not in pool.process_ids
    assert [t.to_dict() for t in result.trials] == [
        t.to_dict() for t in search(task, settings=settings).trials
    ]
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "trials.log"))
    study = optuna.load_study(study_name="blobs", storage=optuna.storages.JournalStorage(backend))
    assert [trial.value for trial in study.trials] == [trial.score for trial in result.trials]


def test_trials_of_a_task_that_was_given_up_are_forgotten(make_task: MakeTask, pool: ProcessPool) -> None:
    pool.use(make_task(), device=torch.device("cpu"))
    for name in ("a", "b", "c"):
        pool.submit(TrialRequest(name, torch.ones(160).double(), plan_of(make_task(), epochs=40)))
    other = make_task(seed=1)
    pool.use(other, device=torch.device("cpu"))
    pool.submit(TrialRequest("a", torch.ones(160).double(), plan_of(other)))
    found = collect_all(pool, 1)
    assert same(found["a"], run_trial(other, torch.ones(160).double(), plan_of(other)))
    assert pool.collect() == []


def test_what_a_network_raises_is_raised_here(make_task: MakeTask, pool: ProcessPool) -> None:
    def refusing(logits: Tensor, labels: Tensor) -> Tensor:
        raise ValueError("no loss today")

    task = make_task(loss=refusing)
    pool.use(task, device=torch.device("cpu"))
    pool.submit(TrialRequest("a", torch.ones(160).double(), plan_of(task)))
    with pytest.raises(ValueError, match="no loss today") as caught:
        collect_all(pool, 1)
    assert "In a worker process" in caught.value.__notes__[0]
    # and both workers are there for the next task
    task = make_task()
    pool.use(task, device=torch.device("cpu"))
    for name in ("a", "b"):
        pool.submit(TrialRequest(name, torch.ones(160).double(), plan_of(task, epochs=20)))
    assert collect_all(pool, 2)["b"].status == "done"
    while pool.collect(timeout=0.1):
        pass
    assert [worker.job for worker in pool._workers] == [None, None]


def test_a_task_that_a_worker_cannot_read_is_one_clear_error(make_task: MakeTask, pool: ProcessPool) -> None:
    class Stubborn:
        """Leave this process, and enter no other."""

        def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
            return cross_entropy(logits, labels)

        def __reduce__(self) -> Any:
            return __import__, ("no_such_module",)

    task = make_task(loss=Stubborn())
    pool.use(task, device=torch.device("cpu"))
    pool.submit(TrialRequest("a", torch.ones(160).double(), plan_of(task)))
    with pytest.raises(WorkerError, match=r"take the task over \(ModuleNotFoundError.*no_such_module"):
        collect_all(pool, 1)


@pytest.mark.slow
def test_a_trial_that_kills_every_worker_is_given_up(
    make_task: MakeTask, pool: ProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localmin.sampling.execution.process_pool._MAX_ATTEMPTS", 2)

    def fatal(logits: Tensor, labels: Tensor) -> Tensor:
        os._exit(7)

    task = make_task(loss=fatal)
    pool.use(task, device=torch.device("cpu"))
    pool.submit(TrialRequest("trial-003", torch.ones(160).double(), plan_of(task)))
    with pytest.raises(WorkerError, match=r"given trial-003 ended with exit code 7 \(2 times\): if memory"):
        collect_all(pool, 1)
    # and the pool goes on with the next task
    task = make_task()
    pool.use(task, device=torch.device("cpu"))
    pool.submit(TrialRequest("a", torch.ones(160).double(), plan_of(task)))
    assert collect_all(pool, 1)["a"].status == "done"


def test_a_timeout_ends_the_waiting(make_task: MakeTask, pool: ProcessPool) -> None:
    def slow(logits: Tensor, labels: Tensor) -> Tensor:
        time.sleep(0.05)
        return cross_entropy(logits, labels)

    task = make_task(loss=slow)
    pool.use(task, device=torch.device("cpu"))
    pool.submit(TrialRequest("a", torch.ones(160).double(), plan_of(task)))
    assert pool.collect(timeout=0.01) == []
    assert collect_all(pool, 1)["a"].status == "done"


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="workers must be at least 1, got 0"):
        ProcessPool(0)
    with pytest.raises(InputError, match="at least 1 thread, got 0"):
        ProcessPool(1, threads=0)


def test_workers_and_an_executor_exclude_each_other(make_task: MakeTask, pool: ProcessPool) -> None:
    with pytest.raises(InputError, match="not both"):
        search(make_task(), settings=SMALL, workers=2, executor=pool)
