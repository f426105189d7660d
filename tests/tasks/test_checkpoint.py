from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from localmin.errors import RunFolderError
from localmin.tasks.checkpoint import CheckpointFile


def test_nested_state_comes_back(tmp_path: Path) -> None:
    state: dict[str, Any] = {
        "epoch": 3,
        "name": "ä",
        "none": None,
        "list": [1.5, True, [torch.arange(3)]],
        "inner": {"weights": torch.randn(2, 3, dtype=torch.float64), 7: {"x": torch.tensor(2)}},
        "empty": {},
    }
    file = CheckpointFile(tmp_path / "deep" / "a.safetensors")
    file.save(state)
    found = CheckpointFile(file.path).load()
    assert found is not None
    assert torch.equal(found["list"][2][0], torch.arange(3))
    assert torch.equal(found["inner"]["weights"], state["inner"]["weights"])
    assert found["inner"][7]["x"].item() == 2
    assert {key: found[key] for key in ("epoch", "name", "none", "empty")} == {
        "epoch": 3,
        "name": "ä",
        "none": None,
        "empty": {},
    }


def test_an_optimiser_continues_as_if_nothing_had_happened(tmp_path: Path) -> None:
    def steps(model: nn.Linear, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            model(torch.ones(1, 2)).square().sum().backward()
            optimizer.step()

    def start() -> tuple[nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = nn.Linear(2, 2)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1)

    straight, optimizer = start()
    steps(straight, optimizer, 7)
    model, optimizer = start()
    steps(model, optimizer, 3)
    file = CheckpointFile(tmp_path / "a")
    file.save({"model": dict(model.state_dict()), "optimizer": optimizer.state_dict()})
    resumed, optimizer = start()
    state = file.load()
    assert state is not None
    resumed.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    steps(resumed, optimizer, 4)
    assert torch.equal(straight.weight, resumed.weight)


def test_saving_is_due_after_the_interval(tmp_path: Path) -> None:
    assert CheckpointFile(tmp_path / "a", interval=0).is_due()
    file = CheckpointFile(tmp_path / "a", interval=3600)
    assert not file.is_due()


def test_no_file_a_removed_file_and_a_damaged_file(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "a")
    assert file.load() is None
    file.save({"a": torch.zeros(100)})
    file.path.write_bytes(file.path.read_bytes()[:50])
    with pytest.raises(RunFolderError, match="is damaged"):
        file.load()
    file.remove()
    file.remove()
    assert file.load() is None
