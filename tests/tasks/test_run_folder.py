from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from localmin.errors import RunFolderError
from localmin.tasks import Examples, Task
from localmin.tasks.run_folder import RunFolder, fingerprint, task_identity


class Computation:
    """A stage that counts how often it is computed."""

    def __init__(self, content: dict[str, Any], tensors: dict[str, Tensor] | None = None) -> None:
        self.stage = content, tensors or {}
        self.count = 0

    def __call__(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        self.count += 1
        return self.stage


def test_a_stage_is_computed_once_also_by_the_next_process(tmp_path: Path) -> None:
    compute = Computation({"pair": (1, 2.5)}, {"x": torch.arange(3)})
    for _ in range(2):
        with RunFolder(tmp_path / "run", {"seed": 1}) as folder:
            for _ in range(2):
                content, tensors = folder.once("first", compute)
                assert content == {"pair": [1, 2.5]}
                assert torch.equal(tensors["x"], torch.arange(3))
    assert compute.count == 1


def test_without_a_path_everything_is_computed_and_looks_the_same() -> None:
    compute = Computation({"pair": (1, 2)})
    folder = RunFolder(None, {})
    assert folder.once("a", compute) == folder.once("a", compute) == ({"pair": [1, 2]}, {})
    assert compute.count == 2
    assert folder.checkpoint("a") is None


def test_a_stage_without_its_json_is_computed_again(tmp_path: Path) -> None:
    compute = Computation({"a": 1}, {"x": torch.zeros(2)})
    with RunFolder(tmp_path, {}) as folder:
        folder.once("s", compute)
        (tmp_path / "stages" / "s.json").unlink()
        folder.once("s", compute)
    assert compute.count == 2


def test_progress_is_removed_when_the_stage_is_done(tmp_path: Path) -> None:
    with RunFolder(tmp_path, {}) as folder:
        file = folder.checkpoint("s")
        assert file is not None
        file.save({"epoch": 1})
        assert file.path.exists()
        folder.once("s", Computation({}))
        assert not file.path.exists()


def test_the_run_of_another_job_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    RunFolder(tmp_path, {"seed": 1, "task": {"name": "a", "n": 3}}).close()
    with pytest.raises(RunFolderError, match="seed is 1 there and 2 here"):
        RunFolder(tmp_path, {"seed": 2, "task": {"name": "a", "n": 3}})
    with pytest.raises(RunFolderError, match="task: n is 3 there and 4 here"):
        RunFolder(tmp_path, {"seed": 1, "task": {"name": "a", "n": 4}})
    # A refused folder is not left locked.
    RunFolder(tmp_path, {"seed": 1, "task": {"name": "a", "n": 3}}).close()


def test_two_jobs_cannot_work_in_one_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path, {}), pytest.raises(RunFolderError, match="another process is working"):
        RunFolder(tmp_path, {})
    RunFolder(tmp_path, {}).close()


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_identity_is_one_clear_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunFolderError):
        RunFolder(tmp_path, {"a": 1})
    assert (tmp_path / "run.json").read_text() == content


def test_a_fingerprint_tells_inputs_labels_shape_and_type_apart() -> None:
    base = Examples(torch.arange(12.0).view(6, 2), torch.arange(6) % 2)
    changed = base.inputs.clone()
    changed[5, 1] += 1
    others = [
        Examples(changed, base.labels),
        Examples(base.inputs, 1 - base.labels),
        Examples(base.inputs.view(6, 1, 2), base.labels),
        Examples(base.inputs.double(), base.labels),
    ]
    prints = [fingerprint(examples) for examples in (base, *others)]
    assert len(set(prints)) == len(prints)
    assert fingerprint(base.subset(torch.arange(6))) == prints[0]


def test_nothing_but_the_run_is_left_in_the_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path, {"a": 1}) as folder:
        folder.once("s", Computation({}, {"x": torch.zeros(1)}))
    assert sorted(os.listdir(tmp_path)) == [".lock", "run.json", "stages"]
    assert sorted(os.listdir(tmp_path / "stages")) == ["s.json", "s.safetensors"]


def test_numbers_that_are_none_look_the_same_in_memory_and_in_a_folder(tmp_path: Path) -> None:
    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {"losses": [0.5, float("nan"), float("inf")]}, {}

    with RunFolder(tmp_path, {"job": 1}) as folder, RunFolder(None, {}) as memory:
        stored, held = folder.once("a", compute)[0], memory.once("a", compute)[0]
    assert stored == held == {"losses": [0.5, None, None]}


def test_a_path_that_cannot_be_a_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RunFolderError, match=r"cannot be written; .*choose another --out"):
            RunFolder(path, {})


def test_a_task_is_told_by_data_network_loss_and_clean_labels() -> None:
    examples = Examples(torch.zeros(4, 3), torch.arange(4) % 2)
    task = Task("t", examples, examples, examples, lambda: nn.Linear(3, 2), 2)
    identity = task_identity(task)
    assert json.loads(json.dumps(identity)) == json.loads(json.dumps(task_identity(replace(task))))
    others = [
        replace(task, model=lambda: nn.Sequential(nn.Linear(3, 2))),
        replace(task, model=lambda: nn.Linear(3, 2, bias=False)),
        replace(task, loss=lambda logits, labels: logits[:, 0]),
        replace(task, validation=examples.with_labels(1 - examples.labels)),
        replace(task, clean_train_labels=examples.labels),
        replace(task, clean_train_labels=1 - examples.labels),
        replace(task, metric="balanced-accuracy"),
    ]
    digests = {json.dumps(task_identity(other)) for other in (task, *others)}
    assert len(digests) == 1 + len(others)
