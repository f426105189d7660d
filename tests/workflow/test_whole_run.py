from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localmin.cli import main

ARGUMENTS = ("run", "digits", "--noise", "0.4", "--epochs", "8", "--limit", "500", "--points", "100")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def without_time(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: without_time(value) for key, value in content.items() if "seconds" not in key}
    return [without_time(value) for value in content] if isinstance(content, list) else content


def test_one_command_answers_everything_and_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    code, out, err = run(capsys, *ARGUMENTS, "--optimizer", "langevin", "--lr", "0.05", "--out", str(folder))
    assert code == 0, err
    told = " ".join(out.split())
    for words in ("Where training ended", "How small it gets", "report:"):
        assert words in told
    assert "of the hidden neurons are enough" in told or "No narrower network" in told
    page = (folder / "report.html").read_text()
    assert "Where training ended" in page
    dynamics = "overdamped Langevin dynamics (lr 0.05, temperature 0)"
    assert f"trained once more, by {dynamics}: test accuracy" in told
    assert f'data-key="dynamics.described">{dynamics}<' in page
    assert "How small it gets" in page
    ending = json.loads((folder / "ending.json").read_text())
    assert f'data-key="ending.trained.value">{ending["trained"]["value"]:.3g}<' in page
    files = {path: path.read_bytes() for path in folder.rglob("*.json")}
    # As if killed in the middle: what was stored is taken, the rest is made again, equal.
    for name in ("shrinking.json", "result.json"):
        (folder / name).unlink()
    (folder / "afterwards" / "stages" / "shrinking.json").unlink()
    code, out, err = run(
        capsys, *ARGUMENTS, "--optimizer", "langevin", "--lr", "0.05", "--out", str(folder), "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    assert set(found) == {"search", "dynamics", "ending", "shrinking"}
    assert "name='langevin'" in found["dynamics"]["optimizer"]
    steps = found["search"]["per_seed"][0]["arms"]["uniform"]["num_steps"]
    assert found["dynamics"]["num_steps"] == steps
    for path, content in files.items():
        assert without_time(json.loads(path.read_text())) == without_time(json.loads(content)), path


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--points", "0"), "'--points': "),
        (("--optimizer", "langevin"), "needs --lr"),
        (("--optimizer", "newton"), "unknown optimizer"),
        (("--temperature", "0.1"), "--temperature is for"),
        (("--preset", "slow"), "preset"),
    ],
)
def test_wrong_options_are_refused_in_one_line_before_anything_is_done(
    wrong: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, *ARGUMENTS, *wrong, "--out", str(tmp_path / "run"))
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_options_of_search_and_train_work_here_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dynamics = ("--optimizer", "underdamped", "--lr", "0.05", "--friction", "2", "--scheme", "obabo")
    arguments = (*ARGUMENTS, "--epochs", "2", "--engine", "random", "--trials", "3", *dynamics)
    found = []
    for name, where in (("alone", ()), ("shared", ("--workers", "2"))):
        code, out, err = run(capsys, *arguments, *where, "--out", str(tmp_path / name), "--json")
        assert code == 0, err
        found.append(json.loads(out))
    alone, shared = found
    assert len(alone["search"]["per_seed"][0]["trials"]) == 3
    assert "'friction': 2.0, 'scheme': 'obabo'" in alone["dynamics"]["optimizer"]
    for key in ("dynamics", "ending", "shrinking"):
        assert without_time(alone[key]) == without_time(shared[key])
