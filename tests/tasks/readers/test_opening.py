from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from sklearn import datasets

from localmin.errors import DataError, InputError
from localmin.tasks import DataSource, Task, build_task, open_source

if TYPE_CHECKING:
    from tests.tasks.readers.conftest import Pictures


def wine_table(rows: slice = slice(None), target: str = "target", names: bool = False) -> Any:
    bunch = datasets.load_wine()
    columns: dict[str, Any] = {name: bunch.data[rows, j] for j, name in enumerate(bunch.feature_names)}
    labels = bunch.target_names[bunch.target[rows]] if names else bunch.target[rows]
    return pa.table(columns | {target: labels})


def write_csv(path: Path, table: Any) -> str:
    pyarrow.csv.write_csv(table, path)
    return str(path)


def write_parquet(path: Path, table: Any) -> str:
    pq.write_table(table, path)
    return str(path)


def image_parquet(path: Path, pictures: Pictures, count: int = 60, *, side: int = 16, start: int = 0) -> str:
    content = [pictures.png(start + i, height=side, width=side) for i in range(count)]
    return write_parquet(path, pa.table({"image": content, "label": [i % 3 for i in range(count)]}))


def check_usable(source: DataSource) -> Task:
    """Build a task and feed its network a batch of every part."""
    task = build_task(source, seed=0)
    model = task.build_model(0).eval()
    for part in task.parts().values():
        logits = model(task.prepare(part.inputs[:5]))
        assert logits.shape == (min(5, len(part)), task.num_classes)
        assert bool(torch.isfinite(logits).all())
    json.dumps(task.provenance)
    return task


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("names", [False, True])
def test_a_table_from_file_to_task(tmp_path: Path, kind: str, names: bool) -> None:
    write = write_csv if kind == "csv" else write_parquet
    source = open_source(write(tmp_path / f"wine.{kind}", wine_table(names=names)))
    bunch = datasets.load_wine()
    np.testing.assert_array_equal(source.examples.inputs.numpy(), bunch.data.astype(np.float32))
    assert source.examples.labels.tolist() == bunch.target.tolist()
    assert source.class_names == (("class_0", "class_1", "class_2") if names else ("0", "1", "2"))
    assert (source.name, source.model, source.recipe.epochs) == (f"wine.{kind}", "mlp", 40)
    assert source.origin["kind"] == kind
    assert source.origin["input_shape"] == [13]
    task = check_usable(source)
    # Standardised on the training part.
    assert float(task.prepare(task.train.inputs).mean(0).abs().max()) < 1e-4
    row = int(task.test.identifier(3).removeprefix("row "))
    assert task.test.inputs[3].tolist() == source.examples.inputs[row].tolist()


def test_a_folder_from_pictures_to_task(tmp_path: Path, pictures: Pictures) -> None:
    root = pictures.folder(tmp_path / "pets", {"cat": 20, "dog": 20})
    source = open_source(str(root))
    assert (source.name, source.model, source.class_names) == ("pets", "cnn", ("cat", "dog"))
    assert source.recipe.augmentation == "flip"
    assert source.examples.is_image
    task = check_usable(source)
    assert task.train.identifier(0).startswith("cat/")


def test_train_and_test_folders(tmp_path: Path, pictures: Pictures) -> None:
    pictures.folder(tmp_path / "pets" / "train", {"cat": 10, "dog": 10})
    pictures.folder(tmp_path / "pets" / "test", {"dog": 4})
    source = open_source(str(tmp_path / "pets"))
    assert source.test is not None
    assert len(source.examples) == 20
    # Dogs are class 1 in the training data, although the test set has nothing else.
    assert source.test.labels.tolist() == [1] * 4
    assert source.origin["test"]["path"].endswith("pets/test")
    assert source.name == "pets"
    check_usable(source)
    # As the test set of something else, its test part is what is meant.
    other = pictures.folder(tmp_path / "other", {"cat": 3, "dog": 3})
    turned = open_source(str(other), test=str(tmp_path / "pets"))
    assert turned.test is not None
    assert len(turned.test) == 4


def test_a_test_set_of_another_kind(tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "pets", {"0": 10, "1": 10, "2": 10})
    source = open_source(str(folder), test=image_parquet(tmp_path / "t.parquet", pictures, 9))
    assert source.test is not None
    assert source.test.labels.tolist() == [0, 1, 2] * 3
    arrays: dict[str, Any] = {
        "x": np.stack([np.asarray(pictures.draw(i)) for i in range(12)]),
        "y": np.array(["0", "2"] * 6),
    }
    np.savez(tmp_path / "t.npz", **arrays)
    source = open_source(str(folder), test=str(tmp_path / "t.npz"))
    assert source.test is not None
    assert source.test.labels.tolist() == [0, 2] * 6
    # And the other way round: pictures are brought to what the arrays are, or refused.
    np.savez(tmp_path / "t.npz", x=arrays["x"], y=np.arange(12) % 3)
    turned = open_source(str(tmp_path / "t.npz"), test=str(folder))
    assert turned.test is not None
    assert turned.test.inputs.shape == (30, 3, 16, 16)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_of_a_test_file_may_stand_in_another_order(tmp_path: Path, kind: str) -> None:
    write = write_csv if kind == "csv" else write_parquet
    table, held_out = wine_table(slice(0, None, 2)), wine_table(slice(1, None, 2))
    shuffled = held_out.select(held_out.column_names[::-1])
    source = open_source(write(tmp_path / f"a.{kind}", table), test=write(tmp_path / f"b.{kind}", shuffled))
    assert source.test is not None
    np.testing.assert_array_equal(
        source.test.inputs.numpy(), datasets.load_wine().data[1::2].astype(np.float32)
    )
    task = check_usable(source)
    assert task.test is source.test


