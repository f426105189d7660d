import json

import pytest

from localmin.experiments import ClaimCheck, check_claim, list_claims

NAMES = [claim.name for claim in list_claims("deep_linear")]


def test_all_rows_of_the_paper_are_there() -> None:
    assert NAMES == [
        "dl-non-convex",
        "dl-local-is-global",
        "dl-saddles",
        "dl-bad-saddles",
        "dl-nonlinear",
        "dl-difficulty",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_claim_holds_at_its_quick_size(name: str) -> None:
    check = check_claim(name, seed=1, quick=True)
    assert check.claim == name
    assert check.verdict == "holds", check.measured
    assert check.figures
    assert ClaimCheck.from_dict(json.loads(json.dumps(check.to_dict()))) == check
