import json
from pathlib import Path

import pytest
import torch

from localmin.cli.main import main
from localmin.reduction import load_reduced
from localmin.tasks import open_trained


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    with pytest.raises(SystemExit):
        main(["train", "digits", "--limit", "40", "--epochs", "2", "--out", str(folder)])
    return folder


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["reduce", *arguments])
    captured = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, captured.out, captured.err


def test_a_run_becomes_smaller(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run([str(run_folder), "--points", "20", "--extra-points", "3"], capsys)
    assert code == 0
    for text in ("neurons", "squared norm", "held-out drift", "test accuracy", "on 20 of 32 training"):
        assert text in out
    assert "memory about" in err
    trained = open_trained(run_folder)
    small = load_reduced(trained.model, run_folder / "reduced")
    points, _ = trained.examples("train", limit=20)
    with torch.no_grad():
        reference = trained.model(points)
        change = (small(points) - reference).abs().max()
    assert float(change) < 1e-5 * float(reference.abs().max())
    sizes = [sum(part.numel() for part in model.parameters()) for model in (trained.model, small)]
    assert sizes[1] < sizes[0]


def test_json_and_another_folder(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(run_folder), "--points", "20", "--json", "--out", str(tmp_path / "smaller")]
    code, out, _ = run(arguments, capsys)
    printed = json.loads(out)
    assert code == 0
    assert printed["command"] == "reduce"
    assert printed["max_output_change_relative"] <= 1e-10
    assert printed["norm_after"] <= printed["norm_before"]
    assert printed["loss_after"] <= printed["loss_before"] * (1 + 1e-12)
    assert printed["drift_relative"] > 0
    stored = json.loads((tmp_path / "smaller" / "reduction.json").read_text())
    assert stored.pop("schema") == 1
    assert stored == {name: value for name, value in printed.items() if name not in {"command", "folder"}}


def test_a_checkpoint_with_its_data(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "weights.pt"
    torch.save(open_trained(run_folder).model.state_dict(), checkpoint)
    code, out, _ = run(
        [str(checkpoint), "digits", "--limit", "40", "--mode", "ridge-refit", "--widths", "30,20"], capsys
    )
    assert code == 0
    assert "ridge-refit (approximate)" in out
    assert (tmp_path / "weights-reduced" / "network.safetensors").exists()
    code, out, _ = run(
        [str(checkpoint), "digits", "--limit", "40", "--mode", "coreset", "--points", "8"], capsys
    )
    assert "coreset (approximate), on 8 of 32" in out
    code, out, _ = run([str(checkpoint), "digits", "--limit", "40", "--mode", "truncated-ranks"], capsys)
    assert "truncated-ranks (approximate), on 32 of 32" in out


def test_nothing_to_remove_is_a_no(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    narrow = tmp_path / "narrow.py"
    narrow.write_text(
        "from torch import nn\n\n\ndef build():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.LeakyReLU(), nn.Linear(3, 3))\n"
    )
    folder = tmp_path / "run"
    with pytest.raises(SystemExit):
        main(["train", "iris", "--model", f"{narrow}:build", "--epochs", "1", "--out", str(folder)])
    capsys.readouterr()
    code, out, _ = run([str(folder)], capsys)
    assert code == 1
    assert "there only dead, parallel or dependent neurons" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mode", "smallest"], "unknown mode"),
        (["--mode", "coreset"], "--points"),
        (["--mode", "ridge-refit"], "--widths"),
        (["--mode", "ridge-refit", "--widths", "a,b"], "numbers such as 60,40"),
        (["--widths", "3,4"], "ridge-refit"),
        (["--mode", "coreset", "--points", "3", "--extra-points", "2"], "exact modes"),
        (["--points", "0"], "at least 1"),
        (["digits"], "knows its own data"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str], message: str, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run([str(run_folder), *arguments], capsys)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
