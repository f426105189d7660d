"""A search that is killed at any moment goes on and ends as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

ARGUMENTS = ("search", "digits", "--noise", "0.4", "--epochs", "6", "--seeds", "0-1", "--preset", "quick")


def start(folder: Path, out: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"HOME": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "localmin", *ARGUMENTS, "--out", out, "--json"]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def without_time(content: Any) -> Any:
    """Drop what may differ: seconds, and the name of the run folder in the command."""
    if isinstance(content, dict):
        return {k: without_time(v) for k, v in content.items() if k not in ("seconds", "command")}
    if isinstance(content, list):
        return [without_time(value) for value in content]
    return content


def count_files(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*.json"))


def test_sigkill_at_many_moments(tmp_path: Path) -> None:
    whole = start(tmp_path, "whole")
    out, err = whole.communicate(timeout=300)
    assert whole.returncode == 0, err.decode()
    kills = 0
    # Kill whenever the next few files have appeared; each attempt goes on from the one before.
    for target in range(1, 40, 4):
        process = start(tmp_path, "broken")
        while process.poll() is None and count_files(tmp_path / "broken") < target:
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        if process.returncode == 0:
            break
    last = start(tmp_path, "broken")
    again, err = last.communicate(timeout=300)
    assert last.returncode == 0, err.decode()
    assert kills >= 3
    assert without_time(json.loads(again)) == without_time(json.loads(out))
    for name in ("policy.json", "dropped.csv", "trials.log", "split.json"):
        if name != "trials.log":
            assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    for name in ("model.safetensors", "features.safetensors"):
        first, second = load_file(tmp_path / "whole" / name), load_file(tmp_path / "broken" / name)
        assert first.keys() == second.keys()
        # An example that was never held out has NaN there.
        for key, tensor in first.items():
            assert torch.allclose(tensor, second[key], rtol=0, atol=0, equal_nan=True), key
    assert not list((tmp_path / "broken").rglob("*.part"))


def test_every_trial_stands_in_the_journal_once(tmp_path: Path) -> None:
    import optuna

    for target in (6, 8):
        process = start(tmp_path, "run")
        while process.poll() is None and count_files(tmp_path / "run") < target:
            time.sleep(0.01)
        process.kill()
        process.communicate()
    last = start(tmp_path, "run")
    _, err = last.communicate(timeout=300)
    assert last.returncode == 0, err.decode()
    from optuna.storages.journal import JournalFileBackend

    for seed in (0, 1):
        backend = JournalFileBackend(str(tmp_path / "run" / f"seed-{seed}" / "trials.log"))
        study = optuna.load_study(study_name="digits", storage=optuna.storages.JournalStorage(backend))
        assert len(study.trials) == 5
        assert [trial.user_attrs["kind"] for trial in study.trials] == ["uniform", *["cut"] * 4]


def test_a_second_process_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = start(tmp_path, "run")
    while first.poll() is None and count_files(tmp_path / "run") < 2:
        time.sleep(0.01)
    second = start(tmp_path, "run")
    _, err = second.communicate(timeout=300)
    first.communicate(timeout=300)
    assert first.returncode == 0
    if second.returncode != 0:
        assert second.returncode == 2
        assert b"another process is working" in err


def test_a_damaged_stage_is_named(tmp_path: Path) -> None:
    process = start(tmp_path, "run")
    process.communicate(timeout=300)
    stage = tmp_path / "run" / "seed-0" / "stages" / "trial-002.json"
    stage.write_text("{")
    again = start(tmp_path, "run")
    _, err = again.communicate(timeout=300)
    assert again.returncode == 2
    assert b"trial-002.json" in err
