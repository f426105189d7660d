"""CSV files with a header line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from localmin.errors import DataError
from localmin.tasks.readers.columns import choose_columns, show_names
from localmin.tasks.readers.dependencies import require
from localmin.tasks.readers.reading import Reading, ReadOptions
from localmin.tasks.readers.tables import (
    describe_texts,
    is_binary,
    is_number,
    read_clean_labels,
    read_features,
    read_labels,
)

__all__ = ["read_csv"]

_BATCH_ROWS = 2**14
_SEPARATORS = ",;\t"


def read_csv(path: Path, options: ReadOptions) -> Reading:
    """Read a CSV file; the header decides between comma, semicolon and tab.

    Args:
        path: The file, UTF-8.
        options: Label column, training data.

    Returns:
        Its examples.

    Raises:
        DataError: If the file is damaged or empty, has no header, or its columns do not fit.
    """
    table = _parse(path)
    names: list[str] = table.column_names
    if all(is_number(name) for name in names):
        raise DataError(
            f"the first line of {path} holds numbers ({show_names(names)}); it must name the columns"
        )
    foreign = [name for name, kind in zip(names, table.schema.types, strict=True) if is_binary(kind)]
    if foreign:
        raise DataError(f"column {foreign[0]!r} of {path} is not UTF-8 text; save the file as UTF-8")
    if table.num_rows == 0:
        raise DataError(f"{path} has no rows below its header")
    training = None if options.training is None else options.training.columns
    columns = choose_columns(
        describe_texts(table),
        label=options.label,
        path=path,
        training=training,
        clean_label=options.clean_label,
    )
    where = f"column {columns.label!r} of {path}"
    labels = read_labels(table.column(columns.label), where=where, kind=options.kind)
    clean = read_clean_labels(table, columns, labels, path=path)
    batches = table.select(list(columns.features)).to_batches(max_chunksize=_BATCH_ROWS)
    features = read_features(batches, columns.features, table.num_rows, path=path)
    origin = {"label": columns.label, "ignored_columns": list(columns.ignored)}
    return Reading(path, features, labels, None, columns.label, columns.features, None, origin, clean)


def _parse(path: Path) -> Any:
    arrow, reader = require("pyarrow", "reading CSV"), require("pyarrow.csv", "reading CSV")
    try:
        with path.open("rb") as stream:
            header = stream.readline(2**20).decode("utf-8-sig", "replace")
        separator = max(_SEPARATORS, key=header.count)
        # Names and labels may contain line breaks between quotes.
        layout = reader.ParseOptions(delimiter=separator, newlines_in_values=True)
        table = reader.read_csv(path, parse_options=layout)
        # Names are decoded only now.
        _ = table.column_names
    except UnicodeError as error:
        raise DataError(f"the first line of {path} is not UTF-8 text; save the file as UTF-8") from error
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise DataError(f"{path} cannot be read as CSV ({reason})") from error
    return table
