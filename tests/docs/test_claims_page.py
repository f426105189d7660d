"""The page of claims is what its record says, and the record has every claim."""

import json
from collections.abc import Callable
from types import ModuleType

import pytest

from localmin.experiments import PAPERS, list_claims


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("benchmarks/claims_page.py")


def test_the_page_is_written_from_the_record(script: ModuleType) -> None:
    written = script.page(json.loads(script.RECORD.read_text()))
    assert script.PAGE.read_text() == written, "run python benchmarks/claims_page.py"


def test_the_record_is_of_a_full_run_of_every_claim(script: ModuleType) -> None:
    record = json.loads(script.RECORD.read_text())
    assert not record["quick"]
    known = [(PAPERS[paper], claim.name, claim.statement) for paper in PAPERS for claim in list_claims(paper)]
    assert [(one["paper"], one["claim"], one["statement"]) for one in record["claims"]] == known


def test_a_run_of_some_claims_replaces_those_alone(script: ModuleType) -> None:
    before = json.loads(script.RECORD.read_text())["claims"]
    new = {**before[3], "seconds": -1.0}
    after = script.merge([new])
    assert after[3] == new
    assert after[:3] + after[4:] == before[:3] + before[4:]
