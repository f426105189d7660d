from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from localmin.errors import DataError
from localmin.tasks.readers.npz import holds_test_part, read_npz
from localmin.tasks.readers.reading import Reading, ReadOptions

RANDOM = np.random.default_rng(0)
X = RANDOM.random((8, 3))
Y = np.arange(8) % 2


def write(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def read(folder: Path, **arrays: Any) -> Reading:
    return read_npz(write(folder, **arrays), ReadOptions())


@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        ("x", "y"),
        ("X", "Y"),
        ("inputs", "labels"),
        ("data", "target"),
        ("images", "label"),
        ("features", "classes"),
        ("x_train", "y_train"),
        ("train_images", "train_labels"),
        ("arr_0", "arr_1"),
        ("something", "else"),
    ],
)
def test_usual_names_and_pairs_that_can_be_told_apart(tmp_path: Path, inputs: str, labels: str) -> None:
    found = read_npz(write(tmp_path, **{labels: Y, inputs: X}), ReadOptions())
    np.testing.assert_array_equal(found.inputs.numpy(), X.astype(np.float32))
    assert [found.classes.values[code] for code in found.classes.codes] == Y.tolist()
    assert found.label == labels


def test_the_label_array_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, x=X, fine=Y, coarse=1 - Y)
    found = read_npz(path, ReadOptions(label="fine"))
    assert found.label == "fine"
    assert found.inputs.shape == (8, 3)
    with pytest.raises(DataError, match="has no array 'z'; its arrays are x, fine, coarse"):
        read_npz(path, ReadOptions(label="z"))
    assert read_npz(write(tmp_path, a=X, b=Y), ReadOptions(label="b")).label == "b"


def test_the_test_part_is_found_and_kept_apart(tmp_path: Path) -> None:
    path = write(tmp_path, x_train=X, y_train=Y, x_test=X[:3] + 1, y_test=1 - Y[:3])
    assert holds_test_part(path)
    assert len(read_npz(path, ReadOptions()).inputs) == 8
    found = read_npz(path, ReadOptions(label="y_train"), part="test")
    assert found.label == "y_test"
    assert found.inputs.tolist() == (X[:3] + 1).astype(np.float32).tolist()
    assert not holds_test_part(write(tmp_path, x=X, y=Y))
    assert not holds_test_part(write(tmp_path, x_test=X, y_test=Y))


@pytest.mark.parametrize(
    ("shape", "dtype", "expected", "expected_dtype"),
    [
        ((8, 3, 20, 24), np.uint8, (8, 3, 20, 24), torch.uint8),
        ((8, 20, 24, 3), np.uint8, (8, 3, 20, 24), torch.uint8),
        ((8, 20, 24, 1), np.uint8, (8, 1, 20, 24), torch.uint8),
        ((8, 1, 20, 24), np.uint8, (8, 1, 20, 24), torch.uint8),
        ((8, 3, 20, 3), np.uint8, (8, 3, 20, 3), torch.uint8),
        ((8, 20, 24), np.uint8, (8, 1, 20, 24), torch.uint8),
        ((8, 20, 24, 3), np.float64, (8, 3, 20, 24), torch.float32),
        ((8, 20, 24), np.float32, (8, 20, 24), torch.float32),
        ((8, 20), np.uint8, (8, 20), torch.float32),
        ((8, 5), np.int64, (8, 5), torch.float32),
        ((8, 5), np.bool_, (8, 5), torch.float32),
    ],
)
def test_shape_and_type_decide_what_the_inputs_are(
    tmp_path: Path,
    shape: tuple[int, ...],
    dtype: Any,
    expected: tuple[int, ...],
    expected_dtype: torch.dtype,
) -> None:
    array = (RANDOM.random(shape) * 200).astype(dtype)
    found = read(tmp_path, x=array, y=Y)
    assert tuple(found.inputs.shape) == expected
    assert found.inputs.dtype == expected_dtype
    assert found.inputs.is_contiguous()
    if len(shape) == 4 and expected[1:] != shape[1:]:
        array = np.moveaxis(array, 3, 1)
    np.testing.assert_array_equal(found.inputs.numpy().ravel(), array.astype(np.float32).ravel())


@pytest.mark.parametrize(
    "labels",
    [Y, Y[:, None], Y.astype(float), Y.astype(bool), np.array(["a", "b"] * 4), np.array([b"a", b"b"] * 4)],
)
def test_labels_of_every_type(tmp_path: Path, labels: Any) -> None:
    assert read(tmp_path, x=X, y=labels).classes.codes.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X, "y": Y[:5]}, "8 inputs in 'x' and 5 labels in 'y'"),
        ({"x": X, "y": np.eye(8)}, r"array 'y' .* has shape \(8, 8\).*argmax"),
        ({"x": Y, "y": Y}, r"array 'x' .* has shape \(8,\)"),
        (
            {"x": np.array([["a", "b"]] * 8), "y": Y},
            "array 'x' .* holds <U1 values; features must be numbers",
        ),
        ({"x": np.full((8, 2), np.nan), "y": Y}, "array 'x' .* has a value that is NaN"),
        ({"x": X * 1e300, "y": Y}, "too large for single precision in row 0"),
        ({"x": X[:0], "y": Y[:0]}, "holds no examples"),
        ({"a": X, "b": X}, "arrays a, b; expected inputs and labels under the names x and y"),
        ({"a": Y, "b": Y}, "expected inputs and labels"),
        ({"a": X, "b": X, "c": Y}, "expected inputs and labels"),
        ({"x": X}, "expected inputs and labels"),
        ({}, "expected inputs and labels"),
    ],
)
def test_arrays_that_do_not_fit_are_one_clear_line(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as error:
        read(tmp_path, **arrays)
    assert "\n" not in str(error.value)


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (Path("trap"), "sprung")


@pytest.mark.parametrize("name", ["x", "y"])
def test_pickled_objects_are_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    trap = np.array([Trap()] * 8, dtype=object)
    with pytest.raises(DataError, match=f"array '{name}' .* holds pickled Python objects") as error:
        read(tmp_path, **({"x": X, "y": Y} | {name: trap}))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "trap").exists()


def single_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, X)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"hello", pickle.dumps([1, 2]), single_array(), b"PK\x03\x04" + bytes(100)]
)
def test_a_file_of_another_kind_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    for attempt in (lambda: read_npz(path, ReadOptions()), lambda: holds_test_part(path)):
        with pytest.raises(DataError, match=r"a\.npz (cannot be read as NPZ|holds a single array)") as error:
            attempt()
        assert "\n" not in str(error.value)


def test_a_damaged_array_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, x=RANDOM.random((500, 3)), y=np.arange(500) % 2)
    content = bytearray(path.read_bytes())
    content[3000:3100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"array 'x' .* is damaged"):
        read_npz(path, ReadOptions())
