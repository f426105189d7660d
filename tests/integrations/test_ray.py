"""Trials on a real Ray: started on this machine for the tests, one machine or several make-believe ones."""

from __future__ import annotations

import builtins
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from localmin.errors import InputError, MissingDependencyError, WorkerError
from localmin.integrations.ray import RayTrials
from localmin.sampling import SearchSettings, search
from localmin.sampling.execution import TrialRequest
from localmin.sampling.trial import TrialOutcome, TrialPlan, cross_fit_folds, run_trial
from localmin.tasks import Examples, Recipe, Task
from localmin.tasks.task import cross_entropy

pytest.importorskip("ray", reason="Ray is not installed")

_STORE = 80_000_000


def make_task(seed: int = 0, epochs: int = 2, **changes: Any) -> Task:
    generator = torch.Generator().manual_seed(seed)

    def part(count: int) -> Examples:
        labels = torch.arange(count) % 4
        noise = torch.randn(count, 40, generator=generator)
        return Examples(torch.eye(4, 40)[labels] * 3 + noise, labels)

    task = Task(
        "blobs", part(160), part(60), part(100), lambda: nn.Linear(40, 4), 4,
        recipe=Recipe(epochs=epochs, batch_size=16, lr=0.05),
    )  # fmt: skip
    return replace(task, **changes)


def plan_of(task: Task) -> TrialPlan:
    folds = cross_fit_folds(task.train.labels, share=0.5, num_folds=2, seed=0)
    return TrialPlan(folds, task.epochs, seed=1)


def same(first: TrialOutcome, second: TrialOutcome) -> bool:
    arrays = ("hits", "last_hits", "looks")
    return (first.status, first.num_draws) == (second.status, second.num_draws) and all(
        torch.equal(getattr(first, name), getattr(second, name)) for name in arrays
    )


def collect_all(trials: RayTrials, count: int) -> dict[str, TrialOutcome]:
    found: dict[str, TrialOutcome] = {}
    while len(found) < count:
        found |= dict(trials.collect(timeout=120))
    return found


