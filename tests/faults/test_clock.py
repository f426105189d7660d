"""The clock of the machine jumps: durations stay right, and no run is confused."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import localmin
from localmin.tasks.readers.cache import CacheEntry

Program = Callable[..., Any]

_SEARCH = ("search", "digits", "--noise", "0.4", "--limit", "300", "--batch-size", "64", "--epochs", "4")


def seconds_in(content: Any) -> list[float]:
    """Find every duration."""
    if isinstance(content, dict):
        own = [float(v) for k, v in content.items() if k == "seconds" and v is not None]
        return own + [s for value in content.values() for s in seconds_in(value)]
    return [s for value in content for s in seconds_in(value)] if isinstance(content, list) else []


def set_clock(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    """Let each look at the clock be so many seconds after the one before; negative runs backwards."""
    now = [1.8e9]

    def look() -> float:
        now[0] += step
        return now[0]

    monkeypatch.setattr(time, "time", look)
    monkeypatch.setattr(time, "time_ns", lambda: int(look() * 1e9))


@pytest.mark.parametrize("step", [-3600.0, 86400.0])
def test_a_search_that_is_taken_up_while_the_clock_jumps(
    step: float, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (*_SEARCH, "--preset", "quick", "--json")
    expected = program(*arguments, "--out", "whole").result()
    set_clock(monkeypatch, step)
    first = program(*arguments, "--out", "run")
    assert first.result() == expected
    found = seconds_in(json.loads(first.out))
    assert found
    assert all(0.0 <= one < 600.0 for one in found)
    for path in Path("run").rglob("*"):
        os.utime(path, (4e9, 4e9))  # written in the future
    Path("run", "result.json").unlink()
    Path("run", "stages", "trial-002.json").unlink()
    assert program(*arguments, "--out", "run").result() == expected


@pytest.mark.parametrize("step", [-3600.0, 86400.0])
def test_decoded_images_are_kept_and_leftovers_do_no_harm(
    step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, step)
    pixels = np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2)
    entry = CacheEntry(tmp_path, "photos", "1")
    leftover = tmp_path / f".{entry.path.name}.abc.part"
    for moment in (0.0, 4e9):
        leftover.write_bytes(b"half")
        os.utime(leftover, (moment, moment))
        entry.store(pixels.shape, [pixels], {})
        loaded = entry.load(mapped_above=0)
        assert loaded is not None
        assert np.array_equal(loaded[0].numpy(), pixels)
        # What is old is removed; what seems to come from the future may be someone's work.
        assert leftover.exists() is (moment > 0)


def test_durations_are_taken_from_clocks_that_never_go_back() -> None:
    root = Path(localmin.__file__).parent
    allowed = {Path("tasks/readers/cache.py")}  # compares with the age of a file, tested above
    sources = {path.relative_to(root): path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    looked = {
        path for path, text in sources.items() if re.search(r"time\.time(_ns)?\(|datetime\.now\(", text)
    }
    assert looked <= allowed
