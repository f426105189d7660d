"""Folders in which nothing can be written: data may lie there, results may not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Program = Callable[..., Any]

_SMALL = ("--limit", "300", "--batch-size", "64", "--epochs", "2")
WRITERS = {
    "search": ("search", "digits", *_SMALL, "--preset", "quick"),
    "train": ("train", "digits", *_SMALL),
    "run": ("run", "digits", *_SMALL, "--points", "20"),
    "reproduce": ("reproduce", "dl-nonlinear", "--quick"),
}


@pytest.fixture
def locked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A folder, and what makes it read-only: a mounted disk for root, whom modes do not stop."""
    if os.geteuid() == 0:
        disk = request.getfixturevalue("disk")
        yield disk.folder, disk.make_read_only
        return
    folder = tmp_path / "locked"
    folder.mkdir()

    def lock() -> None:
        for place in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            place.chmod(0o555)

    try:
        yield folder, lock
    finally:
        for place in [folder, *folder.rglob("*")]:
            place.chmod(0o755)


Locked = tuple[Path, Callable[[], None]]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    before = contents(folder)
    yield
    assert contents(folder) == before


@pytest.mark.parametrize("name", WRITERS)
def test_results_cannot_be_written_there(name: str, program: Program, locked: Locked) -> None:
    folder, lock = locked
    lock()
    line = program(*WRITERS[name], "--out", str(folder / "run")).complaint()
    assert str(folder / "run") in line
    assert "choose another --out" in line


def test_a_run_that_became_read_only_is_left_alone_and_can_be_looked_at(
    program: Program, locked: Locked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, lock = locked
    run = folder / "run"
    first = program(*WRITERS["search"], "--out", str(run), "--json").result()
    lock()
    with unchanged(folder), monkeypatch.context() as patch:
        # They refuse before they begin.
        for work in ("localmin.certification.certify", "localmin.reduction.reduce_trained"):
            patch.setattr(work, None)
        for arguments in (
            (*WRITERS["search"], "--out", str(run)),
            ("report", str(run)),
            ("certify", str(run), "--max-hvps", "10", "--examples", "20"),
            ("reduce", str(run), "--points", "20"),
        ):
            line = program(*arguments).complaint()
            assert str(run) in line
            assert "choose another --out" in line
    with unchanged(folder):
        assert program("report", str(run), "--explain", "0").code == 0
        looked = ("--max-hvps", "10", "--examples", "20", "--no-figures", "--out", "certificate", "--json")
        program("certify", str(run), *looked).result()
        program("reduce", str(run), "--points", "20", "--out", "small", "--json").result()
        policy = ("--policy", str(run), "--out", "again", "--json")
        program(*WRITERS["train"], *policy).result()
    assert (tmp_path / "certificate" / "certificate.json").exists()
    assert (tmp_path / "small" / "network.safetensors").exists()
    assert first == program(*WRITERS["search"], "--out", "elsewhere", "--json").result()


@pytest.mark.parametrize("kind", ["images", "csv"])
def test_data_may_be_read_only(kind: str, program: Program, locked: Locked) -> None:
    folder, lock = locked
    generator = np.random.default_rng(0)
    if kind == "images":
        data = folder / "photos"
        for label, name in enumerate(("cat", "dog")):
            (data / name).mkdir(parents=True)
            for number in range(60):
                pixels = generator.integers(0, 90, (8, 8)) + 120 * label
                Image.fromarray(pixels.astype(np.uint8)).save(data / name / f"{number}.png")
    else:
        data = folder / "table.csv"
        rows = [f"{generator.random() + i % 2},{generator.random()},{i % 2}" for i in range(120)]
        data.write_text("\n".join(["a,b,label", *rows]))
    lock()
    with unchanged(folder):
        arguments = ("train", str(data), "--epochs", "1", "--batch-size", "16", "--out", "run", "--json")
        program(*arguments).result()
        looked = ("--max-hvps", "10", "--examples", "20", "--no-figures", "--json")
        program("certify", "run", *looked).result()
    assert Path("run", "model.safetensors").exists()
    assert Path("run", "certificate.json").exists()


def test_a_home_that_is_read_only_costs_the_cache_alone(
    program: Program, locked: Locked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from localmin.tasks.readers import image_tensor

    folder, lock = locked
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(image_tensor, "MIN_CACHED_BYTES", 1)
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(60):
            pixels = generator.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    lock()
    ended = program("train", "photos", "--epochs", "1", "--batch-size", "16", "--out", "run", "--json")
    ended.result()
    assert "Traceback" not in ended.err
    assert not list(folder.iterdir())
