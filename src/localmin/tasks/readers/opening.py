"""Open a user's data, whatever form it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from localmin.errors import DataError, InputError
from localmin.tasks.builtin import BUILTIN, open_builtin
from localmin.tasks.examples import Examples
from localmin.tasks.factories import is_factory
from localmin.tasks.kinds import Classification, Regression
from localmin.tasks.readers.csv_file import read_csv
from localmin.tasks.readers.defaults import choose_defaults
from localmin.tasks.readers.folders import find_parts, read_folder
from localmin.tasks.readers.image_tensor import ImageOptions
from localmin.tasks.readers.images import ImageForm, ReadProgress
from localmin.tasks.readers.labels import Classes, RawLabels, Targets
from localmin.tasks.readers.npz import Part, holds_test_part, read_npz
from localmin.tasks.readers.parquet import read_parquet
from localmin.tasks.readers.reading import Reading, ReadOptions
from localmin.tasks.readers.text import TEXT_SUFFIX, open_text
from localmin.tasks.source import DataSource

__all__ = ["open_source"]

Reader = Callable[[Path, ReadOptions], Reading]

_READABLE_KINDS = ("classification", "regression", "language-model")
_READERS: dict[str, Reader] = {".parquet": read_parquet, ".csv": read_csv, ".npz": read_npz}


def open_source(
    data: str,
    *,
    test: str | None = None,
    label: str | None = None,
    model: str | None = None,
    image_size: int | tuple[int, int] | None = None,
    kind: str | None = None,
    clean_label: str | None = None,
    cache: Path | None = None,
    progress: ReadProgress | None = None,
) -> DataSource:
    """Open data by name or path, with sensible defaults for training on it.

    Args:
        data: A built-in name; a folder of class folders, or with ``train/`` and ``test/`` of them; a
            ``.parquet``, ``.csv`` or ``.npz`` file; a ``.txt`` file to model its characters. A built-in
            name wins over a file of that name.
        test: A separate test set in any of the forms; None takes the one that comes with the data, or
            leaves it to `build_task` to split one off.
        label: Name of the label column or array; None looks for label, target, class, else y.
        model: Name of the default network, or ``file.py:factory``; None chooses by the kind of data.
        image_size: Pixels that images are brought to, one number or ``(height, width)``; None is the most
            common size.
        kind: ``"classification"`` or ``"regression"``; None: labels that are numbers, one of them a
            fraction, are the targets of a regression, all others are classes.
        clean_label: Name of a second column or array with the right labels, for measuring only.
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
        _check_known_kind(source, kind, clean_label)
        return source if model is None else replace(source, model=model)
    if kind not in (None, *_READABLE_KINDS):
        raise InputError(f"unknown kind {kind!r}; choose one of {', '.join(_READABLE_KINDS)}")
    if Path(data).suffix.lower() == TEXT_SUFFIX:
        source = _open_text(
            data, test, {"label": label, "image_size": image_size, "clean_label": clean_label}
        )
        _check_known_kind(source, kind, None)
        return source if model is None else replace(source, model=model)
    images = ImageOptions(_as_size(image_size), None, cache, progress)
    options = ReadOptions(label, images, kind=kind, clean_label=clean_label)
    try:
        path, test_path = _locate(data)
        if test is not None:
            # Where a folder or an archive has two parts, its test part is meant.
            whole, part = _locate(test)
            test_path = part or whole
        training = _read(path, options, "train")
        if options.images.size is not None and training.form is None:
            raise InputError(f"an image size was given, but {path} holds no encoded images")
        if clean_label is not None and training.clean_labels is None:
            raise InputError(f"{path} has no columns, so no clean label column {clean_label!r}")
        held_out = None if test_path is None else _read_test(test_path, options, training)
    except PermissionError as error:
        raise DataError(f"{error.filename} cannot be read: permission denied") from error
    is_regression = isinstance(training.labels, Targets)
    # The column of right labels may have a class that nobody gave.
    everything = [training.labels, *([] if training.clean_labels is None else [training.clean_labels])]
    classes = None if is_regression else Classes.of(_joined(everything), where=training.where)
    default_model, recipe = choose_defaults(training.inputs, regression=is_regression)
    return DataSource(
        name=Path(data).expanduser().resolve().name,
        examples=_to_examples(training, training.labels, classes),
        class_names=(training.label or "target",) if classes is None else classes.names,
        model=model or default_model,
        recipe=recipe,
        test=None if held_out is None else _to_examples(held_out, held_out.clean_labels, classes),
        origin=_describe(training) | {"test": None if held_out is None else _describe(held_out)},
        kind=Regression() if is_regression else Classification(),
        clean_labels=None
        if training.clean_labels is None
        else _to_examples(training, training.clean_labels, classes).labels,
    )


def _open_text(data: str, test: str | None, others: dict[str, object]) -> DataSource:
    given = [name.replace("_", " ") for name, value in others.items() if value is not None]
    if given:
        raise InputError(f"a text has no {', '.join(given)}; leave it out")
    paths = [Path(name).expanduser() for name in (data, test) if name is not None]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"{missing[0]} does not exist or is no file")
    return open_text(*paths)


def _check_known_kind(source: DataSource, kind: str | None, clean_label: str | None) -> None:
    if kind is not None and kind != source.kind.name:
        raise InputError(f"{source.name} is a {source.kind.name} task; leave --kind out")
    if clean_label is not None:
        raise InputError(f"{source.name} has no columns, so no clean label column {clean_label!r}")


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
            f"{path} is of no known kind: expected a folder of class folders, {', '.join(_READERS)}, .txt or "
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
    kind = "regression" if isinstance(training.labels, Targets) else "classification"
    options = replace(options, images=replace(options.images, form=form), training=training, kind=kind)
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


def _to_examples(reading: Reading, labels: RawLabels | Targets | None, classes: Classes | None) -> Examples:
    """Join inputs with labels, given or right ones; None takes the given ones."""
    labels = reading.labels if labels is None else labels
    if isinstance(labels, Targets):
        return Examples(reading.inputs, torch.from_numpy(labels.values), reading.identifiers)
    assert classes is not None  # labels that are no targets are classes
    numbered = classes.number(labels, where=reading.where, describe=reading.describe)
    return Examples(reading.inputs, numbered, reading.identifiers)


def _joined(parts: list[RawLabels | Targets]) -> RawLabels:
    """Join the labels of one file: those given, and the right ones."""
    values: list[int | str] = []
    codes: list[np.ndarray[Any, Any]] = []
    names: dict[int | str, str] = {}
    for part in parts:
        assert isinstance(part, RawLabels)  # a column of targets is handled before
        values += [value for value in part.values if value not in values]
        codes.append(np.array([values.index(value) for value in part.values])[part.codes])
        names |= part.names
    return RawLabels(tuple(values), np.concatenate(codes), names)


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
