"""`localmin compare A B`: verdict, exit code, files, and what is refused."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from localmin.cli import main
from localmin.networks import ReLUNetwork


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["compare", *arguments])
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def write(name: str, seed: int, *widths: int) -> ReLUNetwork:
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer, (before, after) in enumerate(itertools.pairwise(widths)):
        tensors[f"{2 * layer}.weight"] = torch.randn(after, before, generator=generator)
        tensors[f"{2 * layer}.bias"] = torch.randn(after, generator=generator)
    save_file(tensors, name)
    depth = len(widths) - 1
    return ReLUNetwork(
        [tensors[f"{2 * k}.weight"] for k in range(depth)], [tensors[f"{2 * k}.bias"] for k in range(depth)]
    )


def write_disguised(name: str, network: ReLUNetwork) -> None:
    order = torch.arange(len(network.weights[0])).flip(0)
    save_file(
        {
            "fc1.weight": (network.weights[0] * 2)[order],
            "fc1.bias": (network.bias_vectors[0] * 2)[order],
            "fc2.weight": (network.weights[1] / 2)[:, order].contiguous(),
            "fc2.bias": network.bias_vectors[1],
        },
        name,
    )


def test_equal_functions_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    write_disguised("b.safetensors", write("a.safetensors", 0, 2, 5, 3))
    code, out, _ = run(capsys, "a.safetensors", "b.safetensors")
    assert code == 0
    assert "verdict: the same function (all invariants agree within the tolerance)" in out
    assert "kinks: 5 agree, 0 jump differently, 0 only in a, 0 only in b" in out
    # In exact arithmetic too: the factor was a power of two.
    code, out, _ = run(capsys, "a.safetensors", "b.safetensors", "--tolerance", "0", "--json")
    assert code == 0
    assert json.loads(out)["equality"]["method"] == "rational"


def test_different_functions_exit_1_and_leave_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    network = write("a.safetensors", 0, 2, 5, 3)
    changed = network.weights[1].clone()
    changed[1, 2] += 1e-2
    write_disguised("b.safetensors", ReLUNetwork([network.weights[0], changed], network.biases))
    code, out, _ = run(capsys, "a.safetensors", "b.safetensors", "--box", "-1,1", "--out", "c", "--json")
    assert code == 1
    found = json.loads(out)
    assert found["equality"]["verdict"] == "different"
    assert found["seminorm"]["exact"]
    (difference,) = found["differences"]
    assert (difference["kind"], difference["neurons_a"], difference["neurons_b"]) == ("both", [2], [2])
    assert 0 < found["sup"]["lower"] <= found["sup"]["upper"]
    assert [figure["name"] for figure in found["figures"]] == ["kinks", "differences", "matching"]
    stored = json.loads(Path("c/comparison.json").read_text())
    assert stored["equality"] == found["equality"]
    page = Path("c/comparison.html").read_text()
    assert "Different functions" in page
    assert page.count("<svg") >= 3
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_functions_of_one_input_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.safetensors", 0, 1, 3, 1)
    write("b.safetensors", 1, 1, 4, 1)
    code, out, _ = run(capsys, "a.safetensors", "b.safetensors", "--json")
    assert code == 1
    assert [figure["name"] for figure in json.loads(out)["figures"]] == ["functions", "matching"]


def test_too_much_work_is_announced_and_bounds_are_given(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.safetensors", 0, 6, 20, 1)
    write("b.safetensors", 1, 6, 20, 1)
    code, out, err = run(capsys, "a.safetensors", "b.safetensors", "--max-work", "1000")
    assert code == 1
    assert "giving bounds of it instead" in err
    assert "largest difference of a derivative: between " in out
    assert "needs 3.1e+07 steps; --max-work allows them" in out


def test_run_folders(capsys: pytest.CaptureFixture[str]) -> None:
    for seed in ("0", "1"):
        with pytest.raises(SystemExit):
            main(["train", "iris", "--epochs", "1", "--seed", seed, "--out", f"r{seed}"])
    capsys.readouterr()
    assert run(capsys, "r0", "r0")[0] == 0
    code, out, _ = run(capsys, "r0", "r1", "--json")
    assert code == 1
    found = json.loads(out)
    # Another split has another mean: the normalisations became part of the networks.
    assert found["inputs"] == "raw"
    assert found["on_data"]["num_rows"] > 0
    assert len(found["losses_as_given"]) == len(found["losses_aligned"]) == 11
    assert found["losses_as_given"][0] == pytest.approx(found["losses_aligned"][0])
    assert found["alignment"]["distance_after"] <= found["alignment"]["distance_before"]
    # The same weights as a checkpoint with its data.
    assert run(capsys, "r0", "r0/model.safetensors", "--data", "iris")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing", "a.safetensors"), "missing does not exist"),
        (("a.safetensors", "narrow.safetensors"), "same input and output sizes"),
        (("a.safetensors", "a.safetensors", "--box", "3"), "--box expects two numbers"),
        (("a.safetensors", "a.safetensors", "--box", "1,0"), "LOW <= HIGH"),
        (("a.safetensors", "a.safetensors", "--tolerance", "-1"), "tolerance_relative"),
        (("a.safetensors", "conv.safetensors"), "holds more than linear layers (0.weight)"),
        (("a.safetensors", "nan.safetensors"), "every entry must be finite"),
        (("deep.safetensors", "deep.safetensors", "--box", "0,1"), "at most one hidden layer"),
        (("deep.safetensors", "deep.safetensors", "--tolerance", "0"), "at most one hidden layer"),
    ],
)
def test_wrong_input(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str) -> None:
    write("a.safetensors", 0, 2, 5, 3)
    write("narrow.safetensors", 0, 2, 5, 2)
    write("deep.safetensors", 0, 2, 5, 5, 3)
    save_file({"0.weight": torch.ones(1, 1, 2, 2)}, "conv.safetensors")
    save_file({"0.weight": torch.full((3, 2), float("nan"))}, "nan.safetensors")
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert err.count("\n") == 1
