"""Parquet files: images as bytes, or columns of numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from localmin.errors import DataError, LocalminError
from localmin.tasks.readers.columns import Columns, choose_columns
from localmin.tasks.readers.dependencies import require
from localmin.tasks.readers.image_tensor import read_images
from localmin.tasks.readers.labels import RawLabels, Targets
from localmin.tasks.readers.reading import Reading, ReadOptions, row_name
from localmin.tasks.readers.tables import (
    describe_schema,
    is_binary,
    read_clean_labels,
    read_features,
    read_labels,
    read_names,
)

__all__ = ["read_parquet"]

_BATCH_ROWS = 2**14


def read_parquet(path: Path, options: ReadOptions) -> Reading:
    """Read a Parquet file.

    Images are a column of bytes, or of records with a field ``bytes`` as Hugging Face writes them.

    Args:
        path: The file.
        options: Label column, images, training data.

    Returns:
        Its examples.

    Raises:
        DataError: If the file is damaged or empty, or its columns do not fit.
    """
    require("pyarrow", "reading Parquet")
    with _readable(path):
        file = require("pyarrow.parquet", "reading Parquet").ParquetFile(path, memory_map=True)
        schema, num_rows = file.schema_arrow, file.metadata.num_rows
    if num_rows == 0:
        raise DataError(f"{path} has no rows")
    training = None if options.training is None else options.training.columns
    columns = choose_columns(
        describe_schema(schema),
        label=options.label,
        path=path,
        training=training,
        clean_label=options.clean_label,
    )
    wanted = (columns.label, columns.names, columns.clean_label)
    with _readable(path):
        table = file.read([name for name in wanted if name is not None])
        where = f"column {columns.label!r} of {path}"
        labels = read_labels(table.column(columns.label), where=where, kind=options.kind)
        clean = read_clean_labels(table, columns, labels, path=path)
    if isinstance(labels, RawLabels):
        names = {**_stored_names(schema, columns.label), **labels.names}
        labels = RawLabels(labels.values, labels.codes, names)
    origin = {"label": columns.label, "ignored_columns": list(columns.ignored)}
    if columns.image is None:
        with _readable(path):
            batches = file.iter_batches(_BATCH_ROWS, columns=list(columns.features))
            features = read_features(batches, columns.features, num_rows, path=path)
        return Reading(path, features, labels, None, columns.label, columns.features, None, origin, clean)
    identifiers = None if columns.names is None else read_names(table.column(columns.names))
    return replace(
        _read_images(file, path, columns, labels, identifiers, options, origin), clean_labels=clean
    )


def _read_images(
    file: Any,
    path: Path,
    columns: Columns,
    labels: RawLabels | Targets,
    names: tuple[str, ...] | None,
    options: ReadOptions,
    origin: dict[str, Any],
) -> Reading:
    assert columns.image is not None
    images = _ImageColumn(file, path, columns.image, names)
    about = path.stat()
    found = read_images(
        images,
        source=f"{path.resolve()}:{columns.image}",
        version=f"{about.st_size} {about.st_mtime_ns}",
        options=options.images,
    )
    origin |= {"image": columns.image}
    return Reading(path, found.pixels, labels, names, columns.label, None, found.form, origin)


@dataclass(frozen=True)
class _ImageColumn:
    """The encoded images of a column; read a batch of rows at a time, each time it is asked for."""

    file: Any
    path: Path
    column: str
    names: tuple[str, ...] | None

    def __len__(self) -> int:
        return int(self.file.metadata.num_rows)

    def __iter__(self) -> Iterator[Any]:
        with _readable(self.path):
            for batch in self.file.iter_batches(512, columns=[self.column]):
                encoded = batch.column(0)
                if not is_binary(encoded.type):
                    encoded = encoded.field("bytes")
                for value in encoded:
                    yield value.as_buffer()

    def describe(self, index: int) -> str:
        name = "" if self.names is None or self.names[index] == row_name(index) else f" ({self.names[index]})"
        return f"{row_name(index)}{name} of {self.path}"


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn errors of the Parquet library into one line."""
    arrow = require("pyarrow", "reading Parquet")
    try:
        yield
    except LocalminError:
        raise
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise DataError(
            f"{path} cannot be read as Parquet ({reason}); it may be damaged or of another kind"
        ) from error


def _stored_names(schema: Any, label: str) -> dict[int | str, str]:
    """Find the class names that Hugging Face's `datasets` stores beside integer labels."""
    try:
        stored = json.loads(schema.metadata[b"huggingface"])["info"]["features"][label]["names"]
        return {number: str(name) for number, name in enumerate(stored)}
    except (KeyError, TypeError, ValueError):
        return {}
