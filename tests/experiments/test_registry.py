import pytest

from localmin.errors import InputError
from localmin.experiments import PAPERS, ClaimCheck, check_claim, list_claims


def test_every_paper_can_be_listed() -> None:
    together = [claim.name for paper in PAPERS for claim in list_claims(paper)]
    assert together == [claim.name for claim in list_claims()]
    assert len(set(together)) == len(together)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown claim"):
        check_claim("no-such-claim")
    with pytest.raises(InputError, match="swift_sampler"):
        list_claims("no-such-paper")


def test_a_verdict_is_one_of_three() -> None:
    with pytest.raises(InputError, match="holds"):
        ClaimCheck("dl-saddles", "true", "", {}, "")  # type: ignore[arg-type]