class DiesOnce:
    """A loss that kills the process that computes it, the first time that anybody does."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        if not os.path.exists(self.marker):
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return cross_entropy(logits, labels)


@pytest.fixture(scope="module")
def trials() -> Iterator[RayTrials]:
    """A Ray of one machine, for all quick tests."""
    import ray

    ray.init(address="local", num_cpus=2, object_store_memory=_STORE, include_dashboard=False)
    yield RayTrials()
    ray.shutdown()


def test_outcomes_are_those_of_this_process(trials: RayTrials) -> None:
    task, drawn = make_task(), []  # type: Task, list[int]
    trials.use(task, device=torch.device("cpu"), on_draws=drawn.append)
    plan = plan_of(task)
    assert trials.has_room()
    weights = {name: torch.linspace(0.1 * k, 1, 160).double() for k, name in enumerate("abc", 1)}
    for name, weight in weights.items():
        trials.submit(TrialRequest(name, weight, plan))
    assert not trials.has_room()
    trials.submit(TrialRequest("rejected", torch.zeros(160).double(), plan))
    exploding = replace(plan, lr_scale=1e30)
    trials.submit(TrialRequest("diverged", torch.ones(160).double(), exploding))
    found = collect_all(trials, 5)
    for name, weight in weights.items():
        assert same(found[name], run_trial(task, weight, plan))
    assert found["rejected"].status == "rejected"
    assert same(found["diverged"], run_trial(task, torch.ones(160).double(), exploding))
    assert sum(drawn) >= 3 * plan.num_draws
    assert trials.collect() == []


def test_data_are_put_into_the_store_once(trials: RayTrials, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    sizes: list[int] = []
    real = ray.put

    def counting(value: Any) -> Any:
        if isinstance(value, tuple):
            sizes.append(sum(part[0].nbytes for part in value[1]))
        return real(value)

    monkeypatch.setattr(ray, "put", counting)
    task = make_task(seed=1)
    trials.use(task, device=torch.device("cpu"))
    for k in range(4):
        trials.submit(TrialRequest(str(k), torch.ones(160).double(), plan_of(task)))
    assert sizes[0] == (160 + 60 + 100) * 40 * 4
    assert sizes[1:] == [0] * 4  # the plans; their folds are small
    first = collect_all(trials, 4)
    assert same(first["0"], first["3"])


def test_a_network_whose_worker_was_killed_is_trained_again(trials: RayTrials, tmp_path: Path) -> None:
    marker = tmp_path / "died"
    task = make_task(loss=DiesOnce(marker))
    trials.use(task, device=torch.device("cpu"))
    trials.submit(TrialRequest("a", torch.ones(160).double(), plan_of(task)))
    found = collect_all(trials, 1)
    assert marker.exists()
    assert same(found["a"], run_trial(task, torch.ones(160).double(), plan_of(task)))


def test_what_a_network_raises_is_raised_here(trials: RayTrials) -> None:
    def refusing(logits: Tensor, labels: Tensor) -> Tensor:
        raise ValueError("no loss today")

    task = make_task(loss=refusing)
    trials.use(task, device=torch.device("cpu"))
    trials.submit(TrialRequest("a", torch.ones(160).double(), plan_of(task)))
    with pytest.raises(ValueError, match="no loss today"):
        collect_all(trials, 1)
    # and the next task finds nothing of this one
    trials.use(make_task(), device=torch.device("cpu"))
    assert trials.collect() == []


def test_a_share_that_no_machine_has_is_refused(trials: RayTrials) -> None:
    greedy = RayTrials(cpus=64)
    with pytest.raises(InputError, match="no machine of the Ray cluster has 64 CPUs and 0 GPUs"):
        greedy.use(make_task(), device=torch.device("cpu"))
    with pytest.raises(InputError, match="has 1 CPUs and 1 GPUs"):
        trials.use(make_task(), device=torch.device("cuda"))
    with pytest.raises(InputError, match="positive share"):
        RayTrials(cpus=0)


@pytest.mark.slow
def test_a_trial_that_kills_every_worker_is_given_up(trials: RayTrials) -> None:
    def fatal(logits: Tensor, labels: Tensor) -> Tensor:
        os._exit(7)

    task = make_task(loss=fatal)
    impatient = RayTrials(max_retries=1)
    impatient.use(task, device=torch.device("cpu"))
    impatient.submit(TrialRequest("trial-003", torch.ones(160).double(), plan_of(task)))
    with pytest.raises(WorkerError, match="trial-003 was lost 2 times on the Ray cluster"):
        collect_all(impatient, 1)


def test_without_ray_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "ray":
            raise ImportError
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingDependencyError, match=r"install localmin\[ray\]"):
        RayTrials()


@pytest.mark.slow
def test_a_search_goes_on_when_a_machine_is_lost(tmp_path: Path) -> None:
    import optuna
    import ray
    from ray.cluster_utils import Cluster

    ray.shutdown()
    settings = SearchSettings(cuts=(1.2, 0.7, 0.5), steps=4, refresh_cuts=2, top=2)
    task = make_task(epochs=60)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": _STORE})
    try:
        machines = [cluster.add_node(num_cpus=1, object_store_memory=_STORE) for _ in range(2)]
        advances = 0

        class Watch:
            """Take a machine away in the middle of the trials."""

            def begin(self, planned: float, unit: str = "epochs") -> None: ...

            def stage(self, name: str) -> None:
                self.name = name

            def advance(self, amount: float) -> None:
                nonlocal advances
                advances += "trials" in self.name
                if advances == 4:
                    lose = threading.Thread(target=cluster.remove_node, args=(machines[0],))
                    lose.start()

            def end(self) -> None: ...

        with RayTrials(cluster.address) as trials:
            result = search(task, settings=settings, out=tmp_path / "run", executor=trials, progress=Watch())
            assert len([node for node in ray.nodes() if node["Alive"]]) == 2  # the head and one machine
    finally:
        cluster.shutdown()
    whole = search(task, settings=settings)
    assert [trial.to_dict() for trial in result.trials] == [trial.to_dict() for trial in whole.trials]
    assert torch.equal(result.weights, whole.weights)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "run" / "trials.log"))
    study = optuna.load_study(study_name="blobs", storage=optuna.storages.JournalStorage(backend))
    assert len(study.trials) == settings.num_trials
