from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from localmin.cli import main
from localmin.errors import InputError, RunFolderError
from localmin.tasks.request import TaskRequest
from localmin.tasks.trained import open_trained

DIGITS = TaskRequest("digits", noise=0.2, recipe={"epochs": 1})


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path / "run"
    with pytest.raises(SystemExit) as stop:
        main(["train", "digits", "--noise", "0.2", "--epochs", "1", "--seed", "3", "--out", str(folder)])
    capsys.readouterr()
    assert stop.value.code == 0
    return folder


def test_a_run_gives_its_network_and_the_very_data_it_was_trained_on(run: Path) -> None:
    trained = open_trained(run)
    direct = DIGITS.open()(3)
    assert torch.equal(trained.task.train.labels, direct.train.labels)
    inputs, labels = trained.examples("test")
    accuracy = (trained.model(inputs).argmax(1) == labels).float().mean().item()
    assert accuracy == pytest.approx(json.loads((run / "result.json").read_text())["scores"]["test"])
    assert not trained.model.training


def test_a_limit_takes_evenly_spaced_examples(run: Path) -> None:
    trained = open_trained(run)
    everything, _ = trained.examples()
    some, labels = trained.examples(limit=3)
    assert len(some) == len(labels) == 3
    assert torch.equal(some[[0, 2]], everything[[0, -1]])
    with pytest.raises(InputError, match="train, validation, test"):
        trained.examples("all")


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_checkpoint_needs_its_data(tmp_path: Path, suffix: str) -> None:
    model = DIGITS.open()(0).build_model(5)
    path = tmp_path / f"net.{suffix}"
    save = save_file if suffix == "safetensors" else torch.save
    save(model.state_dict(), path)
    with pytest.raises(InputError, match="DATA"):
        open_trained(path)
    trained = open_trained(path, request=DIGITS)
    for name, value in model.state_dict().items():
        assert torch.equal(trained.model.state_dict()[name], value)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(DIGITS.open()(0).build_model(5), path)
    with pytest.raises(InputError, match="state_dict"):
        open_trained(path, request=DIGITS)


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({"1.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(InputError, match="does not fit the network mlp"):
        open_trained(path, request=DIGITS)


def test_data_that_changed_since_is_refused(run: Path) -> None:
    stored = json.loads((run / "task.json").read_text())
    stored["seed"] = 4
    (run / "task.json").write_text(json.dumps(stored))
    with pytest.raises(RunFolderError, match="has changed"):
        open_trained(run)


@pytest.mark.parametrize("content", ['{"request": {"colour": 1}, "seed": 0}', '{"seed": 0}', "[]", "{}"])
def test_a_damaged_description_is_refused(run: Path, content: str) -> None:
    (run / "task.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"task\.json"):
        open_trained(run)


def test_a_folder_without_a_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no finished training"):
        open_trained(tmp_path)
    with pytest.raises(RunFolderError, match="does not exist"):
        open_trained(tmp_path / "nowhere")
