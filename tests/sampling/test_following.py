from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from localmin.errors import InputError
from localmin.sampling import Policy, PolicySpace, get_form, train
from localmin.sampling.feature_table import FeatureTable
from localmin.sampling.following import FollowingSampler
from localmin.sampling.transfer import train_run
from localmin.tasks import Task
from localmin.tasks.checkpoint import CheckpointFile
from localmin.tasks.training import train_model

MakeTask = Callable[..., Task]
MakeTable = Callable[..., FeatureTable]


def cut_policy(task: Task, table: FeatureTable) -> Policy:
    form = get_form("a")
    space = PolicySpace.fit(form, table, task.train_groups, num_classes=task.num_groups)
    return space.policy(form.cut(0.7))


def test_weights_change_after_a_quarter_and_an_interrupted_run_is_the_same(
    make_task: MakeTask, make_table: MakeTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(noise=0.3, recipe={"epochs": 16})
    policy = cut_policy(task, make_table(160))
    start = torch.ones(160).double()
    seen = []

    class Spy(FollowingSampler):
        def __call__(self, generator: torch.Generator) -> torch.Tensor:
            seen.append(self.weights.clone())
            return super().__call__(generator)

    sampler = Spy(task, policy, start, 16)
    whole = train_model(task, task.train, sampler, seed=1, observer=sampler)
    assert all(torch.equal(weights, start) for weights in seen[:4])
    assert not any(torch.equal(weights, start) for weights in seen[4:])
    # By now wrong labels are drawn less than right ones.
    wrong = task.wrong_labels
    assert wrong is not None
    assert float(seen[-1][wrong].mean()) < 0.5 * float(seen[-1][~wrong].mean())

    class Killed(Exception):
        pass

    def stop(epoch: int, epochs: int) -> None:
        if epoch == 9:
            raise Killed

    file = CheckpointFile(tmp_path / "progress", interval=0)
    first = FollowingSampler(task, policy, start, 16)
    with pytest.raises(Killed):
        train_model(task, task.train, first, seed=1, observer=first, checkpoint=file, on_epoch=stop)
    second = FollowingSampler(task, policy, start, 16)
    resumed = train_model(task, task.train, second, seed=1, observer=second, checkpoint=file)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name])


def test_training_can_follow_a_policy_and_nothing_else(make_task: MakeTask, make_table: MakeTable) -> None:
    task = make_task(noise=0.3, recipe={"epochs": 8})
    policy = cut_policy(task, make_table(160))
    _, history = train(task, policy=policy, follow=True, seed=0)
    _, plain = train(task, policy=policy, seed=0)
    assert history["num_steps"] == plain["num_steps"]
    assert history["losses"] != plain["losses"]
    with pytest.raises(InputError, match="needs a policy and transfer recompute"):
        train_run(task, follow=True)
    with pytest.raises(InputError, match="needs a policy and transfer recompute"):
        train_run(task, policy=policy, transfer="tables", follow=True)
