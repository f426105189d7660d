from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from localmin.errors import InputError, RunFolderError
from localmin.sampling import Policy, PolicySpace, get_form, search, train
from localmin.sampling.feature_run import run_features
from localmin.sampling.settings import PRESETS
from localmin.sampling.transfer import carried_weights, check_support, train_run
from localmin.sampling.transfer_files import write_training
from localmin.tasks import Task
from localmin.tasks.storage import read_tensors, write_tensors
from localmin.tasks.training import mix_seed

MakeTask = Callable[..., Task]
QUICK = replace(PRESETS["quick"], cuts=(1.2, 0.6))


def policy_of(task: Task, keep: float = 0.6, name: str = "d") -> Policy:
    table, _ = run_features(task, source="epoch-mean", epochs=2, seed=9, model_seed=9)
    space = PolicySpace.fit(get_form(name), table, task.train.labels, num_classes=task.num_classes)
    return space.policy(space.form.cut(keep))


def test_the_ten_numbers_are_placed_among_the_features_of_the_target(make_task: MakeTask) -> None:
    source, target = make_task(noise=0.3), make_task(noise=0.3, seed=5, dropout=0.1)
    policy = policy_of(source)
    result = train_run(target, policy=policy, seed=2)
    table, _ = run_features(
        target, source="epoch-mean", epochs=2, seed=mix_seed(2, 1, 2), model_seed=mix_seed(2, 0, 1)
    )
    for transfer, refit in (("recompute", True), ("tables", False)):
        result = train_run(target, policy=policy, transfer=transfer, seed=2)  # type: ignore[arg-type]
        expected = policy.weights(table, target.train.labels, num_classes=4, refit=refit)
        assert result.weights is not None
        torch.testing.assert_close(result.weights, expected)
    assert (result.feature_epochs, result.training_epochs, result.num_steps) == (2.0, 4.0, 40)


