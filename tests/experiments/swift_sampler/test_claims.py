"""The claims about Swift Sampler: verdicts at the quick size, and pictures that can be stored."""

import pytest

from localmin.experiments import ClaimCheck, check_claim, list_claims


def test_all_claims_are_listed() -> None:
    assert [claim.name for claim in list_claims("swift_sampler")] == [
        "ss-ten-parameters",
        "ss-quick-quality",
        "ss-improves",
        "ss-large-scale",
        "ss-transfer",
    ]


def test_ten_parameters_reach_most_of_the_gap() -> None:
    check = check_claim("ss-ten-parameters", seed=0, quick=True)
    assert check.verdict == "holds"
    assert check.measured["parameters"] == {"a": 10, "b": 10, "d": 10, "e": 10}
    assert len(check.figures) == 2
    assert ClaimCheck.from_dict(check.to_dict()).verdict == "holds"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ss-quick-quality", "ss-transfer", "ss-improves"])
def test_the_other_quick_experiments_run(name: str) -> None:
    check = check_claim(name, seed=0, quick=True)
    assert check.verdict in ("holds", "partly")
    assert check.rows
    assert check.figures


@pytest.mark.slow
def test_large_scale_says_that_it_is_scaled_down() -> None:
    check = check_claim("ss-large-scale", seed=0, quick=True)
    assert check.is_scaled_down
    assert check.measured["search_cost"] < 1
