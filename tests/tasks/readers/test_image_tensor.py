from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from localmin.errors import DataError
from localmin.tasks.readers import image_tensor as module
from localmin.tasks.readers.image_tensor import ImageOptions, ImageTensor, read_images
from localmin.tasks.readers.images import ImageForm

if TYPE_CHECKING:
    from tests.tasks.readers.conftest import Pictures


class Encoded:
    """Images that count how often they are gone through."""

    def __init__(self, items: list[bytes]) -> None:
        self.items = items
        self.rounds = 0

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        self.rounds += 1
        return iter(self.items)

    def describe(self, index: int) -> str:
        return f"picture {index}"


@pytest.fixture
def encoded(pictures: Pictures) -> Encoded:
    return Encoded([pictures.png(i) for i in range(100)])


def read(images: Encoded, version: str = "1", **options: Any) -> ImageTensor:
    return read_images(images, source="/data/a", version=version, options=ImageOptions(**options))


def test_small_sets_are_decoded_again_and_not_kept(encoded: Encoded, cache_home: Path) -> None:
    first, second = read(encoded), read(encoded)
    assert torch.equal(first.pixels, second.pixels)
    assert first.pixels.shape == (100, 3, 16, 16)
    assert first.cached is None
    assert encoded.rounds == 4
    assert not cache_home.exists()


def test_larger_sets_are_kept_in_the_users_cache(
    encoded: Encoded, cache_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MIN_CACHED_BYTES", 1000)
    first = read(encoded)
    assert encoded.rounds == 2
    second = read(encoded)
    assert encoded.rounds == 2
    assert torch.equal(first.pixels, second.pixels)
    assert first.form == second.form == ImageForm(16, 16, 3, fits=False)
    assert first.cached == second.cached
    assert [child.parent for child in cache_home.rglob("*.images")] == [cache_home / "localmin"]
    read(encoded, version="2")
    assert encoded.rounds == 4


@pytest.mark.parametrize("how", ["size", "folder"])
def test_large_sets_and_a_given_folder_are_mapped(
    encoded: Encoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    options: dict[str, Any] = {}
    if how == "size":
        monkeypatch.setattr(module, "MIN_MAPPED_BYTES", 1000)
    else:
        options["cache"] = tmp_path / "mine"
    expected = read(Encoded(encoded.items)) if how == "folder" else None
    first = read(encoded, **options)
    second = read(encoded, **options)
    assert encoded.rounds == 2
    for found in (first, second):
        assert found.cached is not None
        found.pixels[0, 0, 0, 0] += 1  # copy-on-write: allowed, and not seen by others
    assert torch.equal(first.pixels, second.pixels)
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(first.cached) in maps.read_text()
    if expected is not None:
        assert torch.equal(first.pixels[1:], expected.pixels[1:])


def test_size_and_form_have_entries_of_their_own(encoded: Encoded, tmp_path: Path) -> None:
    read(encoded, cache=tmp_path)
    assert read(encoded, cache=tmp_path, size=(8, 9)).pixels.shape == (100, 3, 8, 9)
    grey = read(encoded, cache=tmp_path, form=ImageForm(16, 16, 1, fits=False))
    assert grey.pixels.shape == (100, 1, 16, 16)
    assert read(encoded, cache=tmp_path).pixels.shape == (100, 3, 16, 16)
    assert len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize("given", [True, False])
def test_a_cache_that_cannot_be_written_does_not_stop_the_job(
    encoded: Encoded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    given: bool,
) -> None:
    # A file where the folder should be: nobody, not even root, can write there.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(module, "MIN_CACHED_BYTES", 1000)
    steps: list[tuple[int, int]] = []
    with caplog.at_level(logging.WARNING):
        found = read(
            encoded,
            cache=tmp_path / "file" / "mine" if given else None,
            progress=lambda done, total: steps.append((done, total)),
        )
    assert found.cached is None
    assert found.pixels.shape == (100, 3, 16, 16)
    assert ("cannot be kept in" in caplog.text) is given
    assert steps[-1] == (200, 200)


def test_a_disk_that_fills_up_falls_back_to_memory(
    encoded: Encoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read(encoded).pixels

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for mapped in (10**9, 1000):
        monkeypatch.setattr(module, "MIN_CACHED_BYTES", 1000)
        monkeypatch.setattr(module, "MIN_MAPPED_BYTES", mapped)
        found = read(encoded)
        assert found.cached is None
        assert torch.equal(found.pixels, expected)
    assert not list(tmp_path.rglob("*.part"))


def test_an_unreadable_image_is_an_error_also_while_the_cache_is_written(
    encoded: Encoded, tmp_path: Path
) -> None:
    encoded.items[77] = encoded.items[77][:70]
    with pytest.raises(DataError, match="picture 77"):
        read(encoded, cache=tmp_path / "mine")
    assert os.listdir(tmp_path / "mine") == []


def test_progress_counts_headers_and_pixels_to_the_total(encoded: Encoded, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        steps.append((done, total))

    read(encoded, progress=progress, cache=tmp_path)
    assert [total for _, total in steps] == [200] * len(steps)
    done = [count for count, _ in steps]
    assert done == sorted(set(done))
    assert done[-1] == 200
    steps.clear()
    read(encoded, progress=progress, cache=tmp_path)
    assert steps == []
    read(encoded, progress=progress, form=ImageForm(16, 16, 3, fits=False))
    assert steps[-1] == (100, 100)
