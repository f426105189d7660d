import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from localmin.certification import Certificate, certify
from localmin.cli import main
from localmin.tasks import open_trained, trained_objective
from localmin.tasks.request import TaskRequest

FACTORY = """
import torch
from dataclasses import replace
from torch import nn
from localmin.tasks import digits, Recipe

def tiny(seed=0):
    def model():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Tanh(), nn.Linear(3, 10))
    recipe = Recipe(epochs=1, weight_decay=1e-2)
    return replace(digits(seed=seed), model=model, model_name="tiny", recipe=recipe)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("factory") / "tasks.py"
    path.write_text(FACTORY)
    return f"{path}:tiny"


@pytest.fixture(scope="module")
def zeros(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights at which the loss has no slope but through the last biases, set to what is best for them."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Tanh(), nn.Linear(3, 10))
    path = tmp_path_factory.mktemp("weights") / "zeros.safetensors"
    save_file({name: torch.zeros_like(part) for name, part in model.state_dict().items()}, path)
    return path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return int(stopped.value.code or 0)


def test_a_run_is_certified_in_its_folder(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run("train", data, "--out", str(folder)) == 0
    capsys.readouterr()
    code = run("certify", str(folder), "--gradient-tolerance", "0.5", "--max-hvps", "60")
    told = capsys.readouterr()
    certificate = Certificate.load(folder)
    objective = trained_objective(open_trained(folder))
    assert certificate.recheck(objective).holds
    assert certificate.to_dict() == certify(objective, gradient_tolerance=0.5, max_hvps=60).to_dict()
    assert code == (certificate.verdict not in ("local-minimum", "global-minimum", "second-order-point"))
    assert told.out.startswith(certificate.verdict)
    assert "not shown" in told.out
    assert "parameters" in told.err
    page = (folder / "certificate.html").read_text()
    assert certificate.verdict in page
    assert page.count("<svg") >= 3
    names = [one["name"] for one in json.loads((folder / "certificate_figures.json").read_text())["figures"]]
    assert names == ["spectrum", "witness", "plane"]


def test_a_saddle_is_left(data: str, zeros: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = (str(zeros), data, "--out", str(tmp_path), "--gradient-tolerance", "0.05", "--examples", "300")
    assert run("certify", *common, "--json", "--no-figures") == 1
    before = json.loads(capsys.readouterr().out)
    assert before["verdict"] == "strict-saddle"
    assert before == Certificate.load(tmp_path).to_dict()
    assert before["num_examples"] == 300
    assert not (tmp_path / "certificate.html").exists()
    run("certify", *common, "--json", "--escape", "--max-rounds", "3")
    after = json.loads(capsys.readouterr().out)
    assert after["rounds"][0]["verdict"] == "strict-saddle"
    assert after["value"] < 0.7 * before["value"]
    better = open_trained(tmp_path / "escaped.safetensors", request=TaskRequest(data))
    value = trained_objective(better, limit=300).value()
    assert value == pytest.approx(after["value"], rel=1e-5)
    assert "Train, certify, escape" in (tmp_path / "certificate.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere does not exist"),
        (("{zeros}",), "say which DATA"),
        (("{zeros}", "digits"), "does not fit the network"),
        (("{zeros}", "{data}", "--max-hvps", "3"), "max_hvps >= 10"),
        (("{zeros}", "{data}", "--gradient-tolerance", "-1"), "gradient_tolerance"),
        (("{zeros}", "{data}", "--escape", "--max-rounds", "0"), "max_rounds"),
        (("{zeros}", "{data}", "--examples", "0"), "at least 1"),
    ],
)
def test_wrong_input_is_one_line(
    data: str, zeros: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("certify", *(one.format(zeros=zeros, data=data) for one in arguments)) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert message in told[-1]
    assert told[-1].startswith("localmin: ")
