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
from localmin.sampling.second_opinion import plan_opinion
from localmin.tasks import digits

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
    opinion = plan_opinion(digits(noise=0.4, epochs=6))
    assert opinion is not None
    for how, source in (("recompute", "run/policy.json"), ("tables", "run"), ("probabilities", "run")):
        arguments = ["--noise", "0.4", "--epochs", "6", "--policy", source, "--transfer", how]
        out = run(capsys, "train", "digits", *arguments, "--out", f"again-{how}", "--json")
        result = json.loads(out)
        spent = result["feature_epochs"]
        # Half a training, and the second opinion.
        assert spent == (0 if how == "probabilities" else pytest.approx(3 + opinion.epochs))
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


def test_regression_from_a_table_with_a_page_and_an_explanation(capsys: pytest.CaptureFixture[str]) -> None:
    bunch = datasets.load_diabetes()
    rows = [
        "a,b,c,target",
        *(f"{x[2]},{x[8]},{x[3]},{y + 0.5}" for x, y in zip(bunch.data, bunch.target, strict=True)),
    ]
    Path("patients.csv").write_text("\n".join(rows) + "\n")
    arguments = ["--noise", "0.3", "--epochs", "8", "--preset", "quick", "--out", "run"]
    shown = run(capsys, "search", "patients.csv", *arguments)
    assert "test R²" in shown
    uniform = next(line for line in shown.splitlines() if line.startswith("uniform"))
    assert "%" not in uniform, "R² is no percentage"
    result = json.loads(Path("run/result.json").read_text())
    assert (result["kind"], result["metric"], result["policy"]["form"]) == ("regression", "r2", "a")
    assert result["noise"]["kind"] == "outliers"
    page = Path("run/report.html").read_text()
    assert "test R²" in page
    index = result["per_seed"][0]["drop_report"]["examples"][0]["index"]
    text = run(capsys, "report", "run", "--explain", str(index))
    assert f"example {index}" in text
    stored = json.loads(run(capsys, "report", "run", "--explain", str(index), "--json"))
    assert stored["draws"] < 0.05
    with pytest.raises(SystemExit) as stop:
        main(["report", "run", "--explain", "100000"])
    assert stop.value.code == 2


def test_characters_of_a_text(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.txt").write_text("the quick brown fox jumps over the lazy dog; pack my box with jugs.\n" * 160)
    summary = search(capsys, "a.txt", "--noise", "0.3", "--epochs", "2", "--out", "run")
    assert (summary["kind"], summary["metric"]) == ("language-model", "perplexity")
    assert summary["policy"]["form"] == "d"
    gain = summary["uniform"]["test"]["mean"] - summary["searched"]["test"]["mean"]
    assert summary["gain"]["test"]["mean"] == pytest.approx(gain), "a lower perplexity is a gain"
    page = Path(run(capsys, "report", "run").split("report: ")[1].strip()).read_text()
    assert "test perplexity" in page


def test_right_labels_in_a_second_column(capsys: pytest.CaptureFixture[str]) -> None:
    bunch = datasets.load_wine()
    given = bunch.target.copy()
    given[::5] = (given[::5] + 1) % 3
    names = [f"f{i}" for i in range(13)]
    rows = [",".join([*names, "label", "truth"])]
    rows += [",".join(map(str, [*x, y, t])) for x, y, t in zip(bunch.data, given, bunch.target, strict=True)]
    Path("wine.csv").write_text("\n".join(rows) + "\n")
    summary = search(capsys, "wine.csv", "--clean-label", "truth", "--epochs", "4", "--out", "run")
    assert summary["noise"]["kind"] == "annotators"
    assert 0.1 < summary["noise"]["realised"] < 0.3
    assert summary["oracle"] is not None
    page = Path(run(capsys, "report", "run").split("report: ")[1].strip()).read_text()
    assert "differ from the column of right ones" in page
    assert "on purpose" not in page
