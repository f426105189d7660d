from __future__ import annotations

import json
from pathlib import Path

import pytest

from localmin.charts import Chart, Series
from localmin.cli import main
from localmin.errors import InputError, RunFolderError
from localmin.experiments import Claim, ClaimCheck, campaign
from localmin.reports.claims_page import write_claims_page

CALLS: list[str] = []


def _experiment(name: str, verdict: str) -> Claim:
    def run(*, seed: int, quick: bool) -> ClaimCheck:
        CALLS.append(name)
        figure = Chart("c-" + name, "C <b>", "x", "y", (Series("", (0, 1), (0, seed)),))
        return ClaimCheck(
            name, verdict, "a < b", {"quick": quick}, "none", "small", True, ({"a": 1.5},), (figure,)  # type: ignore[arg-type]
        )  # fmt: skip

    return Claim(name, f"statement of {name}", run)


CLAIMS = [
    ("deep_linear", _experiment("dl-one", "holds")),
    ("deep_linear", _experiment("dl-two", "does-not-hold")),
    ("langevin", _experiment("la-one", "partly")),
]


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    CALLS.clear()
    monkeypatch.chdir(tmp_path)

    def listed(paper: str | None = None) -> tuple[Claim, ...]:
        return tuple(claim for home, claim in CLAIMS if paper in (None, home))

    for module in ("localmin.experiments.campaign.list_claims", "localmin.experiments.list_claims"):
        monkeypatch.setattr(module, listed)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", *arguments])
    out, err = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, out, err


def test_a_second_run_takes_what_the_first_has_stored(tmp_path: Path) -> None:
    first = campaign.reproduce(("dl-one",), out=tmp_path / "r")
    both = campaign.reproduce(("deep_linear",), out=tmp_path / "r")
    assert CALLS == ["dl-one", "dl-two"]
    assert both.checked[0].check == first.checked[0].check
    assert both.checked[0].seconds == first.checked[0].seconds


def test_results_of_other_code_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign.reproduce(("dl-one",), out=tmp_path / "r")
    monkeypatch.setattr("localmin.experiments.campaign.code_digest", lambda: "other")
    with pytest.raises(RunFolderError, match="code"):
        campaign.reproduce(("dl-one",), out=tmp_path / "r")


def test_exit_code_says_whether_every_claim_holds(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "dl-one", "la-one", "--quick", "--json")
    assert code == 0
    found = json.loads(out)
    assert [claim["claim"] for claim in found["claims"]] == ["la-one", "dl-one"]
    assert found["claims"][1]["measured"] == {"quick": True}
    code, out, err = run(capsys)
    assert code == 1
    assert "does not hold here" in out
    assert "3 of 3: dl-two" in err


def test_list_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--list")
    assert code == 0
    assert not CALLS
    assert "statement of la-one" in out
    assert json.loads(run(capsys, "--list", "--json")[1])[0]["claim"] == "la-one"


def test_an_unknown_claim_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "dl-one", "dl-three")
    assert code == 2
    assert not CALLS
    assert "unknown claim dl-three" in err
    assert err.count("\n") == 1
    with pytest.raises(InputError):
        campaign.reproduce(("nothing",))


def test_the_page_holds_figures_rows_and_escaped_words(tmp_path: Path) -> None:
    page = write_claims_page(tmp_path, campaign.reproduce(seed=2), command="localmin <reproduce>").read_text()
    for words in (
        "dl-two: does not hold here",
        "scaled down",
        "a &lt; b",
        "&lt;reproduce&gt;",
        "<svg",
        "1.5",
    ):
        assert words in page
    assert "C <b>" not in page
