from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from localmin.errors import RunFolderError
from localmin.sampling import Policy, search
from localmin.sampling.drop_report import make_drop_report
from localmin.sampling.run_files import THUMBNAILS, write_run
from localmin.sampling.settings import PRESETS
from localmin.tasks import Examples, Normalization, Task
from localmin.tasks.storage import read_tensors

MakeTask = Callable[..., Task]
QUICK = replace(PRESETS["quick"], cuts=(1.2, 0.6))


def test_a_run_leaves_everything_that_was_promised(make_task: MakeTask, tmp_path: Path) -> None:
    result = search(make_task(noise=0.3), settings=QUICK)
    write_run(tmp_path, result)
    assert Policy.load(tmp_path / "policy.json").to_dict() == result.policy.to_dict()
    assert Policy.load(tmp_path / "candidate.json").to_dict() == result.candidate.to_dict()
    arrays = read_tensors(tmp_path / "features.safetensors")
    assert torch.equal(arrays["features"], result.features.values)
    assert torch.equal(arrays["weights"], result.weights)
    assert torch.equal(arrays["labels"], result.task.train.labels)
    assert result.task.clean_train_labels is not None
    assert torch.equal(arrays["clean_labels"], result.task.clean_train_labels)
    assert "thumbnails" not in arrays
    model = json.loads((tmp_path / "model.json").read_text())
    assert model["trained_by"] == result.recommendation
    assert Normalization.from_dict(model["normalization"]) == result.task.normalization
    assert read_tensors(tmp_path / "model.safetensors").keys() == result.model.state_dict().keys()
    split = json.loads((tmp_path / "split.json").read_text())
    assert split["labels"]["train"] == result.task.train.labels.tolist()
    # what is written once can be written again, byte by byte
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_run(tmp_path, result)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_images_leave_thumbnails_of_the_suspects(make_task: MakeTask, tmp_path: Path) -> None:
    flat = make_task(noise=0.3)

    def images(examples: Examples) -> Examples:
        pixels = (40 * examples.inputs + 100).clamp(0, 255).to(torch.uint8)
        return Examples(pixels.view(-1, 1, 2, 4), examples.labels)

    task = Task(
        "images",
        images(flat.train),
        images(flat.validation),
        images(flat.test),
        lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, 4)),
        4,
        recipe=flat.recipe,
        clean_train_labels=flat.clean_train_labels,
    )
    result = search(task, settings=QUICK)
    weights = torch.ones(160).double()
    weights[:80] = 0
    result = replace(result, drop_report=make_drop_report(task, result.features, weights))
    write_run(tmp_path, result)
    shown = [example.index for example in result.drop_report.examples[:THUMBNAILS]]
    assert len(shown) == THUMBNAILS < result.drop_report.num_dropped == 80
    thumbnails = read_tensors(tmp_path / "features.safetensors").get("thumbnails")
    assert thumbnails is not None
    assert torch.equal(thumbnails, task.train.inputs[shown])


def test_a_folder_that_cannot_be_written_is_one_clear_error(make_task: MakeTask, tmp_path: Path) -> None:
    result = search(make_task(), settings=QUICK)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_run(tmp_path / "file", result)
