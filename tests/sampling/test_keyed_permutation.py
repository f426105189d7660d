"""The permutation that is never written down: bijective always, and uniform as far as one can tell."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from localmin.errors import InputError
from localmin.sampling.keyed_permutation import KeyedPermutation


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.lists(st.integers(0, 2**70), min_size=1, max_size=3))
def test_is_a_permutation_of_every_length(length: int, key: list[int]) -> None:
    entries = KeyedPermutation(length, *key)(np.arange(length))
    assert np.array_equal(np.sort(entries), np.arange(length))


@pytest.mark.parametrize("length", [2, 3, 4, 5])
def test_every_permutation_is_equally_likely(length: int) -> None:
    orders = list(itertools.permutations(range(length)))
    each = 25
    seen = Counter(
        tuple(KeyedPermutation(length, 7, k)(np.arange(length)).tolist()) for k in range(each * len(orders))
    )
    assert stats.chisquare([seen[order] for order in orders]).pvalue > 1e-4


def test_neighbours_and_far_entries_go_anywhere() -> None:
    # Joint place of entries 0 and 1, and of 0 and 99, in 10 x 10 cells of a permutation of 100.
    images = np.stack([KeyedPermutation(100, k)(np.array([0, 1, 99])) for k in range(5_000)]) // 10
    expected = np.where(np.eye(10, dtype=bool), 100 * 10 * 9, 100 * 10 * 10) / 9_900 / 100 * 5_000
    for other in (1, 2):
        cells = np.bincount(images[:, 0] * 10 + images[:, other], minlength=100)
        assert stats.chisquare(cells, expected.ravel()).pvalue > 1e-4


def test_an_entry_is_found_without_the_others_even_in_huge_permutations() -> None:
    shuffle = KeyedPermutation(2**62, 3)
    positions = np.array([0, 1, 2**62 - 1, 5**26], dtype=np.int64)
    entries = shuffle(positions)
    assert len(set(entries.tolist())) == 4
    assert entries.min() >= 0
    assert entries.max() < 2**62
    assert shuffle(positions[::-1]).tolist() == entries[::-1].tolist()
    assert KeyedPermutation(2**62, 4)(positions).tolist() != entries.tolist()


@pytest.mark.parametrize("length", [0, -3, 2**62 + 1])
def test_an_impossible_length_is_refused(length: int) -> None:
    with pytest.raises(InputError, match=r"length: expected 1 to 2\^62"):
        KeyedPermutation(length, 0)
