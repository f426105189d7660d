"""The draws against exact arithmetic, exhaustive offsets, enumerated laws and chi-square bounds."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from localmin.errors import InputError
from localmin.sampling import draws
from localmin.sampling.draws import distinct_draw, independent_draw, systematic_draw
from localmin.sampling.weight_table import (
    WeightTable,
    effective_sample_size,
)

ALL_DRAWS = [systematic_draw, independent_draw, distinct_draw]
Draw = Callable[..., Tensor]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counts_of(indices: Tensor, num_weights: int) -> Tensor:
    return torch.bincount(indices, minlength=num_weights)


def chi_square_tail(observed: Tensor, expected: Tensor) -> float:
    """Probability of a chi-square statistic at least as large."""
    statistic = float(((observed - expected) ** 2 / expected).sum())
    return float(stats.chi2.sf(statistic, len(expected) - 1))


@pytest.fixture
def tiny_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pieces and blocks so short that a handful of items needs many of both."""
    monkeypatch.setattr(draws, "_PIECE", 3)
    monkeypatch.setattr(draws, "_MAX_UNSPLIT", 1)
    monkeypatch.setattr(draws, "_BLOCK", 2)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


# --- requests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", ALL_DRAWS)
@pytest.mark.parametrize("num_samples", [0, -1, 2.0, True])
def test_draws_refuse_a_senseless_number_of_samples(draw: Draw, num_samples: int) -> None:
    with pytest.raises(InputError, match="num_samples: expected a whole number >= 1"):
        draw([1.0, 2.0], num_samples, seeded(0))


@pytest.mark.parametrize("draw", ALL_DRAWS)
def test_draws_refuse_a_dtype_that_is_no_index(draw: Draw) -> None:
    with pytest.raises(InputError, match=r"dtype: expected torch\.int64"):
        draw([1.0, 2.0], 1, seeded(0), dtype=torch.float32)


@pytest.mark.parametrize("draw", ALL_DRAWS)
def test_draws_give_the_dtype_asked_for_and_the_same_indices(draw: Draw) -> None:
    weights = torch.rand(50, dtype=torch.float64, generator=seeded(1))
    wide, narrow = draw(weights, 30, seeded(2)), draw(weights, 30, seeded(2), dtype=torch.int32)
    assert (wide.dtype, narrow.dtype) == (torch.int64, torch.int32)
    assert wide.tolist() == narrow.tolist()


@pytest.mark.parametrize("weight", [1e308, 5e-324])
def test_sums_that_overflow_or_underflow_are_scaled(weight: float) -> None:
    weights = [weight, 0.0, weight, weight, weight]
    assert counts_of(systematic_draw(weights, 8, seeded(0)), 5).tolist() == [2, 0, 2, 2, 2]
    assert counts_of(independent_draw(weights, 8, seeded(0)), 5)[1] == 0
    assert effective_sample_size(weights) == pytest.approx(4.0)


# --- systematic: counts ---------------------------------------------------------------------------------

weight_values = st.one_of(
    st.just(0.0),
    st.floats(0.01, 100.0),
    st.floats(1e-12, 1e12),
    st.integers(0, 4).map(float),
)
weight_lists = st.lists(weight_values, min_size=1, max_size=40).filter(lambda weights: sum(weights) > 0)


@settings(max_examples=300, deadline=None)
@given(weight_lists, st.integers(1, 500), st.integers(0, 2**32 - 1))
def test_systematic_counts_are_shares_rounded_down_or_up(
    weights: list[float], num_samples: int, seed: int
) -> None:
    counts = counts_of(systematic_draw(weights, num_samples, seeded(seed)), len(weights)).tolist()
    total = sum(Fraction(weight) for weight in weights)
    assert sum(counts) == num_samples
    for weight, count in zip(weights, counts, strict=True):
        assert abs(count - num_samples * Fraction(weight) / total) < 1
        assert weight > 0 or count == 0


@pytest.mark.parametrize("constant", [1.0, 0.1, 1 / 3, 1e-300, 7e250])
@pytest.mark.parametrize("num_weights", [1, 2, 3, 10, 1000, 32_767, 32_769, 98_305])
def test_constant_weights_give_a_permutation(constant: float, num_weights: int) -> None:
    weights = torch.full((num_weights,), constant, dtype=torch.float64)
    drawn = systematic_draw(weights, num_weights, seeded(num_weights))
    assert torch.equal(drawn.sort().values, torch.arange(num_weights))


