"""Targets of a regression, and a second column of right labels, in every kind of table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import torch

from localmin.errors import DataError, InputError
from localmin.tasks import build_task, open_source

Writer = Callable[[Path, dict[str, Any]], Path]


def to_csv(folder: Path, columns: dict[str, Any]) -> Path:
    pacsv.write_csv(pa.table(columns), folder / "a.csv")
    return folder / "a.csv"


def to_parquet(folder: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), folder / "a.parquet")
    return folder / "a.parquet"


def to_npz(folder: Path, columns: dict[str, Any]) -> Path:
    features = np.stack([columns[name] for name in ("a", "b")], axis=1)
    others = {name: np.asarray(values) for name, values in columns.items() if name not in ("a", "b")}
    np.savez(folder / "a.npz", allow_pickle=False, x=features, **others)
    return folder / "a.npz"


WRITERS = pytest.mark.parametrize("write", [to_csv, to_parquet, to_npz])
N = 40


def columns(**others: Any) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {"a": generator.normal(size=N), "b": generator.normal(size=N), **others}


@WRITERS
def test_fractions_are_the_targets_of_a_regression(tmp_path: Path, write: Writer) -> None:
    target = np.arange(N) + 0.25
    source = open_source(str(write(tmp_path, columns(target=target))))
    assert source.kind.name == "regression"
    assert source.examples.labels.dtype == torch.float64
    assert source.examples.labels.tolist() == target.tolist()
    assert source.class_names == ("target",)
    assert source.examples.inputs.shape == (N, 2)


@WRITERS
def test_whole_numbers_are_classes_unless_a_regression_is_asked_for(tmp_path: Path, write: Writer) -> None:
    path = str(write(tmp_path, columns(target=np.arange(N) % 3)))
    assert open_source(path).kind.name == "classification"
    assert open_source(path, kind="regression").examples.labels.tolist() == [float(i % 3) for i in range(N)]


@WRITERS
def test_a_fraction_is_no_class(tmp_path: Path, write: Writer) -> None:
    with pytest.raises(DataError, match="use --kind regression"):
        open_source(str(write(tmp_path, columns(target=np.arange(N) + 0.5))), kind="classification")


@WRITERS
def test_a_missing_target_names_its_row(tmp_path: Path, write: Writer) -> None:
    target = np.arange(N) + 0.5
    target[7] = np.inf if write is to_csv else np.nan
    with pytest.raises(DataError, match="row 7; every example needs a target"):
        open_source(str(write(tmp_path, columns(target=target))))


def test_texts_are_no_targets(tmp_path: Path) -> None:
    path = to_csv(tmp_path, columns(target=["low", "high"] * (N // 2)))
    with pytest.raises(DataError, match="holds texts; the target of a regression is a number"):
        open_source(str(path), kind="regression")


@WRITERS
def test_right_labels_are_measured_with_and_never_shown_to_the_network(tmp_path: Path, write: Writer) -> None:
    right = np.arange(N) % 2
    given = right.copy()
    given[:8] = 1 - given[:8]
    path = write(tmp_path, columns(label=given, truth=right))
    source = open_source(str(path), clean_label="truth")
    assert source.examples.inputs.shape == (N, 2), "the second column must not be a feature"
    assert source.examples.labels.tolist() == given.tolist()
    task = build_task(source, seed=0)
    indices = task.provenance["indices"]
    assert task.test.labels.tolist() == right[indices["test"]].tolist()
    assert task.train.labels.tolist() == given[indices["train"]].tolist()
    assert task.clean_train_labels is not None
    assert task.wrong_labels is not None
    assert task.clean_train_labels.tolist() == right[indices["train"]].tolist()
    assert task.noise is not None
    assert task.noise.kind == "annotators"
    expected = float(np.mean(right[indices["train"]] != given[indices["train"]]))
    assert task.noise.realised == pytest.approx(expected)
    with pytest.raises(InputError, match="knows its clean labels already"):
        build_task(source, noise=0.1)
    # Without the option it is one more number in the table.
    assert open_source(str(path), label="label").examples.inputs.shape[1] == (2 if write is to_npz else 3)


def test_a_right_label_that_nobody_gave_is_a_class(tmp_path: Path) -> None:
    right = ["cat", "dog", "owl", "dog"] * (N // 4)
    given = ["cat", "dog", "dog", "dog"] * (N // 4)
    source = open_source(str(to_csv(tmp_path, columns(label=given, truth=right))), clean_label="truth")
    assert source.class_names == ("cat", "dog", "owl")
    assert source.clean_labels is not None
    assert source.clean_labels.tolist() == [0, 1, 2, 1] * (N // 4)


def test_right_targets_of_a_regression(tmp_path: Path) -> None:
    right = np.arange(N) / 4
    given = right + (np.arange(N) % 5 == 0)
    source = open_source(str(to_csv(tmp_path, columns(target=given, truth=right))), clean_label="truth")
    task = build_task(source, seed=1)
    assert task.wrong_labels is not None
    assert task.wrong_labels.tolist() == [i % 5 == 0 for i in task.provenance["indices"]["train"]]


def test_a_folder_has_no_second_column(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        image.new("L", (4, 4)).save(tmp_path / name / "0.png")
    with pytest.raises(InputError, match="no clean label column"):
        open_source(str(tmp_path), clean_label="truth")
