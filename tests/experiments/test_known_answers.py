from __future__ import annotations

import json

import pytest
import torch

from localmin.cli import main
from localmin.errors import InputError
from localmin.experiments.known_answers import KNOWN_ANSWERS, KnownAnswer, selfcheck


@pytest.mark.parametrize("known", KNOWN_ANSWERS, ids=lambda known: f"{known.package}: {known.question}")
def test_every_known_answer_is_right(known: KnownAnswer) -> None:
    (answer,) = selfcheck(known=(known,)).answers
    assert answer.is_right, answer


def test_every_package_answers() -> None:
    assert {known.package for known in KNOWN_ANSWERS} == {
        "numerics", "objective", "sampling", "langevin", "certification", "realization", "reduction",
    }  # fmt: skip


def _fail(device: torch.device) -> float:
    raise InputError("this machine is broken")


def test_wrong_missing_and_failing_answers_are_reported() -> None:
    result = selfcheck(
        known=(
            KnownAnswer("a", "off", 1.0, 0.1, lambda _: 1.2),
            KnownAnswer("a", "not a number", 1.0, 0.1, lambda _: float("nan")),
            KnownAnswer("a", "fails", 1.0, 0.1, _fail),
            KnownAnswer("a", "right", 1.0, 0.1, lambda _: 1.05),
        )
    )
    assert [answer.is_right for answer in result.answers] == [False, False, False, True]
    assert result.answers[2].error == "InputError: this machine is broken"
    assert result.num_wrong == 3


@pytest.mark.parametrize("wrong", [False, True])
def test_exit_code_and_json(
    wrong: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = (KnownAnswer("a", "question", 1.0, 0.1, lambda _: 2.0 if wrong else 1.0),)
    monkeypatch.setattr("localmin.experiments.known_answers.KNOWN_ANSWERS", known)
    for arguments in (["selfcheck", "--json"], ["selfcheck"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        out, _ = capsys.readouterr()
        assert stop.value.code == int(wrong)
        if "--json" in arguments:
            assert json.loads(out)["num_wrong"] == int(wrong)
        else:
            assert ("WRONG" in out) == wrong
