from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from localmin.tasks.readers.cache import CacheEntry, default_cache_folder

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 3, 4, 5), dtype=np.uint8)
EXTRA = {"form": [4, 5]}


def entry(folder: Path, version: str = "1", source: str = "/data/a.parquet") -> CacheEntry:
    return CacheEntry(folder, source, version)


def store(found: CacheEntry, pixels: np.ndarray[Any, Any] = PIXELS) -> None:
    found.store(pixels.shape, iter([pixels[:4], pixels[4:]]), EXTRA)


@pytest.mark.parametrize("mapped_above", [0, 10**9])
def test_what_is_stored_comes_back(tmp_path: Path, mapped_above: int) -> None:
    store(entry(tmp_path / "new" / "folder"))
    found = entry(tmp_path / "new" / "folder").load(mapped_above=mapped_above)
    assert found is not None
    pixels, extra = found
    assert torch.equal(pixels, torch.from_numpy(PIXELS))
    assert extra == EXTRA


def test_changing_a_mapped_tensor_does_not_change_the_file(tmp_path: Path) -> None:
    store(entry(tmp_path))
    first = entry(tmp_path).load(mapped_above=0)
    assert first is not None
    first[0].zero_()
    again = entry(tmp_path).load(mapped_above=0)
    assert again is not None
    assert torch.equal(again[0], torch.from_numpy(PIXELS))


def test_a_mapping_survives_the_removal_of_the_file(tmp_path: Path) -> None:
    store(entry(tmp_path))
    found = entry(tmp_path).load(mapped_above=0)
    entry(tmp_path).path.unlink()
    assert found is not None
    assert torch.equal(found[0], torch.from_numpy(PIXELS))


def test_another_version_is_not_found_and_takes_its_place(tmp_path: Path) -> None:
    store(entry(tmp_path, "1"))
    assert entry(tmp_path, "2").load(mapped_above=0) is None
    store(entry(tmp_path, "2"), 255 - PIXELS)
    assert len(os.listdir(tmp_path)) == 1
    assert entry(tmp_path, "1").load(mapped_above=0) is None
    assert entry(tmp_path, "1", "/data/b.parquet").load(mapped_above=0) is None


@pytest.mark.parametrize("damage", ["cut", "longer", "text", "other format", "empty", "wrong types"])
def test_a_damaged_entry_is_none(tmp_path: Path, damage: str) -> None:
    store(entry(tmp_path))
    path = entry(tmp_path).path
    content = path.read_bytes()
    changed = {
        "cut": content[:-1],
        "longer": content + b"x",
        "text": b"hello " * 2000,
        "other format": content.replace(b'"format": 1', b'"format": 9'),
        "empty": b"",
        "wrong types": content.replace(b"[10, 3, 4, 5]", b'["x", 3, 4]  '[:13]),
    }[damage]
    assert changed != content
    path.write_bytes(changed)
    assert entry(tmp_path).load(mapped_above=0) is None


def test_an_error_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def chunks() -> Iterator[np.ndarray[Any, Any]]:
        yield PIXELS[:4]
        raise ValueError("bad image")

    with pytest.raises(ValueError, match="bad image"):
        entry(tmp_path).store(PIXELS.shape, chunks(), {})
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4200, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            store(entry(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_a_killed_process_leaves_nothing_harmful(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, pathlib, numpy as np\n"
        "from localmin.tasks.readers.cache import CacheEntry\n"
        "def chunks():\n"
        "    yield np.zeros((9, 3, 40, 50), np.uint8)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "CacheEntry(pathlib.Path(sys.argv[1]), '/data/a.parquet', '1').store((10, 3, 40, 50), chunks(), {})\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (leftover,) = os.listdir(tmp_path)
    assert leftover.endswith(".part")
    assert entry(tmp_path).load(mapped_above=0) is None
    # Another process may still be writing it: only after a day is it taken away.
    store(entry(tmp_path))
    assert leftover in os.listdir(tmp_path)
    yesterday = time.time() - 25 * 3600
    os.utime(tmp_path / leftover, (yesterday, yesterday))
    store(entry(tmp_path))
    assert os.listdir(tmp_path) == [entry(tmp_path).path.name]


def test_a_header_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        entry(tmp_path).store(PIXELS.shape, iter([PIXELS]), {"text": "x" * 5000})


def test_the_cache_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache_folder() == tmp_path / "xdg" / "localmin"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # The standard says that a relative path is to be ignored.
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert default_cache_folder() == tmp_path / "home" / ".cache" / "localmin"


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert default_cache_folder() is None
