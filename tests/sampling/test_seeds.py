from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from localmin.errors import InputError, RunFolderError
from localmin.sampling import load_result, search_seeds
from localmin.sampling.settings import PRESETS
from localmin.tasks import Task
from localmin.tasks.run_folder import RunFolder

MakeTask = Callable[..., Task]
QUICK = replace(PRESETS["quick"], cuts=(1.2, 0.6))


def test_one_seed_fills_the_folder_itself(make_task: MakeTask, tmp_path: Path) -> None:
    summary, results = search_seeds(
        lambda seed: make_task(seed=seed), [3], settings=QUICK, command="c", out=tmp_path
    )
    assert summary["seeds"] == [3]
    assert not list(tmp_path.glob("seed-*"))
    stored = load_result(tmp_path)
    assert stored.summary["command"] == "c"
    assert torch.equal(stored.weights, results[0].weights)


def test_several_seeds_have_folders_and_one_stands_for_all(make_task: MakeTask, tmp_path: Path) -> None:
    seeds = [0, 4]

    def make(seed: int) -> Task:
        return make_task(seed=seed, noise=0.3)

    summary, results = search_seeds(make, seeds, settings=QUICK, command="c", out=tmp_path)
    assert [result.seed for result in results] == seeds
    assert summary["uniform"]["test"]["values"] == [result.arms["uniform"].test for result in results]
    chosen = tmp_path / f"seed-{summary['policy_seed']}"
    for name in ("policy.json", "model.safetensors", "features.safetensors", "dropped.csv", "trials.log"):
        assert (tmp_path / name).read_bytes() == (chosen / name).read_bytes()
    assert json.loads((tmp_path / "result.json").read_text())["seeds"] == seeds
    assert json.loads((chosen / "result.json").read_text())["seeds"] == [summary["policy_seed"]]
    # more seeds go on in the same folder and keep what is there
    calls: list[int] = []

    def counted(seed: int) -> Task:
        calls.append(seed)
        return make(seed)

    more, _ = search_seeds(counted, [*seeds, 5], settings=QUICK, command="c", out=tmp_path)
    assert more["uniform"]["test"]["values"][:2] == summary["uniform"]["test"]["values"]
    assert calls == [0, 4, 5]
    with pytest.raises(RunFolderError, match="another job"):
        search_seeds(make, seeds, settings=PRESETS["quick"], command="c", out=tmp_path)
    with (
        RunFolder(tmp_path, {"job": "searches on several seeds", "settings": QUICK.to_dict()}),
        pytest.raises(RunFolderError, match="another process"),
    ):
        search_seeds(make, seeds, settings=QUICK, command="c", out=tmp_path)


def test_seeds_must_be_given_and_distinct(make_task: MakeTask) -> None:
    for seeds in ([], [1, 1]):
        with pytest.raises(InputError, match="distinct"):
            search_seeds(lambda seed: make_task(), seeds, settings=QUICK, command="c")