@pytest.mark.parametrize("offset", [0, 1, 2**40 - 2, 2**40 - 1])
def test_whole_shares_do_not_depend_on_the_offset(offset: int) -> None:
    # 0.1 + 0.2 + 0.3 is not 0.6 in floating point, and a naive cumulative sum rounds the wrong way here.
    table = WeightTable.of([0.1, 0.2, 0.0, 0.3] * 1000)
    items = draws._systematic_items(table, 6000, 40, offset)
    assert counts_of(items, 4000).tolist() == [1, 2, 0, 3] * 1000


@pytest.mark.parametrize("seed", range(5))
def test_systematic_expectation_is_exact_over_all_offsets(seed: int, tiny_pieces: None) -> None:
    # With 8 digits after the point there are 256 offsets; dyadic shares are then held exactly, so that
    # the counts of an item over all offsets must add up to 256 N p_i.
    parts = np.random.default_rng(seed).multinomial(7 * 256, [0.4, 0.0, 0.05, 0.05, 0.2, 0.01, 0.29])
    table = WeightTable.of(parts / 64)
    total = sum(counts_of(draws._systematic_items(table, 7, 8, offset), len(parts)) for offset in range(256))
    assert isinstance(total, Tensor)
    assert total.tolist() == parts.tolist()


@pytest.mark.parametrize(
    ("num_samples", "offset", "mended"),
    [(1, 0, 1), (2, 2**40 - 1, 2**40 - 2)],
)
def test_an_offset_in_the_rounding_gap_is_mended(num_samples: int, offset: int, mended: int) -> None:
    # Thirds of 2^40 round to one unit less (N = 1) or more (N = 2) than the whole.
    table = WeightTable.of([1.0, 1.0, 1.0])
    items = draws._systematic_items(table, num_samples, 40, offset)
    assert len(set(items.tolist())) == num_samples
    assert items.tolist() == draws._systematic_items(table, num_samples, 40, mended).tolist()


def test_rounding_to_units_does_not_drift() -> None:
    num = 100_000
    table = WeightTable.of(torch.rand(num, dtype=torch.float64, generator=seeded(16)))
    items = torch.empty(num + 1, dtype=torch.int32)
    end = draws._list_items(table.values, float(num << 40) / table.total, 40, 0, items)
    # Rounding errors of half a unit at most, of either sign: 5 standard deviations of their sum.
    assert 0 < abs(end - (num << 40)) < 5 * math.sqrt(num / 12)


def test_systematic_chi_square_at_a_thousand() -> None:
    generator = seeded(0)
    weights = torch.randn(1000, dtype=torch.float64, generator=generator).exp()
    probabilities = weights / weights.sum()
    epochs = 400
    counts = sum(counts_of(systematic_draw(weights, 1000, generator), 1000).double() for _ in range(epochs))
    assert isinstance(counts, Tensor)
    # Counts spread less than independent draws would, so the statistic must be far below its mean.
    assert chi_square_tail(counts, 1000 * epochs * probabilities) > 0.999
    # Each item's fractional draws are binomial: Bonferroni over 1000 items at 1e-4.
    share = 1000 * probabilities
    fraction = share - share.floor()
    z_scores = (counts - epochs * share) / (epochs * fraction * (1 - fraction)).sqrt()
    assert float(z_scores.abs().max()) < stats.norm.isf(1e-4 / 2000)
    # Negative control: a slightly other table is rejected.
    wrong = weights**1.03 / (weights**1.03).sum()
    wrong_share = 1000 * wrong
    wrong_fraction = wrong_share - wrong_share.floor()
    wrong_z = (counts - epochs * wrong_share) / (epochs * wrong_fraction * (1 - wrong_fraction)).sqrt()
    assert float(wrong_z.abs().max()) > stats.norm.isf(1e-4 / 2000)


def test_systematic_chi_square_at_ten_million() -> None:
    num = 10_000_000
    generator = seeded(17)
    weights = torch.rand(num, dtype=torch.float64, generator=generator)
    weights[::3] *= 4.0
    drawn = systematic_draw(weights, num, generator, dtype=torch.int32)
    share = weights.mul_(num / float(weights.sum()))
    whole = share.floor()
    rounded_up = counts_of(drawn, num) - whole
    fraction = share - whole
    # Items of like fraction, 100 groups of about 10^5: how many were rounded up? Neighbours in a group are
    # far apart on the axis, so they are rounded as good as independently.
    groups = (fraction * 100).long()
    observed = torch.bincount(groups, weights=rounded_up.double(), minlength=100)
    expected = torch.bincount(groups, weights=fraction, minlength=100)
    variance = torch.bincount(groups, weights=fraction * (1 - fraction), minlength=100)
    statistic = float(((observed - expected) ** 2 / variance).sum())
    assert stats.chi2.sf(statistic, 100) > 1e-4
    # Negative control: fractions one per cent larger are rejected.
    wrong = float(((observed - 1.01 * expected) ** 2 / variance).sum())
    assert stats.chi2.sf(wrong, 100) < 1e-4


