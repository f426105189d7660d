import math

import pytest
import torch
from torch import Tensor

from localmin.certification.copositivity import judge_on_cone, smallest_on_simplex

NONE = torch.zeros(0, 3, dtype=torch.float64)


def by_sampling(form: Tensor, generator: torch.Generator) -> float:
    draws = torch.rand(200_000, len(form), generator=generator, dtype=torch.float64) ** 3
    draws = draws / draws.sum(dim=1, keepdim=True)
    return float(((draws @ form) * draws).sum(dim=1).min())


def test_the_minimum_over_a_simplex_agrees_with_sampling() -> None:
    generator = torch.Generator().manual_seed(0)
    signs = set()
    for _ in range(30):
        form = torch.randn(3, 3, generator=generator, dtype=torch.float64) + 0.7 * torch.eye(3).double()
        form = form + form.mT
        smallest, point = smallest_on_simplex(form)
        sampled = by_sampling(form, generator)
        assert smallest <= sampled + 1e-12
        assert smallest > sampled - 0.01
        assert float(point @ form @ point) == pytest.approx(smallest)
        assert float(point.sum()) == pytest.approx(1.0)
        signs.add(smallest > 0.0)
    assert signs == {True, False}
    assert smallest_on_simplex(torch.zeros(0, 0))[0] == math.inf


def test_singular_blocks_do_not_hide_the_minimum() -> None:
    # The form (p1 - p2)² has a singular matrix and minimum zero, the other one minimum -1 at a corner.
    ones = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    assert smallest_on_simplex(ones)[0] == pytest.approx(0.0, abs=1e-12)
    corner = torch.tensor([[-1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    assert smallest_on_simplex(corner)[0] == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("form", "zero", "positive", "status"),
    [
        # A saddle in the plane, seen from several cones.
        (torch.diag(torch.tensor([1.0, 1.0, -1.0])), NONE, NONE, "negative"),
        (torch.diag(torch.tensor([1.0, 1.0, -1.0])), torch.eye(3)[2:], NONE, "positive"),
        (torch.diag(torch.tensor([1.0, 1.0, 0.0])), NONE, NONE, "degenerate"),
        (torch.diag(torch.tensor([1.0, 1.0, -1.0])), NONE, torch.eye(3)[2:], "negative"),
        # Positive on the quadrant only: 2 p1 p2 + p3² plus a little on the axes.
        (torch.tensor([[0.1, 1.0, 0], [1.0, 0.1, 0], [0, 0, 1.0]]), NONE, torch.eye(3)[:2], "positive"),
        (torch.tensor([[0.1, -1.0, 0], [-1.0, 0.1, 0], [0, 0, 1.0]]), NONE, torch.eye(3)[:2], "negative"),
        # Linear along a flat line inside the cone: unbounded below.
        (torch.tensor([[1.0, 0, 0.5], [0, 1.0, 0], [0.5, 0, 0.0]]), NONE, torch.eye(3)[:1], "negative"),
        (torch.eye(3), NONE, torch.eye(3)[[0, 0]], "undecided"),
    ],
)
def test_cones(form: Tensor, zero: Tensor, positive: Tensor, status: str) -> None:
    form, zero, positive = form.double(), zero.double(), positive.double()
    found = judge_on_cone(form, zero, positive, 1e-12)
    assert found.status == status
    if found.direction is not None:
        assert float(found.direction @ form @ found.direction) < 0.0
        assert bool((positive @ found.direction >= -1e-12).all())
        assert zero.numel() == 0 or float((zero @ found.direction).abs().max()) < 1e-12
