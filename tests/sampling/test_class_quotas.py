"""Whole-number shares: exact totals, rounded down or up everywhere, right on average, well mixed."""

import random
from collections import Counter
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from localmin.sampling import class_quotas
from localmin.sampling.class_quotas import ClassQuotas, whole_shares


def batch_of(quotas: ClassQuotas, number: int) -> tuple[Tensor, Tensor]:
    """Take one batch out of its group: its slots, and the slots before it."""
    group, place = divmod(number, quotas.group_length)
    slots, before = quotas.group(group)
    return slots[place], before + slots[:place].sum(0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


share_lists = st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**53)), min_size=1, max_size=12).filter(
    lambda shares: sum(shares) > 0
)


@settings(max_examples=200, deadline=None)
@given(share_lists, st.integers(0, 10**12), st.integers(0, 1000))
def test_shares_are_rounded_down_or_up_and_add_up(shares: list[int], total: int, seed: int) -> None:
    parts = whole_shares(shares, total, seeded(seed))
    assert sum(parts) == total
    for part, share in zip(parts, shares, strict=True):
        assert abs(part - Fraction(share * total, sum(shares))) < 1


def test_shares_are_right_on_average() -> None:
    generator = seeded(0)
    sums = [sum(column) for column in zip(*(whole_shares([1, 2, 5], 3, generator) for _ in range(2000)))]  # noqa: B905
    for part, share in zip(sums, [1, 2, 5], strict=True):
        assert abs(part - 2000 * 3 * share / 8) < 5 * (2000 / 4) ** 0.5


@settings(max_examples=100, deadline=None)
@given(
    counts=st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(lambda counts: sum(counts) > 0),
    num_batches=st.integers(1, 40),
    longest=st.sampled_from([1, 3, 64]),
    key=st.integers(0, 2**40),
)
def test_every_batch_has_each_class_rounded_down_or_up(
    counts: list[int], num_batches: int, longest: int, key: int
) -> None:
    counts[0] += -sum(counts) % num_batches
    totals = torch.tensor(counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(class_quotas, "_LONGEST_GROUP", longest)
        quotas = ClassQuotas(totals, num_batches, key)
    so_far = torch.zeros_like(totals)
    for number in range(num_batches):
        slots, before = batch_of(quotas, number)
        assert torch.equal(before, so_far)
        assert int(slots.sum()) == sum(counts) // num_batches
        assert bool((slots >= totals // num_batches).all())
        assert bool((slots <= -(-totals // num_batches)).all())
        so_far = so_far + slots
    assert torch.equal(so_far, totals)


def test_batches_may_be_asked_for_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_quotas, "_LONGEST_GROUP", 3)
    totals = torch.tensor([50, 31, 19])
    in_order = ClassQuotas(totals, 20, 7)
    expected = [batch_of(in_order, number) for number in range(20)]
    jumping = ClassQuotas(totals, 20, 7)
    for number in random.Random(0).sample(range(20), 20):
        found = batch_of(jumping, number)
        assert torch.equal(found[0], expected[number][0])
        assert torch.equal(found[1], expected[number][1])
    other = ClassQuotas(totals, 20, 8)
    assert any(not torch.equal(batch_of(other, k)[0], expected[k][0]) for k in range(20))


@pytest.mark.parametrize("number", [0, 3, 7])
def test_any_two_classes_meet_in_any_batch(number: int) -> None:
    # 8 classes, 2 places in a batch, 8 batches of an epoch: 28 pairs of classes, equally likely.
    totals = torch.full((8,), 2)
    pairs = Counter(
        tuple(batch_of(ClassQuotas(totals, 8, key), number)[0].nonzero().squeeze(1).tolist())
        for key in range(1400)
    )
    assert len(pairs) == 28
    assert max(abs(count - 50) for count in pairs.values()) < 5 * 50**0.5