def check_counts_at(num_weights: int) -> None:
    """Check |count - n p| < 1, zero weights and the upper half of a large table."""
    generator = seeded(3)
    weights = torch.rand(num_weights, dtype=torch.float64, generator=generator)
    weights[::5] = 0.0
    drawn = systematic_draw(weights, num_weights, generator, dtype=torch.int32)
    counts = counts_of(drawn, num_weights)
    assert int(counts.sum()) == num_weights
    assert int(counts[::5].max()) == 0
    share = weights.mul_(num_weights / float(weights.sum()))
    upper = num_weights // 2
    assert int(counts[upper:].sum()) == pytest.approx(float(share[upper:].sum()), abs=2.0)
    assert float(share.sub_(counts).abs().max()) < 1.0 + 1e-9


@pytest.mark.parametrize("num_weights", [10**3, 10**7, 2**24 + 5])
def test_systematic_counts_of_many_weights(num_weights: int) -> None:
    check_counts_at(num_weights)


@pytest.mark.slow
def test_systematic_counts_of_a_hundred_million_weights() -> None:
    check_counts_at(10**8)


def test_systematic_does_not_depend_on_threads(two_threads: None) -> None:
    weights = torch.rand(200_000, dtype=torch.float64, generator=seeded(4))
    parallel = systematic_draw(weights, 150_000, seeded(5))
    torch.set_num_threads(1)
    assert torch.equal(parallel, systematic_draw(weights, 150_000, seeded(5)))


def test_systematic_ignores_the_scale_of_the_weights() -> None:
    weights = torch.rand(5000, dtype=torch.float64, generator=seeded(6))
    assert torch.equal(
        systematic_draw(weights, 7000, seeded(7)), systematic_draw(weights * 2.0**-30, 7000, seeded(7))
    )


# --- order ----------------------------------------------------------------------------------------------


def test_every_order_is_equally_likely() -> None:
    generator = seeded(8)
    seen = Counter(tuple(systematic_draw([1.0] * 4, 4, generator).tolist()) for _ in range(6000))
    observed = torch.tensor([seen[order] for order in itertools.permutations(range(4))])
    assert chi_square_tail(observed, torch.full((24,), 250.0)) > 1e-4


def test_every_order_is_equally_likely_across_blocks(tiny_pieces: None) -> None:
    generator = seeded(9)
    seen = Counter(tuple(systematic_draw([1.0] * 5, 5, generator).tolist()) for _ in range(4800))
    observed = torch.tensor([seen[order] for order in itertools.permutations(range(5))])
    assert chi_square_tail(observed, torch.full((120,), 40.0)) > 1e-4


