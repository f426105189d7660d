"""Every long command, killed at random moments: repeated, it ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

# Seconds, what was typed, and where: the only things that may differ.
_MAY_DIFFER = ("seconds", "command", "out", "folder", "versions")


@dataclass(frozen=True)
class Job:
    """A command, and the files that it leaves."""

    arguments: tuple[str, ...]
    files: tuple[str, ...] = ()
    needs_run: bool = False


JOBS = {
    "search": Job(
        ("search", "digits", "--noise", "0.4", "--epochs", "4", "--preset", "quick"),
        ("model.safetensors", "features.safetensors"),
    ),
    "train": Job(("train", "digits", "--epochs", "10"), ("model.safetensors",)),
    "run": Job(
        ("run", "digits", "--noise", "0.4", "--epochs", "4", "--limit", "400", "--points", "60"),
        ("model.safetensors", "afterwards/ending.safetensors"),
    ),
    "reproduce": Job(("reproduce", "dl-non-convex", "re-convex", "re-degenerate", "dl-nonlinear", "--quick")),
    "certify": Job(
        ("certify", "RUN", "--escape", "--max-hvps", "30", "--examples", "60", "--max-rounds", "2"),
        ("witness.safetensors",),
        needs_run=True,
    ),
    "reduce": Job(("reduce", "RUN", "--points", "30"), ("network.safetensors",), needs_run=True),
}


class Workplace:
    """Runs a job in a folder of its own, to the end or to its death."""

    def __init__(self, folder: Path, job: Job) -> None:
        self.folder, self.job = folder, job
        if job.needs_run:
            self.process("train", "digits", "--epochs", "2", "--out", "trained").wait()

    def process(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {"HOME": str(self.folder), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "localmin", *arguments],
            cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def start(self, out: str) -> subprocess.Popen[bytes]:
        arguments = [("trained" if word == "RUN" else word) for word in self.job.arguments]
        return self.process(*arguments, "--out", out, "--json")

    def finish(self, out: str) -> tuple[Any, float]:
        began = time.monotonic()
        process = self.start(out)
        printed, complaints = process.communicate(timeout=900)
        # 1 is an answer too: the result says no.
        assert process.returncode in (0, 1), complaints.decode()
        return json.loads(printed), time.monotonic() - began

    def kill_once(self, out: str, delay: float) -> bool:
        process = self.start(out)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode in (0, 1, -signal.SIGKILL)
        return process.returncode == -signal.SIGKILL


def without_time(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: without_time(v) for k, v in content.items() if k not in _MAY_DIFFER}
    return [without_time(value) for value in content] if isinstance(content, list) else content


def check_kills(folder: Path, name: str, *, num_kills: int) -> None:
    """Compare a run that was killed so many times, in several lives, with one that was left alone."""
    work = Workplace(folder, JOBS[name])
    expected, duration = work.finish("whole")
    moments = random.Random(name)
    kills, life = 0, 0
    while kills < num_kills:
        out = f"broken-{life}"
        # Sometimes early, sometimes late; a life ends when the command gets through.
        while kills < num_kills and work.kill_once(out, moments.uniform(0.3, 1.0) * duration):
            kills += 1
        found, _ = work.finish(out)
        assert without_time(found) == without_time(expected)
        for file in JOBS[name].files:
            first, second = load_file(folder / "whole" / file), load_file(folder / out / file)
            assert first.keys() == second.keys()
            # An example that was never held out has NaN there.
            for key, tensor in first.items():
                assert torch.allclose(tensor, second[key], rtol=0, atol=0, equal_nan=True), (file, key)
        assert not list((folder / out).rglob("*.part"))
        life += 1


@pytest.mark.parametrize("name", ["train"])
def test_killed_twice(name: str, tmp_path: Path) -> None:
    check_kills(tmp_path, name, num_kills=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_killed_fifty_times(name: str, tmp_path: Path) -> None:
    check_kills(tmp_path, name, num_kills=50)
