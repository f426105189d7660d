"""Open a user's data, whatever form it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from localmin.errors import DataError, InputError
from localmin.tasks.builtin import BUILTIN, open_builtin
from localmin.tasks.examples import Examples
from localmin.tasks.factories import is_factory
from localmin.tasks.readers.csv_file import read_csv
from localmin.tasks.readers.defaults import choose_defaults
from localmin.tasks.readers.folders import find_parts, read_folder
from localmin.tasks.readers.image_tensor import ImageOptions
from localmin.tasks.readers.images import ImageForm, ReadProgress
from localmin.tasks.readers.labels import Classes
from localmin.tasks.readers.npz import Part, holds_test_part, read_npz
from localmin.tasks.readers.parquet import read_parquet
from localmin.tasks.readers.reading import Reading, ReadOptions
from localmin.tasks.source import DataSource

__all__ = ["open_source"]

Reader = Callable[[Path, ReadOptions], Reading]

_READERS: dict[str, Reader] = {".parquet": read_parquet, ".csv": read_csv, ".npz": read_npz}


def open_source(
    data: str,
    *,
    test: str | None = None,
    label: str | None = None,
    model: str | None = None,
    image_size: int | tuple[int, int] | None = None,
    cache: Path | None = None,
    progress: ReadProgress | None = None,
) -> DataSource:
    """Open data by name or path, with sensible defaults for training on it.

    Args:
        data: A built-in name; a folder of class folders, or with ``train/`` and ``test/`` of them; a
            ``.parquet``, ``.csv`` or ``.npz`` file. A built-in name wins over a file of that name.
        test: A separate test set in any of the forms; None takes the one that comes with the data, or
            leaves it to `build_task` to split one off.
        label: Name of the label column or array; None looks for label, target, class, else y.
        model: Name of the default network, or ``file.py:factory``; None chooses by the kind of data.
        image_size: Pixels that images are brought to, one number or ``(height, width)``; None is the most
            common size.
        cache: Folder for decoded images; None is ``$XDG_CACHE_HOME/localmin`` or ``~/.cache/localmin``,
            used for 16 MiB of pixels or more.
        progress: Called with the steps done and their total while images are decoded.

    Returns:
        The data. Classes are numbered by the training data: integers in numerical order, texts in
        alphabetical order.

    Raises:
        InputError: If an option does not go with the data.
        DataError: If there is no such data, or it cannot be read or used for classification.

    Example:
        >>> source = open_source("iris")
        >>> len(source.examples), source.class_names
        (150, ('setosa', 'versicolor', 'virginica'))
    """
    if data in BUILTIN:
        if test is not None or label is not None:
            raise InputError(f"the built-in data set {data} takes neither a test set nor a label column")
        source = open_builtin(data)
        return source if model is None else replace(source, model=model)
    options = ReadOptions(label, ImageOptions(_as_size(image_size), None, cache, progress))
    try:
        path, test_path = _locate(data)
        if test is not None:
            # Where a folder or an archive has two parts, its test part is meant.
            whole, part = _locate(test)
            test_path = part or whole
        training = _read(path, options, "train")
        if options.images.size is not None and training.form is None:
            raise InputError(f"an image size was given, but {path} holds no encoded images")
        classes = Classes.of(training.labels, where=training.where)
        held_out = None if test_path is None else _read_test(test_path, options, training)
    except PermissionError as error:
        raise DataError(f"{error.filename} cannot be read: permission denied") from error
    default_model, recipe = choose_defaults(training.inputs)
    return DataSource(
        name=Path(data).expanduser().resolve().name,
        examples=_to_examples(training, classes),
        class_names=classes.names,
        model=model or default_model,
        recipe=recipe,
        test=None if held_out is None else _to_examples(held_out, classes),
        origin=_describe(training) | {"test": None if held_out is None else _describe(held_out)},
    )


def _locate(data: str) -> tuple[Path, Path | None]:
    """Find the file or folder, and where the test set is that comes with it."""
    if is_factory(data):
        raise InputError(f"{data} names a function that makes a task; open it with open_task")
    path = Path(data).expanduser()
    if not path.exists():
        hint = (
            f"; built-in data sets are {', '.join(BUILTIN)}" if path.name == data and not path.suffix else ""
        )
        raise DataError(f"{path} does not exist{hint}")
    if path.is_dir():
        return find_parts(path)
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        also = f"; to use a function of it, write {path}:name" if suffix == ".py" else ""
        raise DataError(
            f"{path} is of no known kind: expected a folder of class folders, {', '.join(_READERS)} or "
            f"file.py:factory{also}"
        )
    return path, path if suffix == ".npz" and holds_test_part(path) else None


def _read(path: Path, options: ReadOptions, part: Part) -> Reading:
    if path.is_dir():
        return read_folder(path, options)
    suffix = path.suffix.lower()
    return read_npz(path, options, part=part) if suffix == ".npz" else _READERS[suffix](path, options)


def _read_test(path: Path, options: ReadOptions, training: Reading) -> Reading:
    form = training.form
    if form is None and training.inputs.dtype == torch.uint8 and training.inputs.shape[1] in (1, 3):
        # Arrays of pixels; a test set of encoded images has to come to the same.
        channels, height, width = training.inputs.shape[1:]
        form = ImageForm(height, width, channels, fits=False)
    options = replace(options, images=replace(options.images, form=form), training=training)
    part: Part = "test" if path.suffix.lower() == ".npz" and holds_test_part(path) else "train"
    held_out = _read(path, options, part)
    for what, of in (("shape", _shape), ("type", _type)):
        found, expected = of(held_out), of(training)
        if found != expected:
            raise DataError(
                f"the test data {path} has inputs of {what} {found}, the training data {training.path} of "
                f"{what} {expected}"
            )
    return held_out


def _shape(reading: Reading) -> tuple[int, ...]:
    return tuple(reading.inputs.shape[1:])


def _type(reading: Reading) -> str:
    return str(reading.inputs.dtype).removeprefix("torch.")


def _to_examples(reading: Reading, classes: Classes) -> Examples:
    labels = classes.number(reading.labels, where=reading.where, describe=reading.describe)
    return Examples(reading.inputs, labels, reading.identifiers)


def _describe(reading: Reading) -> dict[str, Any]:
    kind = "folder" if reading.path.is_dir() else reading.path.suffix.lower().removeprefix(".")
    return {
        "kind": kind,
        "path": str(reading.path.resolve()),
        "input_shape": list(_shape(reading)),
        **reading.origin,
    }


def _as_size(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise InputError(f"an image size is one or two positive numbers of pixels, got {size}")
    return height, width
