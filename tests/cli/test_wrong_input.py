"""Every mistake a user can make: one clear line on standard error, exit code 2, nothing left behind."""

import csv
import errno
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from localmin.cli import main

Table = list[list[object]]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder with an empty home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the program, check that it refuses in one line, and give the line."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert out == ""
    assert err.startswith("localmin: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def write_table(name: str, rows: Table, header: tuple[str, ...] = ("a", "b", "label")) -> str:
    with Path(name).open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
    return name


def rows(count: int, label: Callable[[int], object] = lambda i: i % 2) -> Table:
    source = random.Random(0)
    return [[source.random(), source.random(), label(i)] for i in range(count)]


def test_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert "missing.csv" in refused(capsys, "search", "missing.csv")


def test_unknown_kind_of_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data.txt").write_text("hello")
    assert "data.txt" in refused(capsys, "search", "data.txt")


def test_unknown_column(capsys: pytest.CaptureFixture[str]) -> None:
    write_table("ok.csv", rows(200))
    line = refused(capsys, "search", "ok.csv", "--label", "species")
    assert "species" in line
    assert "a, b, label" in line


def test_no_label_column(capsys: pytest.CaptureFixture[str]) -> None:
    write_table("data.csv", [row[:2] for row in rows(50)], ("a", "b"))
    assert "a, b" in refused(capsys, "search", "data.csv")


def test_single_class(capsys: pytest.CaptureFixture[str]) -> None:
    write_table("one.csv", rows(200, lambda i: 1))
    assert "class" in refused(capsys, "search", "one.csv")


def test_label_of_the_test_set_outside_the_classes(capsys: pytest.CaptureFixture[str]) -> None:
    write_table("ok.csv", rows(200))
    write_table("test.csv", rows(50, lambda i: i % 3))
    line = refused(capsys, "search", "ok.csv", "--test", "test.csv")
    assert "row 2" in line


def test_nan_feature(capsys: pytest.CaptureFixture[str]) -> None:
    table = rows(200)
    table[7][0] = "nan"
    write_table("nan.csv", table)
    line = refused(capsys, "search", "nan.csv")
    assert "row 7" in line
    assert "'a'" in line


def test_unreadable_image_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cat", "dog"):
        Path("photos", name).mkdir(parents=True)
        Path("photos", name, "1.png").write_bytes(b"not an image")
    assert "photos/cat/1.png" in refused(capsys, "search", "photos")


def test_empty_folder(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert "empty" in refused(capsys, "search", "empty")


@pytest.mark.parametrize("name", ["bad.parquet", "bad.npz", "bad.csv"])
def test_damaged_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(name).write_bytes(b"\x00\xff\x00 zzz")
    assert name in refused(capsys, "search", name)


def test_pickled_arrays_are_not_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("objects.npz", x=np.array([{"a": 1}] * 30, dtype=object), y=np.arange(30) % 2)
    assert "objects.npz" in refused(capsys, "search", "objects.npz")


def test_validation_set_too_small_to_rank_samplers(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "search", "digits", "--limit", "60", "--batch-size", "16")
    assert "too few to rank samplers" in line


def test_batch_larger_than_any_sampler_could_support(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--batch-size" in refused(capsys, "search", "digits", "--batch-size", "5000")


def test_batch_larger_than_the_support_of_a_policy(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    from localmin.sampling.forms import get_form
    from localmin.sampling.policy import Policy
    from localmin.sampling.transforms import Transform

    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    narrow = Policy(get_form("a"), (1.0,) + (0.0,) * 9, "cdf", (Transform("cdf", ends, ends),))
    narrow.save("narrow.json")
    line = refused(
        capsys, "train", "digits", "--policy", "narrow.json", "--batch-size", "256", "--epochs", "2"
    )
    assert "fewer than a batch of 256" in line


def test_entropy_form_for_two_classes(capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "search", "breast_cancer", "--form", "d", "--epochs", "2")
    assert "form a" in line
    assert not any(Path().rglob("*.json"))


def test_disk_full(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("localmin.tasks.storage.os.fsync", full)
    line = refused(capsys, "search", "digits", "--epochs", "2", "--preset", "quick", "--out", "run")
    assert "disk is full" in line
    # Neither a file under its final name nor a temporary one is left.
    assert [path.name for path in Path("run").rglob("*") if path.is_file()] == [".lock"]


def test_run_folder_of_another_task(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run").mkdir()
    Path("run/run.json").write_text(json.dumps({"job": "search", "task": {"name": "others"}, "seed": 0}))
    line = refused(capsys, "search", "digits", "--epochs", "2", "--preset", "quick", "--out", "run")
    assert "another job" in line
    assert "--out" in line


def test_folder_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    assert "file" in refused(capsys, "search", "digits", "--epochs", "2", "--out", "file/run")


FACTORIES = """
def number():
    return 3

def fails():
    raise KeyError("x")
"""


@pytest.mark.parametrize(
    ("name", "said"), [("number", "must give a localmin Task"), ("fails", "line 6"), ("nothing", "'nothing'")]
)
def test_factory(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(FACTORIES)
    assert said in refused(capsys, "search", f"mine.py:{name}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--noise", "2"),
        ("--noise", "0.1", "--noise-kind", "swap"),
        ("--imbalance", "0.5"),
        ("--preset", "best"),
        ("--form", "z"),
        ("--transform", "rank"),
        ("--engine", "grid"),
        ("--guard", "dog"),
        ("--second-opinion", "dog"),
        ("--metric", "f1"),
        ("--seeds", "x"),
        ("--seeds", "1,1"),
        ("--trials", "1"),
        ("--rounds", "0"),
        ("--epochs", "0"),
        ("--lr", "-1"),
        ("--lr", "nan"),
        ("--threads", "0"),
        ("--device", "quantum"),
        ("--device", "cuda:99"),
        ("--model", "transformer"),
        ("--model", "cnn"),
        ("--limit", "1"),
        ("--frobnicate",),
        ("--epochs", "many"),
    ],
)
def test_option_values(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "search", "digits", *arguments)
    assert not Path("runs").exists() or not any(Path("runs").rglob("*.json"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": 1}', "not a policy"),
        ("[1, 2]", "not a policy"),
        ("{", "not JSON"),
        ('{"kind": "localmin policy", "schema": 99}', "newer"),
        ('{"kind": "localmin policy", "schema": 1}', "damaged"),
    ],
)
def test_policy_files(content: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.json").write_text(content)
    assert said in refused(capsys, "train", "digits", "--policy", "p.json", "--epochs", "2")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "digits", "--policy", "nope.json"), "nope.json does not exist"),
        (("train", "digits", "--transfer", "magic"), "unknown transfer 'magic'"),
        (("train", "digits", "--transfer", "probabilities"), "give its run folder"),
        (("train", "digits", "--optimizer", "newton"), "unknown optimizer 'newton'"),
        (("report", "nowhere"), "nowhere is not there"),
        (("frob",), "No such command 'frob'"),
    ],
)
def test_other_commands(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, *arguments)


def test_debug_shows_the_traceback() -> None:
    from localmin.errors import InputError

    with pytest.raises(InputError, match=r"missing\.csv"):
        main(["search", "missing.csv", "--debug"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--optimizer", "adamw"), "--lr"),
        (("--optimizer", "langevin"), "--lr"),
        (("--optimizer", "sgd", "--temperature", "1"), "--temperature"),
        (("--optimizer", "underdamped", "--lr", "0.1", "--temperature", "-1"), "--temperature"),
    ],
)
def test_optimizers(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, "train", "digits", "--epochs", "2", *arguments)
