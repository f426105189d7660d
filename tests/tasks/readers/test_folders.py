from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from localmin.errors import DataError
from localmin.tasks.readers.folders import find_parts, read_folder
from localmin.tasks.readers.image_tensor import ImageOptions
from localmin.tasks.readers.reading import ReadOptions

if TYPE_CHECKING:
    from tests.tasks.readers.conftest import Pictures


def test_class_folders_are_labels_and_files_are_names(tmp_path: Path, pictures: Pictures) -> None:
    root = pictures.folder(tmp_path / "pets", {"dog": 3, "cat": 2})
    found = read_folder(root, ReadOptions())
    assert found.identifiers == ("cat/000.png", "cat/001.png", "dog/000.png", "dog/001.png", "dog/002.png")
    assert [found.classes.values[code] for code in found.classes.codes] == ["cat", "cat", "dog", "dog", "dog"]
    # The dogs were drawn first.
    for index, drawn in enumerate((3, 4, 0, 1, 2)):
        expected = np.asarray(pictures.draw(drawn)).transpose(2, 0, 1)
        np.testing.assert_array_equal(found.inputs[index].numpy(), expected)


def test_kinds_of_files_depth_and_what_is_passed_over(tmp_path: Path, pictures: Pictures) -> None:
    root = pictures.folder(tmp_path, {"a": 1, "b": 1})
    (root / "a" / "deep" / "er").mkdir(parents=True)
    pictures.draw(5).save(root / "a" / "deep" / "er" / "x.JPG", "JPEG")
    pictures.draw(6).save(root / "a" / "y.bmp")
    for passed_over in ("a/.hidden.png", "a/notes.txt", ".git/x.png", "a/.thumbs/x.png", "readme.md"):
        (root / passed_over).parent.mkdir(exist_ok=True)
        (root / passed_over).write_text("no image")
    found = read_folder(root, ReadOptions())
    assert found.identifiers == ("a/000.png", "a/deep/er/x.JPG", "a/y.bmp", "b/000.png")


def test_folders_named_by_numbers_count_as_numbers(tmp_path: Path, pictures: Pictures) -> None:
    root = pictures.folder(tmp_path, {"10": 1, "9": 1})
    assert read_folder(root, ReadOptions()).classes.values == (10, 9)


def test_an_unreadable_image_is_named_by_its_file(tmp_path: Path, pictures: Pictures) -> None:
    root = pictures.folder(tmp_path, {"a": 2, "b": 2})
    (root / "b" / "000.png").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"/b/000\.png is not a readable image"):
        read_folder(root, ReadOptions())


def test_folders_without_images_or_classes_are_named(tmp_path: Path, pictures: Pictures) -> None:
    root = pictures.folder(tmp_path / "x", {"a": 1, "b": 0})
    with pytest.raises(DataError, match=r"class folder .*/b has no images"):
        read_folder(root, ReadOptions())
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="is empty; expected one folder of images for each class"):
        read_folder(empty, ReadOptions())
    with pytest.raises(DataError, match=r"only files such as 000\.png"):
        read_folder(root / "a", ReadOptions())
    (empty / "train-0.parquet").write_text("")
    with pytest.raises(DataError, match=r"to read train-0\.parquet, name that file"):
        read_folder(empty, ReadOptions())


def test_a_folder_has_no_label_column(tmp_path: Path, pictures: Pictures) -> None:
    root = pictures.folder(tmp_path, {"a": 1, "b": 1})
    with pytest.raises(DataError, match="leave out the label column"):
        read_folder(root, ReadOptions(label="label"))


@pytest.mark.parametrize(
    ("names", "train", "test"),
    [
        (["cat", "dog"], ".", None),
        (["train", "test"], "train", "test"),
        (["train", "test", "val"], "train", "test"),
        (["train", "val"], "train", "val"),
        (["train", "validation"], "train", "validation"),
        (["train"], "train", None),
        (["train", "plane"], ".", None),
        (["test", "val"], ".", None),
    ],
)
def test_train_and_test_folders_are_told_from_classes(
    tmp_path: Path, names: list[str], train: str, test: str | None
) -> None:
    for name in names:
        (tmp_path / name / "class").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    assert find_parts(tmp_path) == (tmp_path / train, None if test is None else tmp_path / test)


def test_a_class_named_train_holds_images_not_folders(tmp_path: Path, pictures: Pictures) -> None:
    root = pictures.folder(tmp_path, {"train": 2, "test": 2})
    assert find_parts(root) == (root, None)


def test_the_cache_notices_every_change(tmp_path: Path, pictures: Pictures) -> None:
    root = pictures.folder(tmp_path / "pets", {"a": 3, "b": 3}, kind="bmp")
    options = ReadOptions(images=ImageOptions(cache=tmp_path / "cache"))
    first = read_folder(root, options).inputs
    assert torch.equal(read_folder(root, options).inputs, first)
    # Same name and size, another picture and another time.
    assert (root / "a" / "000.bmp").stat().st_size == (root / "b" / "000.bmp").stat().st_size
    shutil.copyfile(root / "b" / "000.bmp", root / "a" / "000.bmp")
    os.utime(root / "a" / "000.bmp", ns=(1, 1))
    changed = read_folder(root, options).inputs
    assert torch.equal(changed[0], changed[3])
    (root / "a" / "001.bmp").rename(root / "a" / "zzz.bmp")
    renamed = read_folder(root, options).inputs
    assert torch.equal(renamed[2], first[1])
    (root / "b" / "000.bmp").unlink()
    assert len(read_folder(root, options).inputs) == 5
    assert len(list((tmp_path / "cache").iterdir())) == 1
