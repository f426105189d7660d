from __future__ import annotations

import json
import math
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from localmin.errors import RunFolderError
from localmin.tasks.storage import read_json, read_tensors, write_bytes, write_json, write_tensors, write_text


@contextmanager
def small_files_only(num_bytes: int) -> Iterator[None]:
    """Make the system refuse larger files, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_json_comes_back_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.json"
    content = {"text": "ä", "list": [1, 2.5, None, True], "inner": {"x": []}}
    write_json(path, content)
    assert read_json(path) == content
    assert [child.name for child in path.parent.iterdir()] == ["c.json"]


def test_numbers_that_are_none_become_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [math.nan, (math.inf, 1.0)], "b": np.float64("nan"), 3: -math.inf})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [None, [None, 1.0]], "b": None, "3": None}


def test_tensors_come_back_with_shape_and_type(tmp_path: Path) -> None:
    tensors = {
        "a": torch.randn(3, 4).T,
        "b": torch.tensor([1, 2**40]),
        "c": torch.zeros(0, 2, dtype=torch.uint8),
        "d": torch.tensor(2.0, dtype=torch.float64, requires_grad=True),
    }
    write_tensors(tmp_path / "t.safetensors", tensors)
    back = read_tensors(tmp_path / "t.safetensors")
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)


def test_a_failed_write_keeps_the_old_content_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    write_text(path, "old")
    with small_files_only(1000), pytest.raises(RunFolderError, match="cannot be written") as error:
        write_bytes(path, b"x" * 100_000)
    assert "\n" not in str(error.value)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["kept.txt"]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="choose another --out"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    for read in (read_json, read_tensors):
        with pytest.raises(RunFolderError, match="does not exist"):
            read(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b'{"a": \xff')
    with pytest.raises(RunFolderError, match="is not JSON"):
        read_json(tmp_path / "bad")
    (tmp_path / "half").write_text('{"a": ')
    with pytest.raises(RunFolderError, match="is not JSON"):
        read_json(tmp_path / "half")
    with pytest.raises(RunFolderError, match="is not a safetensors file"):
        read_tensors(tmp_path / "half")


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