def test_arrays_with_a_test_part_of_their_own(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (40, 28, 28), dtype=np.uint8)
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=images, y_train=np.arange(40) % 4, x_test=images[:8], y_test=np.arange(8) % 4)
    source = open_source(str(path))
    assert source.test is not None
    assert source.examples.inputs.shape == (40, 1, 28, 28)
    assert len(source.test) == 8
    assert (source.model, source.recipe.augmentation) == ("cnn", "none")
    check_usable(source)
    # A test set that is named wins.
    np.savez(tmp_path / "other.npz", x=images[:9], y=np.arange(9) % 4)
    named = open_source(str(path), test=str(tmp_path / "other.npz"))
    assert named.test is not None
    assert len(named.test) == 9
    # As the test set of something else, its test part is what is meant.
    turned = open_source(str(tmp_path / "other.npz"), test=str(path))
    assert turned.test is not None
    assert len(turned.test) == 8


def test_floating_point_images_and_sequences(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", x=generator.random((40, 12, 10, 3)), y=np.arange(40) % 2)
    source = open_source(str(tmp_path / "a.npz"))
    assert (source.examples.inputs.shape, source.model) == ((40, 3, 12, 10), "cnn")
    check_usable(source)
    np.savez(tmp_path / "b.npz", x=generator.random((40, 12, 10)), y=np.arange(40) % 2)
    source = open_source(str(tmp_path / "b.npz"))
    assert (source.examples.inputs.shape, source.model) == ((40, 12, 10), "mlp")
    check_usable(source)


def test_images_of_several_sizes_are_brought_to_one(tmp_path: Path, pictures: Pictures) -> None:
    root = pictures.folder(tmp_path / "pets", {"cat": 8, "dog": 8})
    pictures.draw(0, height=30, width=50).save(root / "cat" / "large.png")
    held_out = pictures.folder(tmp_path / "held out", {"cat": 3, "dog": 3}, side=24)
    source = open_source(str(root), test=str(held_out))
    assert source.test is not None
    assert source.examples.inputs.shape[1:] == source.test.inputs.shape[1:] == (3, 16, 16)
    wide = open_source(str(root), test=str(held_out), image_size=(10, 12))
    assert wide.test is not None
    assert wide.examples.inputs.shape[1:] == wide.test.inputs.shape[1:] == (3, 10, 12)
    assert open_source(str(root), image_size=9).examples.inputs.shape[1:] == (3, 9, 9)


def test_the_model_can_be_chosen(tmp_path: Path, pictures: Pictures) -> None:
    path = image_parquet(tmp_path / "a.parquet", pictures)
    assert open_source(path, model="resnet18").model == "resnet18"
    assert open_source("iris", model="mlp").model == "mlp"
    (tmp_path / "net.py").write_text(
        "import torch\ndef make(num_classes):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, num_classes))\n"
    )
    check_usable(open_source(path, model=f"{tmp_path}/net.py:make"))


def test_a_cache_folder_and_progress_reach_the_images(tmp_path: Path, pictures: Pictures) -> None:
    path = image_parquet(tmp_path / "a.parquet", pictures)
    steps: list[tuple[int, int]] = []
    for expected in ([(60, 120), (120, 120)], []):
        steps.clear()
        open_source(path, cache=tmp_path / "mine", progress=lambda done, total: steps.append((done, total)))
        assert steps == expected
    assert len(list((tmp_path / "mine").iterdir())) == 1


def test_relative_paths_and_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(tmp_path / "wine.csv", wine_table())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in ("wine.csv", "./wine.csv", "~/wine.csv"):
        source = open_source(text)
        assert source.name == "wine.csv"
        assert Path(source.origin["path"]) == (tmp_path / "wine.csv").resolve()


def test_a_built_in_name_wins_over_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Pictures
) -> None:
    pictures.folder(tmp_path / "iris", {"a": 2, "b": 2})
    monkeypatch.chdir(tmp_path)
    assert len(open_source("iris").examples) == 150
    assert len(open_source("./iris").examples) == 4


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ("digit", {}, r"digit does not exist; built-in data sets are digits, iris"),
        ("nowhere/a.csv", {}, r"nowhere/a\.csv does not exist$"),
        ("notes.md", {}, r"notes\.md is of no known kind: expected a folder of class folders, \.parquet"),
        ("task.py", {}, r"to use a function of it, write task\.py:name"),
        ("task.py:make", {}, "open it with open_task"),
        ("digits", {"test": "wine.csv"}, "takes neither a test set nor a label column"),
        ("digits", {"label": "x"}, "takes neither a test set nor a label column"),
        ("wine.csv", {"label": "colour"}, r"has no column 'colour'; its columns are alcohol"),
        ("wine.csv", {"label": "alcohol", "kind": "classification"}, "use --kind regression"),
        ("wine.csv", {"kind": "ranking"}, "unknown kind 'ranking'"),
        ("wine.csv", {"clean_label": "truth"}, "has no column 'truth'"),
        ("notes.txt", {}, "at least 20 are needed"),
        ("notes.txt", {"label": "x"}, "a text has no label"),
        ("digits", {"kind": "regression"}, "digits is a classification task; leave --kind out"),
        ("digits", {"clean_label": "truth"}, "no clean label column"),
        ("wine.csv", {"label": "magnesium", "image_size": 8}, "holds no encoded images"),
        ("wine.csv", {"label": "proline"}, "too few for each class; if it is a measured quantity"),
        ("one.csv", {}, "every example of column 'label' of one.csv has the label 4"),
        ("wine.csv", {"test": "wrong.csv"}, r"it lacks alcohol and also has alc$"),
        ("wine.csv", {"test": "unlabelled.csv"}, "name the label column of unlabelled.csv"),
        (
            "wine.csv",
            {"test": "new class.csv"},
            "row 2 of .*new class.csv has the label 9, which does not occur",
        ),
        ("wine.csv", {"test": "gone.csv"}, r"gone\.csv does not exist"),
        ("wine.csv", {"test": "pets"}, r"inputs of shape \(3, 16, 16\), the training data .* shape \(13,\)"),
        (
            "a.npz",
            {"test": "narrow.npz"},
            r"inputs of shape \(4,\), the training data a\.npz of shape \(5,\)",
        ),
        ("images.npz", {"test": "floats.npz"}, "inputs of type float32, the training data .* of type uint8"),
        ("pets", {"test": "large pets"}, r"000\.png has 20 x 20 pixels, the training images have 16 x 16"),
        ("images.npz", {"test": "large pets"}, "has 20 x 20 pixels, the training images have 16 x 16"),
        ("pets", {"test": "other pets"}, r"bird/000\.png of other pets has the label 'bird'"),
        ("pets", {"image_size": 0}, "positive numbers of pixels"),
        ("pets", {"image_size": (4, -1)}, "positive numbers of pixels"),
        ("pets", {"label": "label"}, "leave out the label column"),
        ("nothing", {}, "nothing is empty"),
        ("one pet", {}, "every example of one pet has the label 'cat'"),
    ],
)
def test_bad_input_is_one_clear_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pictures: Pictures,
    data: str,
    options: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    table = wine_table()
    write_csv(Path("wine.csv"), table)
    write_csv(Path("wrong.csv"), table.rename_columns(["alc", *table.column_names[1:]]))
    write_csv(Path("unlabelled.csv"), table.drop_columns(["target"]))
    write_csv(Path("new class.csv"), table.slice(0, 3).set_column(13, "target", pa.array([0, 1, 9])))
    Path("one.csv").write_text("a,label\n1,4\n2,4\n")
    Path("notes.txt").write_text("hello")
    Path("notes.md").write_text("hello")
    Path("task.py").write_text("")
    Path("nothing").mkdir()
    pictures.folder(Path("pets"), {"cat": 3, "dog": 3})
    pictures.folder(Path("large pets"), {"cat": 1, "dog": 1}, side=20)
    pictures.folder(Path("other pets"), {"bird": 1, "dog": 1})
    pictures.folder(Path("one pet"), {"cat": 3})
    labels = np.array(["cat", "dog"] * 4)
    np.savez("a.npz", x=np.zeros((8, 5)), y=labels)
    np.savez("narrow.npz", x=np.zeros((8, 4)), y=labels)
    np.savez("images.npz", x=np.zeros((8, 16, 16, 3), np.uint8), y=labels)
    np.savez("floats.npz", x=np.zeros((8, 16, 16, 3)), y=labels)
    with pytest.raises(InputError, match=message) as error:
        open_source(data, **options)
    assert "\n" not in str(error.value)


def test_a_folder_without_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Pictures
) -> None:
    root = pictures.folder(tmp_path / "pets", {"cat": 1, "dog": 1})

    def refuse(path: Path) -> None:
        # What the system says to everybody but root.
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match="pets cannot be read: permission denied"):
        open_source(str(root))


def test_a_missing_test_set_is_noticed_before_anything_is_decoded(tmp_path: Path, pictures: Pictures) -> None:
    steps: list[int] = []
    path = image_parquet(tmp_path / "a.parquet", pictures)
    with pytest.raises(DataError, match="gone does not exist"):
        open_source(path, test=str(tmp_path / "gone"), progress=lambda done, total: steps.append(done))
    assert steps == []
