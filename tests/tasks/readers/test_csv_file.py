from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

from localmin.errors import DataError
from localmin.tasks.readers.csv_file import read_csv
from localmin.tasks.readers.reading import Reading, ReadOptions


def read(tmp_path: Path, content: str | bytes, label: str | None = None, kind: str | None = None) -> Reading:
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_csv(path, ReadOptions(label=label, kind=kind))


def labels_of(reading: Reading) -> list[int | str]:
    return [reading.classes.values[code] for code in reading.classes.codes]


def test_a_table_of_scikit_learn_comes_back(tmp_path: Path) -> None:
    bunch = datasets.load_iris()
    lines = [",".join([*bunch.feature_names, "target"])]
    lines += [
        ",".join([*map(repr, row.tolist()), str(bunch.target_names[target])])
        for row, target in zip(bunch.data, bunch.target, strict=True)
    ]
    found = read(tmp_path, "\n".join(lines) + "\n")
    np.testing.assert_array_equal(found.inputs.numpy(), bunch.data.astype(np.float32))
    assert labels_of(found) == [str(bunch.target_names[target]) for target in bunch.target]
    assert found.columns == tuple(bunch.feature_names)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_separator_line_ending_and_byte_order_mark(
    tmp_path: Path, separator: str, ending: str, mark: bytes
) -> None:
    lines = ["ä,b,label", "1,2.5,x", "3,-4e1,y"]
    content = ending.join(lines).replace(",", separator) + ending
    found = read(tmp_path, mark + content.encode())
    assert found.columns == ("ä", "b")
    assert found.inputs.tolist() == [[1.0, 2.5], [3.0, -40.0]]
    assert labels_of(found) == ["x", "y"]


def test_quotes_truth_values_and_the_index_of_pandas(tmp_path: Path) -> None:
    found = read(tmp_path, ',"a, b",flag,label\n0,1,true,"x\ny"\n1,2,false,z\n')
    assert found.columns == ("a, b", "flag")
    assert found.inputs.tolist() == [[1.0, 1.0], [2.0, 0.0]]
    assert labels_of(found) == ["x\ny", "z"]
    assert found.origin["ignored_columns"] == [""]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["1", "0", "1"], [1, 0, 1]),
        (["1.0", "0.0", "1.0"], [1, 0, 1]),
        (["true", "false", "true"], [1, 0, 1]),
        (["a", "NA", "a"], ["a", "NA", "a"]),
    ],
)
def test_labels_are_numbers_truth_values_or_texts(
    tmp_path: Path, column: list[str], expected: list[int | str]
) -> None:
    content = "a,label\n" + "".join(f"1,{label}\n" for label in column)
    assert labels_of(read(tmp_path, content)) == expected


def test_line_breaks_between_quotes_do_no_harm_in_large_files(tmp_path: Path) -> None:
    label = "a\n" * 50
    found = read(tmp_path, "a,label\n" + f'1,"{label}"\n2,b\n' * 30_000)
    assert found.inputs.shape == (60_000, 1)
    assert labels_of(found)[-2:] == [label, "b"]


def test_one_large_file_of_many_blocks(tmp_path: Path) -> None:
    count = 150_000
    content = "a,b,label\n" + "".join(f"{i},{i / 2},{i % 3}\n" for i in range(count))
    found = read(tmp_path, content)
    np.testing.assert_array_equal(found.inputs[:, 0].numpy(), np.arange(count, dtype=np.float32))
    assert labels_of(found)[-1] == (count - 1) % 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read as CSV .*[Ee]mpty"),
        ("a,label\n", "no rows below its header"),
        ("a,label\n1,0\n1,2,3\n", r"cannot be read as CSV \(.*Expected 2 columns, got 3"),
        ("1.5,0\n2.5,1\n", r"first line of .* holds numbers \(1\.5, 0\); it must name the columns"),
        ("a,label\n1,0\n,1\n", "column 'a' of .* has no value .* in row 1"),
        ("a,label\n1,0\nNaN,1\n", "column 'a' of .* has no value .* in row 1"),
        ("a,label\n1,0\ninf,1\n", "column 'a' of .* is infinite in row 1"),
        ("a,b,label\n1,,0\n1,,1\n", r"'b' \(empty\)"),
        ("a,label\n1,0\n?,1\n", r"not numbers: 'a' \('\?' in row 1\)"),
        ("a,label\n1,0\n2,\n", "column 'label' of .* is empty in row 1"),
        ("a,label\n1,x\n2,\n", "column 'label' of .* is empty in row 1"),
        ("a,b\n1,0\n", "none has a usual name; its columns are a, b"),
        ("label\n1\n", "no column of numbers or images"),
        ("a,a,label\n1,2,0\n", "more than one column named 'a'"),
        ("a,label\n1,2020-01-01\n2,2020-01-02\n", "labels are integers or texts"),
        ("größe,label\n1,ä\n".encode("latin-1"), "first line of .* is not UTF-8 text"),
        ("a,label\n1,ä\n".encode("latin-1"), "column 'label' .* is not UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "first line of .* is not UTF-8 text"),
    ],
)
def test_bad_files_are_one_clear_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value)


def test_a_label_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'kind'; its columns are a, label"):
        read(tmp_path, "a,label\n1,0\n", label="kind")
