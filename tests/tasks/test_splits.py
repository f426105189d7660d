from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from localmin.errors import DataError
from localmin.tasks.splits import stratified_split, stratified_subset


def labels_of(counts: list[int], seed: int = 0) -> Tensor:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.floats(0, 1), st.integers(0, 1000))
@settings(max_examples=200, deadline=None)
def test_two_parts_are_exact_and_no_class_is_off_by_a_whole_example(
    counts: list[int], share: float, seed: int
) -> None:
    labels = labels_of(counts)
    total = len(labels)
    size = round(share * total)
    first, second = stratified_split(labels, [size, total - size], seed=seed)
    assert (len(first), len(second)) == (size, total - size)
    assert sorted(first.tolist() + second.tolist()) == list(range(total))
    for part in (first, second):
        assert part.tolist() == sorted(part.tolist())
        for label, count in enumerate(counts):
            exact = count * len(part) / max(1, total)
            assert abs(int((labels[part] == label).sum()) - exact) < 1


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8), st.lists(st.integers(0, 15), min_size=1, max_size=5)
)
@settings(max_examples=100, deadline=None)
def test_several_parts_are_disjoint_and_what_is_left_over_is_in_none(
    counts: list[int], sizes: list[int]
) -> None:
    labels = labels_of(counts)
    if sum(sizes) > len(labels):
        with pytest.raises(DataError, match="cannot take parts"):
            stratified_split(labels, sizes, seed=0)
        return
    parts = stratified_split(labels, sizes, seed=0)
    assert [len(part) for part in parts] == sizes
    assert len(set(torch.cat(parts).tolist())) == sum(sizes)


def test_many_classes_of_one_example_do_not_distort_the_others() -> None:
    labels = labels_of([1000] + [1] * 100)
    for seed in range(5):
        (part,) = stratified_split(labels, [275], seed=seed)
        assert int((labels[part] == 0).sum()) == 250


def test_single_examples_are_spread_over_seeds() -> None:
    labels = labels_of([1] * 10)
    taken = torch.stack(
        [torch.zeros(10).index_fill_(0, stratified_split(labels, [4], seed=s)[0], 1) for s in range(500)]
    ).sum(0)
    # 200 expected for each, deviation 11; five deviations.
    assert float((taken - 200).abs().max()) < 55


def test_two_of_a_class_never_share_the_smaller_part() -> None:
    labels = labels_of([50, 2])
    for seed in range(30):
        small, large = stratified_split(labels, [13, 39], seed=seed)
        assert int((labels[small] == 1).sum()) <= 1
        assert int((labels[large] == 1).sum()) >= 1


def test_the_seed_decides_and_members_of_a_class_are_drawn_uniformly() -> None:
    labels = labels_of([20, 20])
    assert torch.equal(stratified_split(labels, [10], seed=4)[0], stratified_split(labels, [10], seed=4)[0])
    taken = torch.stack(
        [torch.zeros(40).index_fill_(0, stratified_split(labels, [10], seed=s)[0], 1) for s in range(800)]
    ).sum(0)
    # 200 expected for each, deviation 12.2; five deviations.
    assert float((taken - 200).abs().max()) < 62


def test_labels_need_not_be_consecutive() -> None:
    labels = torch.tensor([7] * 8 + [-3] * 4)
    first, second = stratified_split(labels, [6, 6], seed=0)
    assert int((labels[first] == 7).sum()) == int((labels[second] == 7).sum()) == 4


def test_empty_parts_and_no_labels() -> None:
    labels = labels_of([3, 3])
    nothing, everything = stratified_split(labels, [0, 6], seed=0)
    assert (len(nothing), everything.tolist()) == (0, list(range(6)))
    assert [len(part) for part in stratified_split(torch.zeros(0, dtype=torch.int64), [0, 0], seed=0)] == [
        0,
        0,
    ]
    assert stratified_split(labels, [], seed=0) == ()


@pytest.mark.parametrize("sizes", [[7], [-1], [4, 3], [-1, 3]])
def test_impossible_sizes_are_refused(sizes: list[int]) -> None:
    with pytest.raises(DataError, match="from 6 examples"):
        stratified_split(labels_of([3, 3]), sizes, seed=0)


def test_a_subset_has_the_class_mix_or_is_everything() -> None:
    labels = labels_of([60, 30, 10])
    assert labels[stratified_subset(labels, 20, seed=0)].bincount().tolist() == [12, 6, 2]
    assert stratified_subset(labels, 100, seed=0).tolist() == list(range(100))
    assert stratified_subset(labels, 10_000, seed=0).tolist() == list(range(100))
    assert len(stratified_subset(labels, 0, seed=0)) == 0
