"""NPZ files: arrays of features or images, and their labels."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from localmin.errors import DataError
from localmin.tasks.readers.columns import show_names
from localmin.tasks.readers.labels import RawLabels, Targets, labels_from_array
from localmin.tasks.readers.reading import Reading, ReadOptions, row_name

__all__ = ["Part", "holds_test_part", "read_npz"]

Part = Literal["train", "test"]
Array = np.ndarray[Any, Any]

_INPUT_NAMES = ("x", "inputs", "data", "features", "images")
_LABEL_NAMES = ("y", "labels", "label", "targets", "target", "classes", "class")


@dataclass(frozen=True)
class _Pair:
    inputs: str
    labels: str


def read_npz(path: Path, options: ReadOptions, *, part: Part = "train") -> Reading:
    """Read an NPZ file: two arrays, or two for training and two for the test.

    Usual names are ``x`` and ``y``, ``inputs`` and ``labels``, ``data`` and ``target``, ``images`` and
    ``labels``; also ``x_train``, ``y_train``, ``x_test``, ``y_test`` and the like. Otherwise a file with
    two arrays is understood when one of them can only be the labels.

    What the inputs are depends on their shape and type:

    * 2-D: a table, one row per example;
    * 4-D: images, channels second or last, whichever is smaller (second, if equal);
    * 3-D of 8-bit integers: grey images;
    * anything else is kept as it is.

    8-bit integers that are images stay so; everything else becomes single precision.

    Args:
        path: The file.
        options: Name of the array of labels; training data.
        part: Which arrays of a file that holds both.

    Returns:
        Its examples.

    Raises:
        DataError: If the file is damaged or holds pickled objects, or its arrays do not fit.
    """
    with _Archive(path) as archive:
        archive.names = [name for name in archive.names if name != options.clean_label]
        pair = _choose(archive, path, options.label, part)
        labels = archive.read(pair.labels)
        inputs = archive.read(pair.inputs)
        clean = _read_clean(archive, options, part)
    if inputs.ndim < 2:
        raise DataError(
            f"array {pair.inputs!r} of {path} has shape {inputs.shape}; features have one row per example"
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"array {pair.labels!r} of {path} has shape {labels.shape}; labels are one number or text per "
            "example (of one-hot rows, take argmax(1))"
        )
    if len(inputs) != len(labels):
        raise DataError(
            f"{path} has {len(inputs)} inputs in {pair.inputs!r} and {len(labels)} labels in {pair.labels!r}"
        )
    if len(labels) == 0:
        raise DataError(f"{path} holds no examples")
    where = f"array {pair.labels!r} of {path}"
    values = labels_from_array(labels, where=where, row=row_name, kind=options.kind)
    origin = {"inputs": pair.inputs, "label": pair.labels}
    right: RawLabels | Targets | None = None
    if clean is not None:
        if clean.shape != labels.shape:
            raise DataError(f"{path} has {len(clean)} labels in {options.clean_label!r} and {len(labels)} in "
                            f"{pair.labels!r}")  # fmt: skip
        kind = "regression" if isinstance(values, Targets) else "classification"
        right = labels_from_array(
            clean, where=f"array {options.clean_label!r} of {path}", row=row_name, kind=kind
        )
    return Reading(
        path, _to_inputs(inputs, pair.inputs, path), values, None, pair.labels, None, None, origin, right
    )


def _read_clean(archive: _Archive, options: ReadOptions, part: Part) -> Array | None:
    if options.clean_label is None or part == "test" or options.training is not None:
        return None
    if options.clean_label not in archive.archive:
        raise DataError(
            f"{archive.path} has no array {options.clean_label!r}; its arrays are {show_names(archive.names)}"
        )
    return archive.read(options.clean_label)


def holds_test_part(path: Path) -> bool:
    """Tell whether a file also has arrays for a test set.

    Args:
        path: An NPZ file that can be read.

    Returns:
        Whether it has.
    """
    with _Archive(path) as archive:
        return _named(archive.names, "test") is not None and _named(archive.names, "train") is not None


class _Archive:
    """An NPZ file whose arrays are read one by one, and never unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> _Archive:
        try:
            archive = np.load(self.path, allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.path} cannot be read as NPZ ({error}); it may be damaged") from error
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"{self.path} holds a single array; save inputs and labels with numpy.savez")
        self.archive: Mapping[str, Array] = archive
        self.names = list(archive)
        self._close = archive.close
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def read(self, name: str) -> Array:
        """Read one array."""
        try:
            array = self.archive[name]
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            if "allow_pickle" in str(error) or "Object arrays" in str(error):
                raise DataError(
                    f"array {name!r} of {self.path} holds pickled Python objects, which could run any code "
                    "when read; store numbers or fixed-width texts"
                ) from None
            raise DataError(f"array {name!r} of {self.path} is damaged ({error})") from error
        return np.asarray(array)


def _choose(archive: _Archive, path: Path, label: str | None, part: Part) -> _Pair:
    names = archive.names
    if label is not None and part == "train":
        if label not in names:
            raise DataError(f"{path} has no array {label!r}; its arrays are {show_names(names)}")
        others = [name for name in names if name != label]
        inputs = _first(others, _INPUT_NAMES) or (others[0] if len(others) == 1 else None)
        if inputs is not None:
            return _Pair(inputs, label)
    found = _named(names, part) or (_named(names, None) if part == "train" else None)
    if found is not None:
        return found
    if len(names) == 2:
        shapes = {name: archive.read(name).shape for name in names}
        flat = [name for name, shape in shapes.items() if len(shape) == 1]
        if len(flat) == 1:
            return _Pair(next(name for name in names if name != flat[0]), flat[0])
    raise DataError(
        f"{path} has the arrays {show_names(names)}; expected inputs and labels under the names x and y, or "
        "x_train, y_train, x_test and y_test"
    )


def _named(names: Sequence[str], part: Part | None) -> _Pair | None:
    """Find the usual names; with a part, the names that have it as prefix or suffix."""
    forms = ("{}",) if part is None else ("{}_" + part, part + "_{}")
    for form in forms:
        inputs = _first(names, [form.format(name) for name in _INPUT_NAMES])
        labels = _first(names, [form.format(name) for name in _LABEL_NAMES])
        if inputs is not None and labels is not None:
            return _Pair(inputs, labels)
    return None


def _first(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    by_lower_case = {name.lower(): name for name in names}
    return next((by_lower_case[name] for name in wanted if name in by_lower_case), None)


def _to_inputs(array: Array, name: str, path: Path) -> Tensor:
    if array.dtype.kind not in "iufb":
        raise DataError(f"array {name!r} of {path} holds {array.dtype} values; features must be numbers")
    if array.ndim == 4 and array.shape[3] < array.shape[1]:
        array = array.transpose(0, 3, 1, 2)
    is_image = array.dtype == np.uint8 and array.ndim in (3, 4)
    if is_image and array.ndim == 3:
        array = array[:, None]
    if is_image:
        return torch.from_numpy(np.ascontiguousarray(array))
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype=np.float32)
    finite = np.isfinite(converted).reshape(len(converted), -1).all(1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise DataError(
            f"array {name!r} of {path} has a value that is NaN, infinite or too large for single precision "
            f"in {row_name(row)}; fill it or remove the row"
        )
    return torch.from_numpy(converted)