def test_a_searched_policy_trains_as_the_searched_arm_did(make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task(noise=0.4, sizes=(240, 100, 60), spread=0.8, recipe={"epochs": 20, "lr": 0.2})
    found = search(task, seed=1, settings=QUICK, out=tmp_path)
    assert found.recommendation == "searched"
    weights = carried_weights(tmp_path, task)
    result = train_run(task, weights=weights, transfer="probabilities", seed=1)
    for name, value in found.model.state_dict().items():
        assert torch.equal(result.model.state_dict()[name], value)
    assert result.scores["test"] == found.arms["searched"].test
    # probabilities belong to examples
    with pytest.raises(InputError, match="not those of"):
        carried_weights(tmp_path, make_task(noise=0.4, sizes=(240, 100, 60), seed=3))
    with pytest.raises(InputError, match="not those of"):
        carried_weights(tmp_path, make_task())
    with pytest.raises(RunFolderError):
        carried_weights(tmp_path / "missing", task)
    write_tensors(tmp_path / "features.safetensors", {"x": torch.zeros(1)})
    with pytest.raises(InputError, match="not the run folder of a search"):
        carried_weights(tmp_path, task)


def test_uniform_training_has_no_feature_run(make_task: MakeTask) -> None:
    model, history = train(make_task(), seed=0)
    assert history["feature_epochs"] == 0
    assert history["effective_examples"] is None
    assert not model.training
    again, _ = train(make_task(), seed=0)
    assert torch.equal(again.out.weight, model.out.weight)  # type: ignore[union-attr, arg-type]
    other, _ = train(make_task(), seed=1)
    assert not torch.equal(other.out.weight, model.out.weight)  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": "POLICY", "weights": torch.ones(160)}, "not both"),
        ({"transfer": "magic"}, "unknown transfer"),
        ({"policy": "POLICY", "transfer": "probabilities"}, "give its run folder"),
        ({"transfer": "probabilities"}, "give its run folder"),
        ({"weights": torch.ones(100)}, "100 weights for 160 training examples"),
        ({"weights": torch.ones(200)}, "200 weights for 160 training examples"),
        ({"weights": -torch.ones(160)}, r"weights\[0\]"),
        ({"weights": torch.full((160,), torch.nan)}, "nan"),
        ({"weights": torch.zeros(160)}, "nothing can be drawn"),
        ({"optimizer": "magic"}, "unknown optimizer"),
        ({"policy": "missing.json"}, "does not exist"),
    ],
)
def test_bad_input_is_refused_before_the_folder_is_made(
    make_task: MakeTask, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    task = make_task()
    if arguments.get("policy") == "POLICY":
        arguments = arguments | {"policy": policy_of(task)}
    with pytest.raises(InputError, match=message):
        train_run(task, out=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_two_classes_refuse_a_policy_that_reads_what_they_lack(make_task: MakeTask, tmp_path: Path) -> None:
    policy = policy_of(make_task())
    policy.save(tmp_path / "policy.json")
    for transfer in ("recompute", "tables"):
        with pytest.raises(InputError, match="use form a"):
            train_run(
                make_task(num_classes=2),
                policy=tmp_path / "policy.json",
                transfer=transfer,
                out=tmp_path / "run",
            )
    assert not (tmp_path / "run").exists()
    assert train_run(make_task(num_classes=2), policy=policy_of(make_task(), name="a")).weights is not None


def test_a_batch_larger_than_the_support_is_refused(make_task: MakeTask) -> None:
    few = torch.zeros(160)
    few[:15] = 1
    with pytest.raises(
        InputError, match=r"draws from 15 examples \(15 effective\), fewer than a batch of 16"
    ):
        train_run(make_task(), weights=few)
    few[15] = 1
    assert train_run(make_task(), weights=few).num_steps == 40
    uneven = torch.full((160,), 1e-6)
    uneven[:3] = 1
    with pytest.raises(InputError, match=r"160 examples \(3 effective\)"):
        check_support(uneven, 16)


def test_weights_may_be_lists_or_arrays(make_task: MakeTask) -> None:
    table = np.linspace(0.5, 1, 160)
    kinds = [table, table.tolist(), torch.from_numpy(table)]
    losses = [train(make_task(), weights=kind, seed=0)[1]["losses"] for kind in kinds]
    assert losses[0] == losses[1] == losses[2]


def test_a_killed_training_goes_on_and_other_jobs_are_refused(make_task: MakeTask, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    class Bomb:
        def __init__(self, left: int) -> None:
            self.left = left

        def begin(self, planned: float, unit: str = "epochs") -> None: ...

        def stage(self, name: str) -> None: ...

        def advance(self, amount: float) -> None:
            self.left -= 1
            if self.left == 0:
                raise Killed

        def end(self) -> None: ...

    task = make_task(noise=0.2)
    policy = policy_of(task)
    whole = train_run(task, policy=policy, seed=0)
    for left in (1, 3, 4):
        with pytest.raises(Killed):
            train_run(task, policy=policy, seed=0, out=tmp_path, progress=Bomb(left))
    resumed = train_run(task, policy=policy, seed=0, out=tmp_path)
    assert resumed.to_dict() == whole.to_dict()
    shifted = replace(policy, transforms=tuple(replace(t, values=t.values + 1) for t in policy.transforms))
    weights = torch.ones(160).double()
    weights[0] = 0.5
    for changes in (
        {"policy": policy, "seed": 1},
        {"policy": policy, "transfer": "tables"},
        {"policy": shifted},
        {"policy": None},
        {"policy": None, "weights": weights},
        {"policy": policy, "optimizer": "adam"},
    ):
        with pytest.raises(RunFolderError, match="another job"):
            train_run(task, out=tmp_path, **changes)


def test_permuted_weights_are_another_job(make_task: MakeTask, tmp_path: Path) -> None:
    weights = torch.linspace(0.5, 1, 160)
    train_run(make_task(), weights=weights, out=tmp_path)
    with pytest.raises(RunFolderError, match="weights"):
        train_run(make_task(), weights=weights.flip(0), out=tmp_path)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", lambda p: torch.optim.RMSprop(p, lr=1e-3)])
def test_the_optimiser_is_the_one_that_was_asked_for(make_task: MakeTask, optimizer: Any) -> None:
    task = make_task(recipe={"lr": 0.01})
    _, plain = train(task, seed=0)
    _, changed = train(task, seed=0, optimizer=optimizer)
    assert plain["losses"] != changed["losses"]
    assert plain["losses"][-1] < 3
    assert changed["losses"][-1] < 3


def test_a_training_that_diverges_is_a_status_in_json(make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task(recipe={"lr": 1e30})
    for out in (None, tmp_path):
        result = train_run(task, seed=0, out=out)
        assert result.diverged
        assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["losses"] == [None]
    write_training(tmp_path, task, result)
    assert json.loads((tmp_path / "result.json").read_text())["diverged"] is True


def test_the_files_of_a_training(make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task()
    weights = torch.linspace(0.5, 1, 160).double()
    write_training(tmp_path / "a", task, train_run(task, weights=weights))
    assert torch.equal(read_tensors(tmp_path / "a" / "features.safetensors")["weights"], weights)
    assert torch.equal(carried_weights(tmp_path / "a", task), weights)
    assert json.loads((tmp_path / "a" / "model.json").read_text())["trained_by"] == "policy"
    write_training(tmp_path / "b", task, train_run(task))
    assert not (tmp_path / "b" / "features.safetensors").exists()
    assert json.loads((tmp_path / "b" / "model.json").read_text())["trained_by"] == "uniform"
