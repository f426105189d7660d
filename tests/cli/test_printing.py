"""What programs read is JSON, whatever a result holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import localmin.cli
from localmin.cli import main
from localmin.cli.printing import print_json
from localmin.experiments import campaign
from localmin.experiments.claim import ClaimCheck


def test_what_is_not_finite_becomes_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [1.0, float("-inf")], "c": (2,)})
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert json.loads(printed) == {"a": None, "b": [1.0, None], "c": [2]}


def test_commands_print_json_in_this_way_only() -> None:
    for file in Path(localmin.cli.__file__).parent.glob("*.py"):
        assert file.name == "printing.py" or "json.dumps" not in file.read_text(), file


def test_a_claim_with_a_hole_in_its_picture_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ClaimCheck.to_dict

    def with_hole(check: ClaimCheck) -> dict[str, object]:
        return whole(check) | {"rows": [{"gap": float("nan")}]}

    monkeypatch.setattr(ClaimCheck, "to_dict", with_hole)
    monkeypatch.setattr(campaign, "code_digest", lambda: "0")
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", "dl-non-convex", "--quick", "--json", "--out", str(tmp_path)])
    assert stop.value.code == 0
    assert json.loads(capsys.readouterr().out)["claims"][0]["rows"] == [{"gap": None}]
