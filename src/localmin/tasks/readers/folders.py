"""A folder with one subfolder of images for each class."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from localmin.errors import DataError
from localmin.tasks.readers.image_tensor import read_images
from localmin.tasks.readers.labels import RawLabels
from localmin.tasks.readers.reading import Reading, ReadOptions

__all__ = ["find_parts", "read_folder"]

_IMAGE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
)
_TRAIN = "train"
# In the order of preference: a validation folder is the test set only if there is no other.
_TEST = ("test", "val", "valid", "validation")


def find_parts(folder: Path) -> tuple[Path, Path | None]:
    """Tell a folder of class folders from one with ``train/`` and ``test/``.

    Args:
        folder: An existing folder.

    Returns:
        The folders of class folders for training and, if there is one, for the test.
    """
    names = {child.name for child in _folders(folder)}
    if _TRAIN not in names or not names <= {_TRAIN, *_TEST} or not _folders(folder / _TRAIN):
        return folder, None
    test = next((name for name in _TEST if name in names), None)
    return folder / _TRAIN, None if test is None else folder / test


def read_folder(folder: Path, options: ReadOptions) -> Reading:
    """Read a folder of class folders; images may lie at any depth below their class.

    Hidden files, hidden folders and files that are no images by their name are passed over.

    Args:
        folder: An existing folder.
        options: How images are to be read.

    Returns:
        Its examples, named by their path within the folder, in alphabetical order.

    Raises:
        DataError: If there are no class folders, or one of them has no images.
    """
    if options.label is not None and options.training is None:
        raise DataError(f"{folder} is a folder: its class folders are the labels; leave out the label column")
    classes = _folders(folder)
    if not classes:
        raise DataError(f"{folder} {_why_no_classes(folder)}")
    files: list[Path] = []
    codes: list[int] = []
    for code, child in enumerate(classes):
        found = list(_images(child))
        if not found:
            raise DataError(f"class folder {child} has no images; add some or remove it")
        files += found
        codes += [code] * len(found)
    images = _ImageFiles(tuple(files))
    tensor = read_images(
        images, source=str(folder.resolve()), version=_version(folder, files), options=options.images
    )
    return Reading(
        folder,
        tensor.pixels,
        RawLabels(tuple(child.name for child in classes), np.array(codes, dtype=np.int64)),
        tuple(file.relative_to(folder).as_posix() for file in files),
        form=tensor.form,
    )


@dataclass(frozen=True)
class _ImageFiles:
    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Path]:
        return iter(self.files)

    def describe(self, index: int) -> str:
        return str(self.files[index])


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _images(folder: Path) -> Iterator[Path]:
    for child in sorted(folder.iterdir()):
        if child.name.startswith("."):
            continue
        if child.is_dir():
            yield from _images(child)
        elif child.suffix.lower() in _IMAGE_SUFFIXES:
            yield child


def _why_no_classes(folder: Path) -> str:
    names = sorted(child.name for child in folder.iterdir() if not child.name.startswith("."))
    if not names:
        return "is empty; expected one folder of images for each class"
    tables = [name for name in names if Path(name).suffix in (".parquet", ".csv", ".npz")]
    if tables:
        return f"has no class folders; to read {tables[0]}, name that file"
    return (
        f"has no class folders, only files such as {names[0]}; expected one folder of images for each class"
    )


def _version(folder: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        about = file.stat()
        name = file.relative_to(folder).as_posix()
        digest.update(f"{name}\0{about.st_size}\0{about.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
