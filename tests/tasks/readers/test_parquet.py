from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn import datasets

from localmin.errors import DataError
from localmin.tasks.readers.image_tensor import ImageOptions
from localmin.tasks.readers.parquet import read_parquet
from localmin.tasks.readers.reading import Reading, ReadOptions

if TYPE_CHECKING:
    from tests.tasks.readers.conftest import Pictures


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def labels_of(reading: Reading) -> list[int | str]:
    return [reading.classes.values[code] for code in reading.classes.codes]


def test_a_table_of_scikit_learn_comes_back(tmp_path: Path) -> None:
    bunch = datasets.load_wine()
    columns = {name: bunch.data[:, j] for j, name in enumerate(bunch.feature_names)}
    path = write(tmp_path / "wine.parquet", columns | {"class": bunch.target}, row_group_size=50)
    found = read_parquet(path, ReadOptions())
    np.testing.assert_array_equal(found.inputs.numpy(), bunch.data.astype(np.float32))
    assert labels_of(found) == bunch.target.tolist()
    assert found.columns == tuple(bunch.feature_names)
    assert (found.label, found.identifiers, found.form) == ("class", None, None)


def test_names_with_dots_and_odd_letters_are_columns_like_others(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"a": [1.0, 2], "a.b": [3.0, 4], "ä ß": [5.0, 6], "label.x": [0, 1]})
    found = read_parquet(path, ReadOptions(label="label.x"))
    assert found.inputs.tolist() == [[1, 3, 5], [2, 4, 6]]


def test_many_batches_are_read_in_order(tmp_path: Path) -> None:
    values = np.arange(50_000, dtype=np.int64)
    path = write(tmp_path / "a.parquet", {"a": values, "y": values % 3}, row_group_size=20_000)
    found = read_parquet(path, ReadOptions())
    assert torch.equal(found.inputs[:, 0], torch.arange(50_000.0))


def test_a_missing_value_far_down_is_named_by_its_row(tmp_path: Path) -> None:
    values: list[float | None] = [1.0] * 40_000
    values[33_333] = None
    path = write(tmp_path / "a.parquet", {"age": values, "label": [0, 1] * 20_000}, row_group_size=10_000)
    with pytest.raises(DataError, match=r"column 'age' of .*a\.parquet has no value .* in row 33333"):
        read_parquet(path, ReadOptions())


@pytest.mark.parametrize("kind", ["bytes", "large", "records"])
def test_images_as_bytes_and_as_hugging_face_writes_them(
    tmp_path: Path, pictures: Pictures, kind: str
) -> None:
    encoded = [pictures.png(i) for i in range(700)]
    column: Any = encoded
    if kind == "large":
        column = pa.array(encoded, pa.large_binary())
    if kind == "records":
        column = [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(encoded)]
    columns = {"image": column, "label": [i % 5 for i in range(700)]}
    path = write(tmp_path / "a.parquet", columns, row_group_size=300)
    found = read_parquet(path, ReadOptions())
    assert found.inputs.shape == (700, 3, 16, 16)
    assert found.inputs.dtype == torch.uint8
    for index in (0, 299, 300, 699):
        expected = np.asarray(pictures.draw(index)).transpose(2, 0, 1)
        np.testing.assert_array_equal(found.inputs[index].numpy(), expected)
    assert labels_of(found) == [i % 5 for i in range(700)]
    assert found.identifiers is None
    assert found.form is not None


def test_a_column_of_paths_names_the_images(tmp_path: Path, pictures: Pictures) -> None:
    columns = {
        "image": [pictures.png(0), pictures.png(1)],
        "path": ["cat/1.png", None],
        "width": [16, 16],
        "label": ["cat", "dog"],
    }
    found = read_parquet(write(tmp_path / "a.parquet", columns), ReadOptions())
    assert found.identifiers == ("cat/1.png", "row 1")
    assert found.origin["ignored_columns"] == ["width"]


def test_class_names_of_hugging_face_are_kept(tmp_path: Path, pictures: Pictures) -> None:
    table = pa.table({"img": [pictures.png(0), pictures.png(1)], "label": [1, 0]})
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    stored = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(stored), tmp_path / "a.parquet")
    found = read_parquet(tmp_path / "a.parquet", ReadOptions())
    assert found.classes.names == {0: "cat", 1: "dog"}
    for other in ({"huggingface": "{"}, {"huggingface": "[]"}, {"pandas": "{}"}):
        pq.write_table(table.replace_schema_metadata(other), tmp_path / "b.parquet")
        assert read_parquet(tmp_path / "b.parquet", ReadOptions()).classes.names == {}


def test_a_bad_or_missing_image_is_named_by_row_and_path(tmp_path: Path, pictures: Pictures) -> None:
    columns: dict[str, Any] = {
        "image": [pictures.png(0), b"nonsense", pictures.png(2)],
        "path": ["a.png", "b.png", "c.png"],
        "label": [0, 1, 0],
    }
    with pytest.raises(DataError, match=r"row 1 \(b\.png\) of .*a\.parquet is not a readable image"):
        read_parquet(write(tmp_path / "a.parquet", columns), ReadOptions())
    del columns["path"]
    for missing in (None, {"bytes": None, "path": "elsewhere.png"}):
        images: list[Any] = [pictures.png(0), missing, pictures.png(2)]
        if missing is not None:
            images = [{"bytes": images[0], "path": ""}, missing, {"bytes": images[2], "path": ""}]
        path = write(tmp_path / "b.parquet", columns | {"image": images})
        with pytest.raises(DataError, match=r"row 1 of .*b\.parquet has no image"):
            read_parquet(path, ReadOptions())


def test_decoded_images_are_kept_until_the_file_changes(tmp_path: Path, pictures: Pictures) -> None:
    path = tmp_path / "a.parquet"
    options = ReadOptions(images=ImageOptions(cache=tmp_path / "cache"))
    sizes = set()
    for start in (0, 50):
        # Bitmaps without compression: only the time of the file tells that it is another.
        images = [pictures.encode(pictures.draw(start + i), "BMP") for i in range(20)]
        columns = {"image": images, "label": [0, 1] * 10}
        write(path, columns, compression="none", use_dictionary=False, write_statistics=False)
        os.utime(path, ns=(start, start))
        sizes.add(path.stat().st_size)
        for _ in range(2):
            found = read_parquet(path, options)
            expected = np.asarray(pictures.draw(start + 7)).transpose(2, 0, 1)
            np.testing.assert_array_equal(found.inputs[7].numpy(), expected)
    assert len(sizes) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("damage", ["text", "cut", "empty", "scrambled"])
def test_a_damaged_file_is_one_line(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path / "a.parquet", {"a": np.random.default_rng(0).random(5000), "label": [0, 1] * 2500})
    content = path.read_bytes()
    path.write_bytes(
        {
            "text": b"a,label\n1,2\n",
            "cut": content[: len(content) // 2],
            "empty": b"",
            "scrambled": content[:4] + bytes(200) + content[204:],
        }[damage]
    )
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet") as error:
        read_parquet(path, ReadOptions())
    assert "\n" not in str(error.value)


def test_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"a": pa.array([], pa.float64()), "label": pa.array([], pa.int64())})
    with pytest.raises(DataError, match="has no rows"):
        read_parquet(path, ReadOptions())
