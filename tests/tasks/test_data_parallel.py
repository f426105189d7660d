"""One training on two ranks of gloo, started by torchrun, against the same training in this process."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from localmin.errors import InputError
from localmin.tasks.data_parallel import current_ranks, data_parallel, is_launched

SCRIPT = Path(__file__).parent / "data_parallel_script.py"


def torchrun(*command: str, processes: int = 2) -> str:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*run, *command], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return done.stdout


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("data_parallel_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the leader of two ranks found."""
    folder = tmp_path_factory.mktemp("ranks")
    torchrun(str(SCRIPT), str(folder))
    content: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return content


def test_weights_are_those_of_one_process(found: dict[str, Any], script: ModuleType) -> None:
    # In float64 only rounding differs: 24 steps with batch norm, augmentation and label smoothing.
    expected = script.train()
    assert found["trained"]["draws"] == expected["draws"]
    np.testing.assert_allclose(found["trained"]["losses"], expected["losses"], rtol=1e-6)  # summed in float32
    assert found["trained"]["weights"].keys() == expected["weights"].keys()
    for name, values in expected["weights"].items():
        np.testing.assert_allclose(found["trained"]["weights"][name], values, atol=1e-10, err_msg=name)


def test_ranks_go_on_from_the_leaders_checkpoint(found: dict[str, Any]) -> None:
    # The second training found the progress of the first, of all epochs but the last.
    assert found["again"] == found["trained"]


def test_a_search_finds_the_same_scores(found: dict[str, Any], script: ModuleType) -> None:
    # float32 and ReLUs: a few of 300 + 500 examples per network may end on the other side of a border.
    expected = script.run_search()
    np.testing.assert_allclose(found["search"]["features"], expected["features"], atol=2e-3)
    np.testing.assert_allclose(found["search"]["scores"], expected["scores"], atol=0.005)
    for name, value in expected["arms"].items():
        assert found["search"]["arms"][name] == pytest.approx(value, abs=0.01)


def test_without_torchrun_a_process_leads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert not is_launched()
    with data_parallel() as leads:
        assert leads
        assert current_ranks() is None


def test_a_process_group_of_others_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    with pytest.raises(InputError, match="in use already"), data_parallel():
        pass
