"""The page of claims is what its record says, and the record has every claim."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from localmin.experiments import PAPERS, list_claims

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("claims_page", ROOT / "benchmarks" / "claims_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_written_from_the_record(script: ModuleType) -> None:
    written = script.page(json.loads(script.RECORD.read_text()))
    assert script.PAGE.read_text() == written, "run python benchmarks/claims_page.py"


def test_the_record_is_of_a_full_run_of_every_claim(script: ModuleType) -> None:
    record = json.loads(script.RECORD.read_text())
    assert not record["quick"]
    known = [(PAPERS[paper], claim.name, claim.statement) for paper in PAPERS for claim in list_claims(paper)]
    assert [(one["paper"], one["claim"], one["statement"]) for one in record["claims"]] == known
