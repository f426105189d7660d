"""Columns of Parquet and CSV files as labels, names, features or images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from localmin.errors import DataError
from localmin.tasks.readers.columns import Column, Columns
from localmin.tasks.readers.dependencies import require
from localmin.tasks.readers.labels import RawLabels, Targets, check_no_empty_text, labels_from_array
from localmin.tasks.readers.reading import row_name

__all__ = [
    "describe_schema",
    "describe_texts",
    "is_binary",
    "is_number",
    "read_clean_labels",
    "read_features",
    "read_labels",
    "read_names",
]


def describe_schema(schema: Any) -> list[Column]:
    """Describe the columns of an Arrow schema.

    Args:
        schema: ``pyarrow.Schema``.

    Returns:
        One description per column.
    """
    return [Column(name, _kind(kind)) for name, kind in zip(schema.names, schema.types, strict=True)]


def describe_texts(table: Any) -> list[Column]:
    """Describe the columns of a table read from text, where one odd value turns numbers into texts.

    Args:
        table: ``pyarrow.Table``.

    Returns:
        One description per column; columns of texts can show their first value that is no number.
    """
    return [
        replace(column, example=partial(_first_text, values)) if column.kind == "text" else column
        for column, values in zip(describe_schema(table.schema), table.columns, strict=True)
    ]


def is_number(text: str) -> bool:
    """Tell whether a text is a number.

    Args:
        text: Any.

    Returns:
        Whether it is.
    """
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_text(column: Any) -> str:
    values = enumerate(column.to_pylist())
    row, value = next((row, value) for row, value in values if value is not None and not is_number(value))
    return f"{value!r} in {row_name(row)}"


def _kind(kind: Any) -> str:
    types = require("pyarrow.types", "reading tables")
    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind):
        return "number"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if is_binary(kind) or (types.is_struct(kind) and kind.get_field_index("bytes") >= 0):
        return "image"
    return "empty" if types.is_null(kind) else str(kind)


def is_binary(kind: Any) -> bool:
    """Tell whether an Arrow type holds bytes.

    Args:
        kind: ``pyarrow.DataType``.

    Returns:
        Whether it does.
    """
    types = require("pyarrow.types", "reading tables")
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def read_labels(column: Any, *, where: str, kind: str | None = "classification") -> RawLabels | Targets:
    """Read a label column.

    Args:
        column: ``pyarrow.ChunkedArray`` of integers, truth values, numbers or texts.
        where: The column and file, for messages.
        kind: As for `labels_from_array`.

    Returns:
        The labels.

    Raises:
        DataError: If one is missing, or the type holds no classes.
    """
    compute = require("pyarrow.compute", "reading tables")
    types = require("pyarrow.types", "reading tables")
    if column.null_count:
        first = int(np.flatnonzero(compute.is_null(column).to_numpy())[0])
        raise DataError(f"{where} is empty in {row_name(first)}; every example needs a label")
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    holds = _kind(column.type)
    if holds == "text":
        if kind == "regression":
            raise DataError(f"{where} holds texts; the target of a regression is a number")
        coded = column.cast("large_string").combine_chunks().dictionary_encode()
        values = tuple(coded.dictionary.to_pylist())
        codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        check_no_empty_text(values, codes, where=where, row=row_name)
        return RawLabels(values, codes)
    if holds != "number":
        raise DataError(f"{where} holds {holds}; labels are integers or texts")
    if types.is_decimal(column.type):
        column = column.cast("float64")
    return labels_from_array(column.to_numpy(), where=where, row=row_name, kind=kind)


def read_clean_labels(
    table: Any, columns: Columns, labels: RawLabels | Targets, *, path: Path
) -> RawLabels | Targets | None:
    """Read the column of right labels, if there is one, as what the given labels are.

    Args:
        table: ``pyarrow.Table`` with that column.
        columns: What each column is for.
        labels: As given.
        path: The file, for messages.

    Returns:
        The right labels.
    """
    if columns.clean_label is None:
        return None
    kind = "regression" if isinstance(labels, Targets) else "classification"
    where = f"column {columns.clean_label!r} of {path}"
    return read_labels(table.column(columns.clean_label), where=where, kind=kind)


def read_names(column: Any) -> tuple[str, ...]:
    """Read the texts that name examples.

    Args:
        column: ``pyarrow.ChunkedArray`` of texts.

    Returns:
        One name per row; the row number where there is none.
    """
    return tuple(name or row_name(row) for row, name in enumerate(column.to_pylist()))


def read_features(
    batches: Iterable[Any], names: Sequence[str], num_rows: int, *, path: Path
) -> Float32[Tensor, "n d"]:
    """Read columns of numbers into one tensor, a batch of rows at a time.

    Args:
        batches: ``pyarrow.RecordBatch`` objects, in order.
        names: Of the feature columns, in the order of the tensor's columns.
        num_rows: Of all batches together.
        path: The file, for messages.

    Returns:
        The features, in single precision.

    Raises:
        DataError: If a value is missing, infinite or too large; the message names column and row.

    Cost:
        Memory for the tensor and one batch.
    """
    types = require("pyarrow.types", "reading tables")
    features = np.empty((num_rows, len(names)), dtype=np.float32)
    start = 0
    for batch in batches:
        block = features[start : start + batch.num_rows]
        for position, name in enumerate(names):
            column = batch.column(batch.schema.get_field_index(name))
            if types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            if types.is_boolean(column.type) or types.is_decimal(column.type):
                column = column.cast("uint8" if types.is_boolean(column.type) else "float64")
            # Missing values become NaN here, also in columns of integers.
            values = column.to_numpy(zero_copy_only=False)
            with np.errstate(over="ignore"):
                block[:, position] = values
            finite = np.isfinite(block[:, position])
            if not finite.all():
                row = int(np.argmin(finite))
                raise DataError(
                    f"column {name!r} of {path} {_problem(values[row])} in {row_name(start + row)}; fill it, "
                    "or remove the row or the column"
                )
        start += batch.num_rows
    return torch.from_numpy(features)


def _problem(value: Any) -> str:
    if value is None or np.isnan(value):
        return "has no value (empty or NaN)"
    return "is infinite" if np.isinf(value) else f"holds {value:.3g}, too large for single precision,"
