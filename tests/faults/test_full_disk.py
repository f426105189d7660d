"""The disk fills up in the middle of a command: one clear line, and repeated it ends as if undisturbed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from localmin.cli import main
from localmin.errors import RunFolderError
from localmin.tasks.parcel import write_tensors
from localmin.tasks.readers import image_tensor

Program = Callable[..., Any]
SameFiles = Callable[[Path, Path], None]

_SEARCH = ("digits", "--noise", "0.4", "--limit", "300", "--batch-size", "64", "--epochs", "4")
JOBS = {
    "search": ("search", *_SEARCH, "--preset", "quick"),
    "train": ("train", "digits", "--limit", "300", "--epochs", "2"),
    "run": ("run", *_SEARCH, "--points", "30"),
    "reproduce": ("reproduce", "re-degenerate", "dl-nonlinear", "--quick"),
    "certify": ("certify", "RUN", "--escape", "--max-hvps", "20", "--examples", "20", "--max-rounds", "2"),
    "reduce": ("reduce", "RUN", "--points", "20"),
}
_PAGE = {"search": "report.html", "reproduce": "claims.html"}
_QUICK = ("reduce", "reproduce")


def arguments_of(name: str, program: Program) -> tuple[str, ...]:
    """Give the command; what it looks at is trained first."""
    if "RUN" in JOBS[name]:
        program("train", "digits", "--limit", "300", "--epochs", "1", "--out", "trained", "--json").result()
    return tuple("trained" if word == "RUN" else word for word in JOBS[name])


class FullDisk:
    """Let so many files be written, and refuse the rest, as a disk without room does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self.num_written = 0
        self._sync = os.fsync
        # Every file that counts is synced before it appears under its name.
        monkeypatch.setattr(os, "fsync", self._write)

    def _write(self, descriptor: int) -> None:
        if self.room is not None and self.num_written >= self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._sync(descriptor)
        self.num_written += 1

    def set_room(self, room: int | None) -> None:
        """Start counting anew."""
        self.room, self.num_written = room, 0


def stages(folder: Path) -> dict[str, bytes]:
    """Read the finished stages."""
    return {str(path): path.read_bytes() for path in folder.rglob("stages/*.json")}


def check_line(ended: Any, out: Path) -> None:
    line = ended.complaint()
    assert str(out) in line
    assert "the disk is full: free some space and repeat the command" in line


@pytest.mark.parametrize("name", ["search", "train", "certify"])
def test_no_file_more_can_be_written(
    name: str,
    program: Program,
    check_same_files: SameFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = arguments_of(name, program)
    full = FullDisk(monkeypatch)
    expected = program(*arguments, "--out", "whole", "--json").result()
    total, rooms = full.num_written, [0, 2, 7, 17, 30]
    before: dict[str, bytes] = {}
    for room in [room for room in rooms if room < total]:
        full.set_room(room)
        ended = program(*arguments, "--out", "broken", "--json")
        if ended.code in (0, 1):  # what was stored before was enough
            break
        check_line(ended, Path("broken"))
        after = stages(Path("broken"))
        assert before.items() <= after.items()  # nothing earlier is lost
        before = after
    full.set_room(None)
    assert program(*arguments, "--out", "broken", "--json").result() == expected
    check_same_files(Path("whole"), Path("broken"))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in _QUICK else pytest.mark.slow) for name in JOBS]
)
def test_a_real_disk_fills_up(
    name: str, program: Program, disk: Any, check_same_files: SameFiles, tmp_path: Path
) -> None:
    arguments = arguments_of(name, program)
    empty = disk.free()
    expected = program(*arguments, "--out", str(disk.folder / "whole"), "--json").result()
    used = (empty - disk.free()) // 1024
    assert used > 16
    refusals = 0
    for share in (0.0, 0.4, 0.9):
        # The whole run stands there too.
        disk.resize(used + 8 + round(share * used))
        ended = program(*arguments, "--out", str(disk.folder / "broken"), "--json")
        if ended.code not in (0, 1):
            check_line(ended, disk.folder / "broken")
            refusals += 1
    assert refusals >= 2
    disk.resize(65536)
    assert program(*arguments, "--out", str(disk.folder / "broken"), "--json").result() == expected
    check_same_files(disk.folder / "whole", disk.folder / "broken")


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_each_file_in_turn_is_the_one_that_does_not_fit(
    name: str,
    program: Program,
    check_same_files: SameFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = arguments_of(name, program)
    full = FullDisk(monkeypatch)
    expected = program(*arguments, "--out", "whole", "--json").result()
    for room in range(full.num_written):
        out = Path(f"broken-{room}")
        full.set_room(room)
        check_line(program(*arguments, "--out", str(out), "--json"), out)
        full.set_room(None)
        assert program(*arguments, "--out", str(out), "--json").result() == expected
        check_same_files(Path("whole"), out)


@pytest.mark.parametrize("name", ["search", "reproduce"])
def test_the_page_does_not_fit(name: str, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    full = FullDisk(monkeypatch)
    assert program(*JOBS[name], "--out", "run").code == 0
    page = Path("run") / _PAGE[name]
    expected, total = page.read_bytes(), full.num_written
    page.write_bytes(b"an old page")
    again = ("report", "run") if name == "search" else (*JOBS[name], "--out", "run")
    full.set_room(None)
    program(*again)
    assert page.read_bytes() != b"an old page"
    total = full.num_written
    page.write_bytes(b"an old page")
    full.set_room(total - 1)
    check_line(program(*again), page)
    assert page.read_bytes() == b"an old page"
    full.set_room(None)
    assert program(*again).code == 0
    if name == "search":
        assert page.read_bytes() == expected


def test_what_is_sent_to_a_tracker_does_not_fit(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program(*JOBS["search"], "--out", "run", "--json").result()
    full = FullDisk(monkeypatch)
    full.set_room(0)
    arguments = ("track", "run", "--to", "jsonl", "--dir", "sent")
    check_line(program(*arguments), Path("sent"))
    assert not [path for path in Path("sent").rglob("*") if path.is_file()]
    full.set_room(None)
    assert program(*arguments).code == 0


def test_the_folder_of_temporary_files_is_full(disk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    disk.resize(64)
    with pytest.raises(RunFolderError, match=f"{disk.folder} cannot be written; the disk is full"):
        write_tensors([torch.zeros(100_000)])  # for workers
    assert not list(disk.folder.iterdir())


def test_a_home_that_is_full_costs_the_cache_alone(
    program: Program, disk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(disk.folder))
    monkeypatch.setattr(image_tensor, "MIN_CACHED_BYTES", 1)
    disk.resize(16)
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(60):
            pixels = generator.integers(0, 256, (20, 20), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    arguments = ("train", "photos", "--epochs", "1", "--batch-size", "16", "--json")
    full = program(*arguments, "--out", "full").result()
    assert not [path for path in disk.folder.rglob("*") if path.is_file()]
    disk.resize(65536)
    assert program(*arguments, "--out", "roomy").result() == full
    assert [path for path in disk.folder.rglob("*") if path.is_file()]


def test_standard_output_is_full() -> None:
    with Path("/dev/full").open("w") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "localmin", "reproduce", "--list", "--json"],
            stdout=stream, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("localmin: the disk is full; free some space and repeat the command")
    assert done.stderr.count("\n") == 1


def test_nobody_reads_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit) as stop:
            main(["reproduce", "--list", "--json"])
    assert stop.value.code == 1
