"""The main job from the command line, on every kind of data a user may have."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets

from localmin.cli import main

KEYS = {
    "command",
    "data",
    "seeds",
    "noise",
    "uniform",
    "searched",
    "oracle",
    "gap_closed",
    "policy",
    "num_trials",
    "cost",
    "recommendation",
    "versions",
}


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder with an empty home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the program and give what it printed on standard output."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert stop.value.code == 0, err
    return out


def search(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(run(capsys, "search", *arguments, "--preset", "quick", "--json"))
    assert set(summary) >= KEYS
    assert summary["recommendation"] in ("searched", "uniform")
    return summary


def test_json_of_several_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    summary = search(capsys, "digits", "--noise", "0.4", "--seeds", "0,2", "--epochs", "6", "--out", "run")
    assert summary["seeds"] == [0, 2]
    assert summary["noise"]["realised"] == pytest.approx(0.4)
    assert len(summary["searched"]["test"]["values"]) == 2
    assert summary["oracle"]["test"]["mean"] > summary["uniform"]["test"]["mean"]
    assert summary["num_trials"] == 5
    assert len(summary["policy"]["z"]) == 10
    cost = summary["cost"]
    assert cost["ratio"] == pytest.approx(cost["search_epochs"] / cost["training_epochs"])
    assert cost["ratio"] <= 2.5
    # What is printed is what is stored.
    assert json.loads(Path("run/result.json").read_text()) == summary
    for name in ("policy.json", "model.safetensors", "features.safetensors", "trials.log", "dropped.csv"):
        assert Path("run", name).exists()
        assert Path("run/seed-2", name).exists()


def test_repeating_a_finished_command_gives_the_same_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    first = search(capsys, "digits", "--noise", "0.2", "--epochs", "4")
    (folder,) = Path("runs").iterdir()
    changed = {path: path.stat().st_mtime_ns for path in folder.glob("stages/*")}
    again = search(capsys, "digits", "--noise", "0.2", "--epochs", "4")
    assert {path: path.stat().st_mtime_ns for path in folder.glob("stages/*")} == changed
    first["cost"].pop("seconds")
    again["cost"].pop("seconds")
    for summary in (first, again):
        for result in summary["per_seed"]:
            result["cost"].pop("seconds")
    assert again == first


def test_table_and_report_without_json(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(
        capsys, "search", "digits", "--noise", "0.4", "--epochs", "4", "--preset", "quick", "--out", "run"
    )
    for word in ("uniform", "searched", "oracle", "report.html"):
        assert word in out
    page = Path("run/report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html")
    Path("run/report.html").unlink()
    run(capsys, "report", "run")
    assert Path("run/report.html").read_text() == page


def test_csv(capsys: pytest.CaptureFixture[str]) -> None:
    bunch = datasets.load_breast_cancer()
    columns = [f"f{i}" for i in range(bunch.data.shape[1])]
    lines = [",".join([*columns, "diagnosis"])]
    for row, label in zip(bunch.data, bunch.target, strict=True):
        lines.append(",".join([*map(str, row), "malignant" if label == 0 else "benign"]))
    Path("cancer.csv").write_text("\n".join(lines) + "\n")
    summary = search(
        capsys, "cancer.csv", "--label", "diagnosis", "--epochs", "6", "--batch-size", "16", "--noise", "0.2"
    )
    # Two classes have no renormed entropy: form a is chosen.
    assert summary["policy"]["form"] == "a"
    assert summary["per_seed"][0]["task"]["class_names"] == ["benign", "malignant"]


def _image(rng: np.random.Generator, label: int) -> Image.Image:
    pixels = rng.integers(0, 120, (16, 16, 3), dtype=np.uint8)
    pixels[:, label * 5 : label * 5 + 5, label] += 120
    return Image.fromarray(pixels)


def test_folder_of_class_folders(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for label, name in enumerate(("red", "green", "blue")):
        Path("photos", name).mkdir(parents=True)
        for i in range(60):
            _image(rng, label).save(Path("photos", name, f"{i}.png"))
    summary = search(capsys, "photos", "--epochs", "2", "--batch-size", "16", "--noise", "0.3")
    assert summary["per_seed"][0]["task"]["model"] == "cnn"
    assert summary["per_seed"][0]["task"]["class_names"] == ["blue", "green", "red"]


def test_parquet_of_image_bytes_with_a_test_set(capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    for name, count in (("train", 150), ("test", 60)):
        images, labels = [], []
        for i in range(count):
            stream = io.BytesIO()
            _image(rng, i % 3).save(stream, "JPEG")
            images.append(stream.getvalue())
            labels.append(i % 3)
        pq.write_table(pa.table({"image": images, "label": labels}), f"{name}.parquet")
    summary = search(
        capsys, "train.parquet", "--test", "test.parquet", "--model", "cnn", "--epochs", "2",
        "--batch-size", "16", "--limit", "120",
    )  # fmt: skip
    sizes = summary["per_seed"][0]["task"]["sizes"]
    assert sizes == {"train": 96, "validation": 24, "test": 60}


FACTORY = """
import torch
from torch import nn
import localmin
from localmin.tasks import Examples, Recipe


def make(seed: int):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(400, 5, generator=generator)
    labels = (inputs[:, :3]).argmax(1)
    def part(a, b):
        return Examples(inputs[a:b], labels[a:b])
    return localmin.Task(
        "mine", part(0, 240), part(240, 300), part(300, 400),
        lambda: nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3)), 3,
        recipe=Recipe(epochs=6, batch_size=16, lr=0.05), model_name="two layers",
    )
"""


def test_task_from_a_factory(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text(FACTORY)
    summary = search(capsys, "mine.py:make", "--seeds", "0-1", "--noise", "0.3")
    assert summary["data"] == "mine"
    assert summary["noise"]["realised"] == pytest.approx(0.3)


def test_training_with_a_policy_found_before(capsys: pytest.CaptureFixture[str]) -> None:
    search(capsys, "digits", "--noise", "0.4", "--epochs", "6", "--out", "run")
    for how, source in (("recompute", "run/policy.json"), ("tables", "run"), ("probabilities", "run")):
        arguments = ["--noise", "0.4", "--epochs", "6", "--policy", source, "--transfer", how]
        out = run(capsys, "train", "digits", *arguments, "--out", f"again-{how}", "--json")
        result = json.loads(out)
        assert result["feature_epochs"] == (0 if how == "probabilities" else 3)
        assert 0.1 < result["scores"]["test"] <= 1
        assert Path(f"again-{how}/model.safetensors").exists()


@pytest.mark.parametrize("optimizer", ["langevin", "underdamped", "non-reversible"])
def test_training_under_langevin_dynamics(optimizer: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--optimizer", optimizer, "--lr", "0.1", "--temperature", "1e-6", "--epochs", "8"]
    result = json.loads(run(capsys, "train", "digits", *arguments, "--out", "run", "--json"))
    assert result["scores"]["test"] > 0.5
    # The run folder knows the temperature: another one is another job.
    with pytest.raises(SystemExit) as stop:
        main(["train", "digits", *arguments[:-3], "1e-5", "--epochs", "8", "--out", "run"])
    assert stop.value.code == 2
    assert "another job" in capsys.readouterr().err
