from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from localmin.errors import DataError
from localmin.tasks.readers.labels import RawLabels
from localmin.tasks.readers.tables import (
    describe_schema,
    describe_texts,
    is_number,
    read_features,
    read_labels,
    read_names,
)

WHERE = "column 'y' of a.csv"


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1], pa.int8(), "number"),
        ([1], pa.uint64(), "number"),
        ([np.float16(1.0)], pa.float16(), "number"),
        ([True], pa.bool_(), "number"),
        ([decimal.Decimal("1.5")], pa.decimal128(5, 2), "number"),
        (["a"], pa.string(), "text"),
        (["a"], pa.large_string(), "text"),
        (["a"], pa.dictionary(pa.int8(), pa.string()), "text"),
        ([1.0], pa.dictionary(pa.int8(), pa.float64()), "number"),
        ([b"a"], pa.binary(), "image"),
        ([b"a"], pa.large_binary(), "image"),
        ([b"a"], pa.binary(1), "image"),
        ([{"bytes": b"a", "path": None}], None, "image"),
        ([{"a": 1}], None, "struct<a: int64>"),
        ([[1.0, 2.0]], None, "list<item: double>"),
        ([datetime.date(2020, 1, 1)], None, "date32[day]"),
        ([None], pa.null(), "empty"),
    ],
)
def test_arrow_types_are_told_apart(values: list[Any], kind: Any, expected: str) -> None:
    table = pa.table({"c": pa.array(values, kind)})
    (column,) = describe_schema(table.schema)
    assert column.name == "c"
    assert column.kind.replace("element", "item") == expected


def test_the_first_odd_text_is_shown_only_when_asked() -> None:
    columns = describe_texts(pa.table({"a": ["1", "2.5", "-", "x"], "b": [1, 2, 3, 4]}))
    assert columns[0].example is not None
    assert columns[0].example() == "'-' in row 2"
    assert columns[1].example is None


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("-2.5e3", True), ("", False), ("1,5", False)])
def test_numbers_are_recognised(text: str, expected: bool) -> None:
    assert is_number(text) is expected


@pytest.mark.parametrize(
    ("column", "values", "codes"),
    [
        (pa.array([3, 1, 3]), (1, 3), [1, 0, 1]),
        (pa.array([True, False, True]), (0, 1), [1, 0, 1]),
        (pa.array([2.0, 0.0, 2.0]), (0, 2), [1, 0, 1]),
        (pa.array([decimal.Decimal("2"), decimal.Decimal("5")]), (2, 5), [0, 1]),
        (pa.array(["b", "a", "b"]), ("b", "a"), [0, 1, 0]),
        (pa.array(["b", "a", "b"]).dictionary_encode(), ("b", "a"), [0, 1, 0]),
        (pa.array([4, 2]).dictionary_encode(), (2, 4), [1, 0]),
    ],
)
def test_labels_of_every_type(column: Any, values: tuple[Any, ...], codes: list[int]) -> None:
    for chunked in (pa.chunked_array([column]), pa.chunked_array([column.slice(0, 1), column.slice(1)])):
        labels = read_labels(chunked, where=WHERE)
        assert isinstance(labels, RawLabels)
        assert labels.values == values
        assert labels.codes.tolist() == codes


def test_categories_without_examples_are_no_classes() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 2, 0]), pa.array(["a", "unused", "c"]))
    assert read_labels(pa.chunked_array([column]), where=WHERE).values == ("a", "c")


@pytest.mark.parametrize(
    "values", [[1, 2, None], ["a", "b", None], [True, False, None], ["a", "b", ""], [1.0, 2.0, float("nan")]]
)
def test_a_missing_label_is_named(values: list[Any]) -> None:
    with pytest.raises(DataError, match=r"column 'y' of a.csv is empty in row 2"):
        read_labels(pa.chunked_array([pa.array(values)]), where=WHERE)


def test_lists_and_dates_are_no_labels() -> None:
    with pytest.raises(DataError, match="holds date32"):
        read_labels(pa.chunked_array([pa.array([datetime.date(2020, 1, 1)])]), where=WHERE)


def test_names_fall_back_to_the_row() -> None:
    assert read_names(pa.chunked_array([["a.png", None, ""]])) == ("a.png", "row 1", "row 2")


def test_columns_of_every_type_become_one_tensor_in_the_order_asked_for() -> None:
    table = pa.table(
        {
            "f": pa.array([0.5, -1.5, 2.0], pa.float64()),
            "skip": ["a", "b", "c"],
            "i": pa.array([1, -2, 2**24], pa.int64()),
            "b": [True, False, True],
            "d": pa.array([decimal.Decimal("1.25")] * 3),
            "h": pa.array(np.array([1, 2, 3], np.float16)),
            "c": pa.array([7.0, 8.0, 7.0]).dictionary_encode(),
        }
    )
    expected = [[1, 0.5, 1, 1.25, 1, 7], [-2, -1.5, 0, 1.25, 2, 8], [2**24, 2, 1, 1.25, 3, 7]]
    for rows in (1, 2, 10):
        batches = table.to_batches(max_chunksize=rows)
        found = read_features(batches, ["i", "f", "b", "d", "h", "c"], 3, path=Path("a.csv"))
        assert found.tolist() == expected


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([1.0, 2.0, 3.0, None], "has no value"),
        ([1.0, 2.0, 3.0, float("nan")], "has no value"),
        ([1, 2, 3, None], "has no value"),
        ([True, True, True, None], "has no value"),
        ([1.0, 2.0, 3.0, float("-inf")], "is infinite"),
        ([1.0, 2.0, 3.0, 1e39], r"holds 1e\+39, too large"),
    ],
)
@pytest.mark.parametrize("rows", [1, 3, 4])
def test_what_is_no_number_is_named_by_column_and_row(values: list[Any], problem: str, rows: int) -> None:
    table = pa.table({"fine": [1.0] * 4, "age": values})
    with pytest.raises(DataError, match=rf"column 'age' of a\.csv {problem}.* in row 3; "):
        read_features(table.to_batches(max_chunksize=rows), ["fine", "age"], 4, path=Path("a.csv"))
