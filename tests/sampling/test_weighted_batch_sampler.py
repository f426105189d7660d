"""Batches with class shares: constraints in every batch, weights within classes, resumption, ranks."""

import json
import random
from collections import Counter
from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from localmin.errors import InputError, ShapeError
from localmin.sampling.weighted_batch_sampler import WeightedBatchSampler

LONG_TAIL = torch.tensor([0] * 60 + [1] * 30 + [2] * 9 + [7])


def per_class(batch: list[int], labels: Tensor) -> list[int]:
    return [int((labels[batch] == label).sum()) for label in torch.unique(labels)]


def some_weights(num_weights: int, seed: int = 0) -> Tensor:
    weights = torch.rand(num_weights, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    weights[1::7] = 0.0
    return weights


def test_balanced_batches_have_every_class_alike() -> None:
    batches = list(WeightedBatchSampler(None, LONG_TAIL, 8))
    assert len(batches) == 100 // 8
    assert all(per_class(batch, LONG_TAIL) == [2, 2, 2, 2] for batch in batches)
    assert all(batch.count(99) == 2 for batch in batches)


def test_uneven_places_are_rounded_down_or_up_in_batch_and_epoch() -> None:
    batches = list(WeightedBatchSampler(None, LONG_TAIL, 10, num_batches=7))
    counts = [per_class(batch, LONG_TAIL) for batch in batches]
    assert {number for count in counts for number in count} == {2, 3}
    assert {sum(column) for column in zip(*counts, strict=True)} == {17, 18}


def test_shares_by_weights_and_by_wish() -> None:
    weights = torch.ones(100)
    counts = [
        per_class(b, LONG_TAIL) for b in WeightedBatchSampler(weights, LONG_TAIL, 10, class_shares="weights")
    ]
    assert all(a == 6 and b == 3 and c + d == 1 for a, b, c, d in counts)
    assert sum(count[2] for count in counts) == 9
    wish = {0: 1.0, 7: 3.0}
    counts = [per_class(b, LONG_TAIL) for b in WeightedBatchSampler(weights, LONG_TAIL, 8, class_shares=wish)]
    assert all(count == [2, 0, 0, 6] for count in counts)


def test_examples_of_a_class_come_in_proportion_to_their_weights() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    weights = torch.tensor([1.0, 2.0, 0.0, 3.0, 5.0, 5.0])
    counts = Counter(
        index for batch in WeightedBatchSampler(weights, labels, 6, num_batches=4) for index in batch
    )
    assert counts == {0: 2, 1: 4, 3: 6, 4: 6, 5: 6}


def test_classes_without_weight_are_left_out_of_the_balance() -> None:
    weights = torch.ones(100)
    weights[LONG_TAIL == 1] = 0.0
    assert {tuple(per_class(b, LONG_TAIL)) for b in WeightedBatchSampler(weights, LONG_TAIL, 6)} == {
        (2, 0, 2, 2)
    }


def test_places_hold_several_examples_of_a_class() -> None:
    labels = torch.arange(200) % 20
    batches = list(WeightedBatchSampler(None, labels, 12, examples_per_class=4, num_batches=20))
    for batch in batches:
        assert sorted(Counter(labels[batch].tolist()).values()) == [4, 4, 4]
        assert len(set(batch)) > 9
    counts = Counter(labels[[index for batch in batches for index in batch]].tolist())
    assert set(counts.values()) == {12}
    meetings = {frozenset(labels[batch].tolist()) for batch in batches}
    assert len(meetings) == 20


def test_batches_are_in_random_order_and_differ_between_epochs_and_seeds() -> None:
    sampler = WeightedBatchSampler(None, LONG_TAIL, 8, seed=1)
    first, second = list(sampler), list(sampler)
    assert first != second
    assert any(LONG_TAIL[batch].tolist() != sorted(LONG_TAIL[batch].tolist()) for batch in first)
    assert first == list(WeightedBatchSampler(None, LONG_TAIL, 8, seed=1))
    assert first != list(WeightedBatchSampler(None, LONG_TAIL, 8, seed=2))


@settings(max_examples=60, deadline=None)
@given(
    num_batches=st.integers(1, 12),
    num_replicas=st.integers(1, 4),
    drop_last=st.booleans(),
    per_class=st.sampled_from([1, 2]),
    shares=st.sampled_from(["balanced", "weights"]),
    randomness=st.randoms(use_true_random=False),
)
def test_ranks_share_out_the_batches_and_resume_anywhere(
    num_batches: int,
    num_replicas: int,
    drop_last: bool,
    per_class: int,
    shares: Any,
    randomness: random.Random,
) -> None:
    if drop_last and num_batches < num_replicas:
        return
    weights, labels = some_weights(40), torch.arange(40) % 6
    options: dict[str, Any] = {
        "class_shares": shares,
        "examples_per_class": per_class,
        "num_batches": num_batches,
    }
    whole = WeightedBatchSampler(weights, labels, 8, num_replicas=1, rank=0, **options)
    orders = [list(whole) for _ in range(3)]
    epoch, start = randomness.randrange(3), randomness.randrange(num_batches)
    slices = []
    for rank in range(num_replicas):
        begun = WeightedBatchSampler(weights, labels, 8, num_replicas=1, rank=0, **options)
        begun.set_epoch(epoch)
        assert list(islice(begun, start)) == orders[epoch][:start]
        state = json.loads(json.dumps(begun.state_dict()))
        sampler = WeightedBatchSampler(
            weights, labels, 8, num_replicas=num_replicas, rank=rank, drop_last=drop_last, **options
        )
        sampler.load_state_dict(state)
        slices.append(list(sampler))
    interleaved = [batch for turn in zip(*slices, strict=True) for batch in turn]
    rest = orders[epoch][start:]
    if drop_last:
        assert interleaved == rest[: len(rest) // num_replicas * num_replicas]
    else:
        padding = orders[epoch] * num_replicas
        assert interleaved == rest + padding[: -len(rest) % num_replicas]


def test_weights_change_with_the_next_epoch_and_travel_in_the_state() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    sampler = WeightedBatchSampler([1.0, 0.0, 1.0, 0.0], labels, 2, num_batches=3)
    iterator = iter(sampler)
    first = next(iterator)
    sampler.set_weights([0.0, 1.0, 0.0, 1.0])
    state = sampler.state_dict(include_weights=True)
    resumed = WeightedBatchSampler(None, labels, 2, num_batches=3)
    resumed.load_state_dict(state)
    rest = [first, *resumed]
    assert {index for batch in rest for index in batch} == {0, 2}
    assert {index for batch in resumed for index in batch} == {1, 3}
    assert [first, *iterator] == rest


def test_a_data_loader_with_persistent_workers_takes_the_batches() -> None:
    sampler = WeightedBatchSampler(None, LONG_TAIL, 8)
    loader = DataLoader(
        TensorDataset(torch.arange(100)), batch_sampler=sampler, num_workers=2, persistent_workers=True
    )
    expected = WeightedBatchSampler(None, LONG_TAIL, 8)
    assert len(loader) == 12
    for _ in range(2):
        assert [batch.tolist() for (batch,) in loader] == list(expected)
    assert len(list(islice(loader, 5))) == 5
    resumed = WeightedBatchSampler(None, LONG_TAIL, 8)
    resumed.load_state_dict(sampler.state_dict(num_consumed=5))
    expected.set_epoch(2)
    assert list(resumed) == list(expected)[5:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected a whole number >= 1, got 0"),
        ({"examples_per_class": 3}, "batch_size: expected a multiple of examples_per_class=3, got 8"),
        ({"num_batches": 0}, "num_batches: expected a whole number >= 1, got 0"),
        ({"class_shares": "equal"}, 'class_shares: expected "balanced", "weights" or a share'),
        ({"class_shares": {5: 1.0}}, "class_shares: label 5 has no example"),
        ({"class_shares": {0: -1.0}}, r"class_shares\[0\] is -1"),
        ({"class_shares": {0: 0.0}}, "class_shares: all are 0"),
        ({"class_shares": {2: 1.0}}, "label 2 has share 1.0, but all its examples have weight 0"),
    ],
)
def test_senseless_options_are_refused(options: dict[str, Any], message: str) -> None:
    weights = torch.ones(100)
    weights[LONG_TAIL == 2] = 0.0
    with pytest.raises(InputError, match=message):
        WeightedBatchSampler(weights, LONG_TAIL, **{"batch_size": 8, **options})


def test_labels_must_fit() -> None:
    with pytest.raises(ShapeError, match="labels: expected integers of shape"):
        WeightedBatchSampler(None, torch.ones(3), 2)
    with pytest.raises(ShapeError, match="labels: expected one for each of 4 weights, got 3"):
        WeightedBatchSampler(torch.ones(4), torch.tensor([0, 1, 1]), 2)
    sampler = WeightedBatchSampler(None, torch.tensor([0, 1, 1]), 2)
    with pytest.raises(ShapeError, match=r"expected shape \(3,\) as before, got \(4,\)"):
        sampler.set_weights(torch.ones(4))
    other = WeightedBatchSampler(None, torch.tensor([0, 0, 1]), 2)
    with pytest.raises(InputError, match="saved with label_digest="):
        other.load_state_dict(sampler.state_dict())
