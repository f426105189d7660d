"""The claims about Langevin dynamics, at their quick sizes; and that a wrong dynamics would be noticed."""

import math

import pytest

from localmin.experiments import ClaimCheck, check_claim, list_claims
from localmin.experiments.langevin import exits, recurrence
from localmin.experiments.langevin.comparison import Comparison, verdict_of
from localmin.langevin import OverdampedKernel, UnderdampedKernel, theory

CLAIMS = [
    "la-local-then-global",
    "la-dichotomy",
    "la-recurrence-underdamped",
    "la-recurrence-skew",
    "la-exit",
]


def test_every_claim_has_an_experiment() -> None:
    assert [claim.name for claim in list_claims("langevin")] == CLAIMS


@pytest.mark.parametrize("name", CLAIMS)
def test_the_claim_holds_at_the_quick_size(name: str) -> None:
    check = check_claim(name, seed=0, quick=True)
    assert check.verdict == "holds", [row for row in check.rows if not row["holds"]]
    assert check.claim == name
    assert all(row["error"] == row["measured"] - row["expected"] for row in check.rows)
    assert set(check.measured) >= {row["quantity"] for row in check.rows}
    assert check.figures
    assert ClaimCheck.from_dict(check.to_dict()) == check


@pytest.mark.slow
@pytest.mark.parametrize("name", CLAIMS)
def test_the_claim_holds_in_full(name: str) -> None:
    check = check_claim(name, seed=1)
    assert check.verdict == "holds", [row for row in check.rows if not row["holds"]]


def test_comparisons_sum_up_and_nan_does_not_hold() -> None:
    good, bad = Comparison("a", 1.0, 1.1, 0.2), Comparison("b", 1.0, math.nan, 9.0)
    assert verdict_of([good]) == "holds"
    assert verdict_of([good, bad]) == "partly"
    assert verdict_of([bad]) == "does-not-hold"


def test_a_scheme_without_the_gain_is_told_from_one_with_it() -> None:
    curvatures = (0.01, 1.0)
    step = theory.best_step_size(curvatures, "exponential", friction=0.2)
    slow = recurrence.measured_efold(
        UnderdampedKernel(step, 0.2, scheme="exponential"), curvatures, num_steps=2000
    )
    fast = recurrence.measured_efold(UnderdampedKernel(1.99, 0.2), curvatures, num_steps=150)
    assert slow > 15 * fast


def test_a_kernel_that_is_too_hot_fails_the_exact_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    hot = OverdampedKernel
    monkeypatch.setattr(exits, "OverdampedKernel", lambda step, temperature: hot(step, 1.2 * temperature))
    _, comparisons = exits._underdamped_exits(32.0, 900, 0)
    assert not comparisons[0].holds