def test_blocks_mix_distant_items() -> None:
    num = 600_000
    drawn = systematic_draw(torch.ones(num, dtype=torch.float64), num, seeded(10))
    assert torch.equal(drawn.sort().values, torch.arange(num))
    positions = torch.arange(num, dtype=torch.float64)
    correlation = float(torch.corrcoef(torch.stack((positions, drawn.double())))[0, 1])
    assert abs(correlation) < 5 / math.sqrt(num)
    # 100 x 100 cells of (position, index), 60 expected in each.
    cells = torch.bincount((torch.arange(num) * 100 // num) * 100 + drawn * 100 // num, minlength=10_000)
    assert float((cells - 60.0).abs().max()) < 8 * math.sqrt(60)


# --- independent ----------------------------------------------------------------------------------------


def test_independent_chi_square_at_a_thousand() -> None:
    generator = seeded(11)
    weights = torch.randn(1000, dtype=torch.float64, generator=generator).exp()
    counts = counts_of(independent_draw(weights, 300_000, generator), 1000)
    tail = chi_square_tail(counts, 300_000 * weights / weights.sum())
    assert 1e-4 < tail < 1 - 1e-4
    wrong = weights**1.03
    assert chi_square_tail(counts, 300_000 * wrong / wrong.sum()) < 1e-4


@pytest.mark.slow
def test_independent_chi_square_at_ten_million() -> None:
    num = 10_000_000
    generator = seeded(18)
    weights = torch.rand(num, dtype=torch.float64, generator=generator)
    counts = counts_of(independent_draw(weights, num, generator), num).double()
    groups = torch.arange(num) % 1000
    observed = torch.bincount(groups, weights=counts)
    share = torch.bincount(groups, weights=weights)
    tail = chi_square_tail(observed, num * share / share.sum())
    assert 1e-4 < tail < 1 - 1e-4
    wrong = torch.bincount(groups, weights=weights * (1 + 0.01 * (groups % 2)))
    assert chi_square_tail(observed, num * wrong / wrong.sum()) < 1e-4


@pytest.mark.parametrize("unsplit", [30_000, 1000])
def test_independent_draws_are_independent(unsplit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws, "_MAX_UNSPLIT", unsplit)
    monkeypatch.setattr(draws, "_BLOCK", 500)
    weights = torch.tensor([1.0, 0.0, 2.0, 3.0], dtype=torch.float64)
    drawn = independent_draw(weights, 30_000, seeded(12)).reshape(-1, 2)
    observed = torch.bincount(drawn[:, 0] * 4 + drawn[:, 1], minlength=16).double()
    probabilities = weights / weights.sum()
    expected = 15_000 * torch.outer(probabilities, probabilities).flatten()
    assert float(observed[expected == 0].sum()) == 0
    assert 1e-4 < chi_square_tail(observed[expected > 0], expected[expected > 0]) < 1 - 1e-4


@pytest.mark.parametrize("gaps", [[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
def test_independent_points_on_the_very_ends_take_no_zero(
    gaps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def rigged(self: Tensor, generator: torch.Generator) -> Tensor:
        return self.copy_(torch.tensor(gaps))

    monkeypatch.setattr(torch.Tensor, "exponential_", rigged)
    assert independent_draw([0.0, 1.0, 2.0, 0.0], 2, seeded(0)).sort().values[-1] == 2
    assert independent_draw([0.0, 3.0, 0.0], 2, seeded(0)).tolist() == [1, 1]


def test_independent_reaches_past_the_float32_limit() -> None:
    # pytorch/pytorch#43115: with float32 sums the upper half of 2^24 weights was never drawn.
    num = 2**24 + 5
    weights = torch.ones(num, dtype=torch.float64)
    weights[: num // 2] = 2.0
    weights[-3:] = 0.0
    drawn = independent_draw(weights, 90_000, seeded(13))
    upper = int((drawn >= num // 2).sum())
    assert abs(upper - 30_000) < 5 * math.sqrt(90_000 * 2 / 9)
    assert int(drawn.max()) < num - 3


# --- distinct -------------------------------------------------------------------------------------------


def test_distinct_has_the_law_of_drawing_one_after_the_other() -> None:
    weights = [1.0, 2.0, 0.0, 3.0, 6.0]
    generator = seeded(14)
    seen = Counter(tuple(distinct_draw(weights, 2, generator).tolist()) for _ in range(8000))
    pairs = [pair for pair in itertools.permutations(range(5), 2) if 2 not in pair]
    law = [weights[a] / 12 * weights[b] / (12 - weights[a]) for a, b in pairs]
    assert sum(law) == pytest.approx(1.0)
    assert sum(seen[pair] for pair in pairs) == 8000
    observed = torch.tensor([seen[pair] for pair in pairs])
    assert chi_square_tail(observed, 8000 * torch.tensor(law, dtype=torch.float64)) > 1e-4
    reversed_law = [law[pairs.index((b, a))] for a, b in pairs]
    assert chi_square_tail(observed, 8000 * torch.tensor(reversed_law, dtype=torch.float64)) < 1e-4


def test_distinct_keeps_weights_of_any_size_apart() -> None:
    assert distinct_draw([1e-300, 0.0, 1e300, 1e-10], 3, seeded(15)).tolist() == [2, 3, 0]


def test_distinct_refuses_more_items_than_there_are() -> None:
    weights = torch.zeros(20)
    weights[::2] = 1.0
    with pytest.raises(InputError, match="20 distinct items cannot be drawn from 10 weights above zero"):
        distinct_draw(weights, 20, seeded(0))


@settings(max_examples=100, deadline=None)
@given(weight_lists, st.data())
def test_distinct_never_repeats_and_never_takes_zero(weights: list[float], data: st.DataObject) -> None:
    num_samples = data.draw(st.integers(1, sum(weight > 0 for weight in weights)))
    drawn = distinct_draw(weights, num_samples, seeded(num_samples)).tolist()
    assert len(set(drawn)) == num_samples
    assert all(weights[index] > 0 for index in drawn)


@settings(max_examples=100, deadline=None)
@given(weight_lists, st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_independent_never_takes_zero(weights: list[float], num_samples: int, seed: int) -> None:
    drawn = independent_draw(weights, num_samples, seeded(seed)).tolist()
    assert len(drawn) == num_samples
    assert all(weights[index] > 0 for index in drawn)
