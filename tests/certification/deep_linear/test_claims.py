import pytest
import torch

from localmin.certification.deep_linear.claims import DEEP_LINEAR_CLAIMS, descent_curve

_QUICK = {
    "dl-non-convex": {"num_points": 10},
    "dl-local-is-global": {"num_points": 30, "num_descents": 1},
    "dl-saddles": {"num_points": 40},
    "dl-bad-saddles": {"num_points": 25},
    "dl-nonlinear": {"num_draws": 500},
    "dl-difficulty": {},
}


@pytest.mark.parametrize("claim", sorted(DEEP_LINEAR_CLAIMS))
def test_claim_holds(claim: str) -> None:
    check = DEEP_LINEAR_CLAIMS[claim](**_QUICK[claim])
    assert check.claim == claim
    assert check.holds, check.figures
    assert check.to_dict()["figures"]


def test_plateaus_are_the_losses_of_the_missing_components() -> None:
    x, y = torch.eye(3, dtype=torch.float64), torch.diag(torch.tensor([3.0, 1.5, 0.6], dtype=torch.float64))
    curve = descent_curve(x, y, (3, 3), start_scale=0.003, step_size=0.02, num_steps=20_000, seed=1)
    assert curve.levels[-1] == pytest.approx(5.805)
    for missing in (1.305, 0.18):
        assert min(abs(plateau - missing) for plateau in curve.plateaus) < 0.02
    assert len(curve.losses) == len(curve.gradient_norms) == 20_000
