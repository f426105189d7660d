from __future__ import annotations

import torch

from localmin.sampling.weighted_draw import epoch_draw


def draw(seed: int, **options: object) -> torch.Tensor:
    return epoch_draw(**options)(torch.Generator().manual_seed(seed))  # type: ignore[arg-type]


def test_without_weights_or_with_equal_ones_an_epoch_is_a_permutation() -> None:
    for weights in (None, torch.full((50,), 0.3).double()):
        order = draw(1, weights=weights, num_draws=50)
        assert order.sort().values.tolist() == list(range(50))
        assert order.dtype == torch.int64
        assert not torch.equal(order, draw(2, weights=weights, num_draws=50))
    assert torch.equal(
        draw(1, weights=None, num_draws=50), torch.randperm(50, generator=torch.Generator().manual_seed(1))
    )


def test_counts_are_expected_counts_rounded() -> None:
    weights = torch.tensor([0.0, 1.0, 2.5, 4.0]).double()
    counts = draw(0, weights=weights, num_draws=30).bincount(minlength=4)
    expected = 30 * weights / weights.sum()
    assert counts[0] == 0
    assert bool(((counts - expected).abs() < 1).all())


def test_members_are_drawn_by_their_own_weights_and_nobody_else_is() -> None:
    members = torch.tensor([3, 7, 9])
    weights = torch.arange(10).double()
    counts = draw(0, weights=weights, num_draws=19, members=members).bincount(minlength=10)
    assert counts.tolist() == [0, 0, 0, 3, 0, 0, 0, 7, 0, 9]
    uniform = draw(0, weights=None, num_draws=6, members=members).bincount(minlength=10)
    assert uniform[members].tolist() == [2, 2, 2]
