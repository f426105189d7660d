"""Two processes in one run folder: the second is told so in one line and changes nothing."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Program = Callable[..., Any]

_SMALL = ("digits", "--limit", "300", "--batch-size", "64", "--epochs", "4", "--noise", "0.4")
JOBS = {
    "search": ("search", *_SMALL, "--preset", "quick"),
    "search on seeds": ("search", *_SMALL, "--preset", "quick", "--seeds", "0-1"),
    "train": ("train", *_SMALL),
    "run": ("run", *_SMALL, "--points", "20"),
    "reproduce": ("reproduce", "dl-nonlinear", "re-degenerate", "--quick"),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_folder_in_which_another_process_works_is_refused(name: str, program: Program) -> None:
    folder = Path("run")
    folder.mkdir()
    half = folder / ".model.safetensors.x.part"
    half.write_bytes(b"what the other process is writing")
    with (folder / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        line = program(*JOBS[name], "--out", "run").complaint()
    assert line == "localmin: another process is working in run; wait for it or give another --out"
    assert sorted(path.name for path in folder.iterdir()) == [".lock", half.name]
    if name == "train":  # and when that process is gone, what it left half-written goes too
        program(*JOBS[name], "--out", "run", "--json").result()
        assert not half.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_of_two_real_processes_one_does_the_work(name: str, program: Program, tmp_path: Path) -> None:
    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "localmin", *JOBS[name], "--out", "run", "--json"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    expected = program(*JOBS[name], "--out", "alone", "--json").result()
    first = start()
    while first.poll() is None and not list(Path("run").glob("**/*.json")):
        time.sleep(0.01)
    # Its process is stopped in the middle, so that the second one meets it for certain.
    first.send_signal(signal.SIGSTOP)
    second = start()
    out, err = second.communicate(timeout=300)
    assert (second.returncode, out) == (2, "")
    assert "another process is working in run" in err.strip().splitlines()[-1]
    first.send_signal(signal.SIGCONT)
    out, err = first.communicate(timeout=300)
    assert first.returncode in (0, 1), err
    again = program(*JOBS[name], "--out", "run", "--json").result()
    assert again == expected
    assert json.loads(out)


def test_what_belongs_together_is_written_by_one_process_at_a_time(program: Program) -> None:
    program("train", *_SMALL, "--out", "run", "--json").result()
    command = [sys.executable, "-m", "localmin", "certify", "run", "--no-figures", "--json", "--out", "found"]
    folder = Path("found")
    folder.mkdir()
    with (folder / ".writing").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        second = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            second.communicate(timeout=6)
        assert not (folder / "certificate.json").exists()
    out, err = second.communicate(timeout=300)
    assert second.returncode in (0, 1), err
    assert json.loads(out)["verdict"] == json.loads((folder / "certificate.json").read_text())["verdict"]
