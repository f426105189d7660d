"""The program in this process, and disks that are full or read-only."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from localmin.cli import main

# Seconds, what was typed, and where: the only things that may differ.
_MAY_DIFFER = ("seconds", "command", "out", "folder", "versions", "source")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    def result(self) -> Any:
        """Read what it printed for programs, without what may differ."""
        # 1 is an answer too: the result says no.
        assert self.code in (0, 1), self.err
        return without_time(json.loads(self.out))

    def complaint(self) -> str:
        """Give the one line of a command that refuses."""
        assert self.code == 2, (self.code, self.err)
        assert self.out == ""
        assert "Traceback" not in self.err
        line = self.err.strip().splitlines()[-1]
        assert line.startswith("localmin: ")
        assert self.err.count("localmin: ") == 1
        return line


Program = Callable[..., Ended]


def without_time(content: Any) -> Any:
    """Drop seconds, places and versions."""
    if isinstance(content, dict):
        return {k: without_time(v) for k, v in content.items() if k not in _MAY_DIFFER}
    return [without_time(value) for value in content] if isinstance(content, list) else content


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """Run the program in a folder of its own, with a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        out, err = capsys.readouterr()
        return Ended(int(stop.value.code or 0), out, err)

    return run


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no disk can be mounted here ({done.stderr.strip() or 'mount failed'})")


class Disk:
    """A small disk of its own, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, kilobytes: int) -> None:
        """Give it another size."""
        _mount("-o", f"remount,size={kilobytes}k", str(self.folder))

    def make_read_only(self) -> None:
        """Refuse all writing from now on."""
        _mount("-o", "remount,ro", str(self.folder))

    def make_writable(self) -> None:
        """Permit writing again."""
        _mount("-o", "remount,rw", str(self.folder))

    def free(self) -> int:
        """Count the bytes that are free."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A real file system of 64 MiB that a test may fill; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder))
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


Compare = Callable[[Path, Path], None]


@pytest.fixture
def check_same_files() -> Compare:
    """Compare the tensors of two run folders, file by file, and see that nothing half-written is left."""

    def check(first: Path, second: Path) -> None:
        names = sorted(str(path.relative_to(first)) for path in first.rglob("*.safetensors"))
        assert names == sorted(str(path.relative_to(second)) for path in second.rglob("*.safetensors"))
        for name in names:
            one, other = load_file(first / name), load_file(second / name)
            assert one.keys() == other.keys(), name
            # An example that was never held out has NaN there.
            for key, tensor in one.items():
                assert torch.allclose(tensor, other[key], rtol=0, atol=0, equal_nan=True), (name, key)
        assert not list(second.rglob("*.part"))

    return check
