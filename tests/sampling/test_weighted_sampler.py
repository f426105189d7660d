"""The sampler: ranks, epochs, resumption, changing weights, real DataLoaders, real processes."""

import copy
import json
import math
import pickle
import random
import subprocess
import sys
import tracemalloc
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

from localmin.errors import InputError, ShapeError
from localmin.sampling import draws
from localmin.sampling.weighted_sampler import DrawKind, WeightedSampler

DRAW_KINDS: list[DrawKind] = ["systematic", "independent", "distinct"]


class Indices(Dataset[int]):
    """A data set whose items are their own indices."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        return index


def some_weights(num_weights: int, seed: int = 0) -> Tensor:
    weights = torch.rand(num_weights, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    weights[::7] = 0.0
    weights[-1] = 1.0
    return weights


def global_order(weights: Tensor, num_samples: int, epoch: int, **options: Any) -> list[int]:
    """Read the order that all ranks share, from a sampler of one rank."""
    sampler = WeightedSampler(weights, num_samples, num_replicas=1, rank=0, **options)
    sampler.set_epoch(epoch)
    return list(sampler)


# --- one rank -------------------------------------------------------------------------------------------


def test_is_a_torch_sampler_that_yields_python_integers() -> None:
    sampler = WeightedSampler(some_weights(50))
    assert isinstance(sampler, Sampler)
    assert len(sampler) == 50
    assert {type(index) for index in sampler} == {int}


def test_equal_weights_give_the_shuffled_epoch() -> None:
    sampler = WeightedSampler(torch.ones(1000))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(1000))
    assert first != second
    assert first != list(range(1000))


@pytest.mark.parametrize("draw", DRAW_KINDS)
def test_counts_follow_the_draw(draw: DrawKind) -> None:
    weights = torch.tensor([4.0, 0.0, 1.0, 1.0, 2.0])
    counts = [Counter(WeightedSampler(weights, 4, draw=draw, seed=seed)) for seed in range(60)]
    assert all(count.total() == 4 and count[1] == 0 for count in counts)
    if draw == "systematic":
        assert {(count[0], count[4]) for count in counts} == {(2, 1)}
        assert {count[2] + count[3] for count in counts} == {1}
    elif draw == "distinct":
        assert all(count == {0: 1, 2: 1, 3: 1, 4: 1} for count in counts)
    else:
        assert {count[0] for count in counts} >= {0, 1, 2, 3}


def test_num_samples_may_be_below_or_above_the_number_of_weights() -> None:
    assert Counter(WeightedSampler([1.0, 1.0, 2.0], 8)) == {0: 2, 1: 2, 2: 4}
    assert len(list(WeightedSampler(torch.ones(100), 7))) == 7


def test_epochs_advance_by_themselves_and_can_be_chosen() -> None:
    weights = some_weights(40)
    advancing = WeightedSampler(weights, seed=3)
    epochs = [list(advancing) for _ in range(4)]
    assert len({tuple(epoch) for epoch in epochs}) == 4
    for epoch in (2, 0, 3):
        advancing.set_epoch(epoch)
        assert list(advancing) == epochs[epoch]
    advancing.set_epoch(1)
    assert [list(advancing), list(advancing)] == epochs[1:3]


def test_the_seed_decides() -> None:
    weights = some_weights(40)
    assert list(WeightedSampler(weights, seed=5)) == list(WeightedSampler(weights, seed=5))
    assert list(WeightedSampler(weights, seed=5)) != list(WeightedSampler(weights, seed=6))
    # Epoch 1 of seed 0 is not epoch 0 of seed 1, as it is with seed + epoch.
    assert global_order(weights, 40, 1, seed=0) != global_order(weights, 40, 0, seed=1)


def test_the_global_random_state_is_neither_used_nor_changed() -> None:
    before = torch.get_rng_state()
    list(WeightedSampler(some_weights(40)))
    assert torch.equal(torch.get_rng_state(), before)


def test_no_list_of_all_indices_is_ever_made() -> None:
    num = 1_000_000  # a list of as many integers takes 36 MB
    sampler = WeightedSampler(torch.ones(num, dtype=torch.float64))
    tracemalloc.start()
    total = sum(sampler)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == num * (num - 1) // 2
    assert peak < 4_000_000


def test_survives_copying_and_pickling_in_mid_epoch() -> None:
    sampler = WeightedSampler(some_weights(40))
    iterator = iter(sampler)
    list(islice(iterator, 11))
    for twin in (copy.deepcopy(sampler), pickle.loads(pickle.dumps(sampler))):
        assert twin.state_dict() == sampler.state_dict()


# --- ranks ----------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    num_weights=st.integers(1, 60),
    num_samples=st.integers(1, 90),
    num_replicas=st.integers(1, 7),
    drop_last=st.booleans(),
    draw=st.sampled_from(["systematic", "independent"]),
    epoch=st.integers(0, 1000),
    seed=st.integers(0, 2**40),
)
def test_ranks_share_out_the_global_order(
    num_weights: int,
    num_samples: int,
    num_replicas: int,
    drop_last: bool,
    draw: DrawKind,
    epoch: int,
    seed: int,
) -> None:
    weights = some_weights(num_weights)
    order = global_order(weights, num_samples, epoch, draw=draw, seed=seed)
    if drop_last and num_samples < num_replicas:
        with pytest.raises(InputError, match="leave nothing for"):
            WeightedSampler(weights, num_samples, num_replicas=num_replicas, rank=0, drop_last=True)
        return
    slices = []
    for rank in range(num_replicas):
        sampler = WeightedSampler(
            weights,
            num_samples,
            draw=draw,
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            drop_last=drop_last,
        )
        sampler.set_epoch(epoch)
        slices.append(list(sampler))
        assert len(slices[-1]) == len(sampler)
    interleaved = [index for turn in zip(*slices, strict=True) for index in turn]
    if drop_last:
        assert interleaved == order[: num_samples // num_replicas * num_replicas]
    else:
        num_padded = -num_samples % num_replicas
        repeated = order * math.ceil(num_replicas / num_samples)
        assert interleaved == order + repeated[:num_padded]


@pytest.mark.parametrize("num_replicas", [1, 3, 4])
@pytest.mark.parametrize("start", [0, 100, 4321, 9_996])
def test_ranks_and_cursors_cross_blocks(
    num_replicas: int, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draws, "_MAX_UNSPLIT", 2000)
    monkeypatch.setattr(draws, "_BLOCK", 300)
    weights = some_weights(5000)
    order = global_order(weights, 10_001, 0)
    assert len(set(order)) > 3000
    slices = []
    for rank in range(num_replicas):
        sampler = WeightedSampler(weights, 10_001, num_replicas=num_replicas, rank=rank)
        sampler.load_state_dict(sampler.state_dict() | {"cursor": start})
        slices.append(list(sampler))
    interleaved = [index for turn in zip(*slices, strict=True) for index in turn]
    rest = order[start:]
    assert interleaved[: len(rest)] == rest
    assert interleaved[len(rest) :] == order[: -len(rest) % num_replicas]


@pytest.mark.parametrize("seed", range(20))
def test_the_opening_may_span_several_blocks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws, "_MAX_UNSPLIT", 1)
    monkeypatch.setattr(draws, "_BLOCK", 2)
    order = global_order(torch.ones(13), 13, 0, seed=seed)
    slices = [
        list(WeightedSampler(torch.ones(13), seed=seed, num_replicas=5, rank=rank)) for rank in range(5)
    ]
    assert [index for turn in zip(*slices, strict=True) for index in turn] == order + order[:2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_replicas": 2, "rank": 2}, "rank: expected 0 to 1"),
        ({"num_replicas": 4}, "got num_replicas=4 and rank=None"),
        ({"rank": 1}, "got num_replicas=None and rank=1"),
    ],
)
def test_an_impossible_rank_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        len(WeightedSampler(torch.ones(8), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draw": "alias"}, "draw: expected one of systematic, independent, distinct, got 'alias'"),
        ({"seed": -1}, "seed: expected a whole number >= 0, got -1"),
        ({"seed": 1.5}, r"seed: expected a whole number >= 0, got 1\.5"),
        ({"num_samples": 0}, "num_samples: expected a whole number >= 1, got 0"),
        ({"num_replicas": 0}, "num_replicas: expected a whole number >= 1, got 0"),
        ({"rank": True}, "rank: expected a whole number >= 0, got True"),
        ({"draw": "distinct", "num_samples": 4}, "4 distinct items cannot be drawn from 3"),
    ],
)
def test_senseless_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        WeightedSampler([1.0, 1.0, 0.0, 1.0], **options)
    with pytest.raises(InputError, match="epoch: expected a whole number >= 0, got -2"):
        WeightedSampler([1.0]).set_epoch(-2)


# --- resuming -------------------------------------------------------------------------------------------


class Run:
    """Training that never stops, on one rank: epochs of indices, with weights that change on the way."""

    def __init__(self, weights: list[Tensor], changes: list[int], **options: Any) -> None:
        self.weights, self.changes = weights, changes
        self.sampler = WeightedSampler(weights[0], **options)

    def epoch(self) -> list[int]:
        """Draw an epoch, then take up the weights that follow."""
        order = list(self.sampler)
        self.change()
        return order

    def change(self) -> None:
        finished = self.sampler.state_dict()["epoch"]
        if finished in self.changes:
            self.sampler.set_weights(self.weights[1 + self.changes.index(finished)])


@settings(max_examples=40, deadline=None)
@given(
    num_samples=st.integers(1, 40),
    num_replicas=st.integers(1, 4),
    changes=st.lists(st.integers(1, 4), unique=True, max_size=3).map(sorted),
    draw=st.sampled_from(["systematic", "independent"]),
    randomness=st.randoms(use_true_random=False),
)
def test_resuming_anywhere_gives_the_identical_rest(
    num_samples: int, num_replicas: int, changes: list[int], draw: DrawKind, randomness: random.Random
) -> None:
    weights = [some_weights(30, seed) for seed in range(len(changes) + 1)]
    rank = randomness.randrange(num_replicas)
    options: dict[str, Any] = {"num_samples": num_samples, "draw": draw, "seed": 9}
    options |= {"num_replicas": num_replicas, "rank": rank}
    whole = Run(weights, changes, **options)
    uninterrupted = [whole.epoch() for _ in range(5)]
    for _ in range(20):
        epoch = randomness.randrange(5)
        run = Run(weights, changes, **options)
        for _ in range(epoch):
            run.epoch()
        iterator = iter(run.sampler)
        num_taken = randomness.randrange(len(run.sampler) + 1)
        taken = list(islice(iterator, num_taken))
        if num_taken == len(run.sampler):
            run.change()
        num_consumed = randomness.choice([None, num_taken])
        state = run.sampler.state_dict(num_consumed=num_consumed)
        # A new process: it is given the weights of that epoch and the state.
        resumed = Run(weights, changes, **options)
        version = state["weight_version"]
        if version > 0:
            resumed.sampler.set_weights(weights[version])
        resumed.sampler.load_state_dict(state)
        if num_taken < len(run.sampler):
            assert taken + resumed.epoch() == uninterrupted[epoch]
        assert [resumed.epoch() for _ in range(epoch + 1, 5)] == uninterrupted[epoch + 1 :]


def test_the_state_counts_what_training_consumed() -> None:
    sampler = WeightedSampler(some_weights(20), num_replicas=2, rank=1)
    iterator = iter(sampler)
    order = list(islice(iterator, 7))
    assert sampler.state_dict()["cursor"] == 14
    assert sampler.state_dict(num_consumed=3)["cursor"] == 6
    with pytest.raises(InputError, match=r"num_consumed: expected at most 7, .* got 8"):
        sampler.state_dict(num_consumed=8)
    sampler.load_state_dict(sampler.state_dict(num_consumed=3))
    assert list(islice(sampler, 4)) == order[3:]
    # The resumed iteration counts from its own beginning.
    assert sampler.state_dict(num_consumed=2)["cursor"] == 10


def test_states_of_all_ranks_agree_and_pass_through_json() -> None:
    states = []
    for rank in range(3):
        sampler = WeightedSampler(some_weights(20), num_replicas=3, rank=rank)
        iterator = iter(sampler)
        list(islice(iterator, 4))
        states.append(sampler.state_dict())
    assert states[0] == states[1] == states[2]
    assert all(isinstance(value, int | str) for value in states[0].values())


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2), (4, 1), (1, 4)])
@pytest.mark.parametrize("num_taken", [0, 3, 5])
def test_resuming_with_other_ranks_neither_loses_nor_repeats(before: int, after: int, num_taken: int) -> None:
    weights = some_weights(24)
    order = global_order(weights, 24, 0)
    sampler = WeightedSampler(weights, num_replicas=before, rank=0)
    iterator = iter(sampler)
    list(islice(iterator, num_taken))
    state = sampler.state_dict()
    slices = []
    for rank in range(after):
        resumed = WeightedSampler(weights, num_replicas=after, rank=rank)
        resumed.load_state_dict(state)
        slices.append(list(resumed))
    interleaved = [index for turn in zip(*slices, strict=True) for index in turn]
    rest = order[num_taken * before :]
    assert interleaved[: len(rest)] == rest
    assert len(interleaved) - len(rest) == -len(rest) % after


def test_a_finished_epoch_is_the_beginning_of_the_next() -> None:
    sampler = WeightedSampler(some_weights(20))
    epochs = [list(sampler) for _ in range(3)]
    sampler.set_epoch(1)
    list(sampler)
    state = sampler.state_dict()
    assert (state["epoch"], state["cursor"]) == (2, 0)
    resumed = WeightedSampler(some_weights(20))
    resumed.load_state_dict(state)
    assert list(resumed) == epochs[2]


def test_set_epoch_continues_a_resumed_epoch_but_begins_any_other() -> None:
    sampler = WeightedSampler(some_weights(20))
    epochs = [list(sampler) for _ in range(3)]
    state = sampler.state_dict() | {"epoch": 1, "cursor": 8}
    sampler.load_state_dict(state)
    assert sampler.state_dict() == state
    sampler.set_epoch(1)
    assert list(sampler) == epochs[1][8:]
    sampler.load_state_dict(state)
    sampler.set_epoch(2)
    assert list(sampler) == epochs[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draw": "independent"}, "state: saved with draw='independent', this sampler has 'systematic'"),
        ({"num_samples": 21}, "state: saved with num_samples=21, this sampler has 20"),
        ({"num_weights": 21}, "state: saved with num_weights=21"),
        ({"weight_digest": "00"}, "this sampler holds other weights"),
    ],
)
def test_a_state_of_another_sampler_is_refused(change: dict[str, Any], message: str) -> None:
    sampler = WeightedSampler(some_weights(20))
    with pytest.raises(InputError, match=message):
        sampler.load_state_dict(sampler.state_dict() | change)


def test_a_state_that_lacks_something_is_refused() -> None:
    sampler = WeightedSampler(some_weights(20))
    with pytest.raises(InputError, match="state: lacks cursor, weight_digest"):
        sampler.load_state_dict(
            {
                key: value
                for key, value in sampler.state_dict().items()
                if key not in ("cursor", "weight_digest")
            }
        )


# --- changing weights -----------------------------------------------------------------------------------


def test_new_weights_take_effect_with_the_next_epoch() -> None:
    sampler = WeightedSampler([1.0, 1.0, 0.0, 0.0])
    iterator = iter(sampler)
    begun = [next(iterator)]
    sampler.set_weights([0.0, 0.0, 1.0, 1.0])
    assert {*begun, *iterator} == {0, 1}
    assert set(sampler) == {2, 3}


def test_weights_set_before_the_first_epoch_take_effect_at_once() -> None:
    sampler = WeightedSampler([1.0, 1.0, 0.0, 0.0])
    sampler.set_weights([0.0, 0.0, 1.0, 1.0])
    assert set(sampler) == {2, 3}


def test_the_weight_version_does_not_change_the_chance() -> None:
    # Common random numbers: the same seed and epoch meet the same chance, whatever was set before.
    changed = WeightedSampler(some_weights(30, 0), seed=4)
    changed.set_weights(some_weights(30, 1))
    assert list(changed) == list(WeightedSampler(some_weights(30, 1), seed=4))


@pytest.mark.parametrize("weights", [torch.ones(3), torch.ones(5), torch.ones(2, 2)])
def test_new_weights_must_have_the_old_shape(weights: Tensor) -> None:
    with pytest.raises(ShapeError, match="weights: expected"):
        WeightedSampler(torch.ones(4)).set_weights(weights)


def test_new_weights_are_checked() -> None:
    sampler = WeightedSampler(torch.ones(4), draw="distinct")
    with pytest.raises(InputError, match="4 distinct items cannot be drawn from 3"):
        sampler.set_weights([1.0, 1.0, 1.0, 0.0])
    with pytest.raises(InputError, match=r"weights\[1\] is nan"):
        sampler.set_weights([1.0, math.nan, 1.0, 0.0])
    with pytest.raises(InputError, match="got None; only broadcast=True allows that"):
        sampler.set_weights(None)
    with pytest.raises(InputError, match=r"torch\.distributed is not initialised"):
        sampler.set_weights(torch.ones(4), broadcast=True)
    assert sampler.state_dict()["weight_version"] == 0


def interrupted_after_a_change() -> tuple[dict[str, Any], dict[str, Any], list[list[int]]]:
    """Save a state in an epoch during which new weights were set; give also what must follow."""
    old, new = some_weights(30, 0), some_weights(30, 1)
    sampler = WeightedSampler(old, seed=2)
    iterator = iter(sampler)
    list(islice(iterator, 10))
    sampler.set_weights(new)
    state, full_state = sampler.state_dict(), sampler.state_dict(include_weights=True)
    return state, full_state, [list(iterator), list(sampler)]


def test_weights_that_wait_for_their_epoch_are_asked_for_again() -> None:
    state, _, expected = interrupted_after_a_change()
    resumed = WeightedSampler(some_weights(30, 0))
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert list(resumed) == expected[0]
    with pytest.raises(InputError, match="epoch 1 needs weight version 1"):
        iter(resumed)
    resumed.set_weights(some_weights(30, 1))
    assert resumed.state_dict()["weight_version"] == 1
    assert list(resumed) == expected[1]


def test_weights_wait_also_if_nothing_was_consumed_yet() -> None:
    sampler = WeightedSampler([1.0, 1.0, 0.0, 0.0])
    iterator = iter(sampler)
    next(iterator)
    sampler.set_weights([0.0, 0.0, 1.0, 1.0])
    resumed = WeightedSampler(torch.ones(4))
    resumed.load_state_dict(sampler.state_dict(num_consumed=0, include_weights=True))
    assert [set(resumed), set(resumed)] == [{0, 1}, {2, 3}]


def test_weights_set_before_a_resumed_epoch_wait_for_the_next() -> None:
    state, _, expected = interrupted_after_a_change()
    resumed = WeightedSampler(some_weights(30, 0))
    resumed.load_state_dict(state)
    resumed.set_weights(some_weights(30, 1))
    assert [list(resumed), list(resumed)] == expected


def test_a_state_may_carry_the_weights(tmp_path: Path) -> None:
    _, state, expected = interrupted_after_a_change()
    torch.save(state, tmp_path / "sampler.pt")
    resumed = WeightedSampler(torch.ones(30))
    resumed.load_state_dict(torch.load(tmp_path / "sampler.pt", weights_only=True))
    assert [list(resumed), list(resumed)] == expected
    assert "newest_weights" not in resumed.state_dict(include_weights=True)


def test_a_state_with_tampered_weights_is_refused() -> None:
    _, state, _ = interrupted_after_a_change()
    with pytest.raises(InputError, match="holds other weights"):
        WeightedSampler(torch.ones(30)).load_state_dict(state | {"weights": some_weights(30, 3)})


# --- correction -----------------------------------------------------------------------


@pytest.mark.parametrize("draw", ["systematic", "independent"])
def test_correction_makes_the_mean_unbiased(draw: DrawKind) -> None:
    weights = torch.tensor([1.0, 5.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    losses = torch.tensor([0.3, -1.0, 7.0, 2.0, 0.1], dtype=torch.float64)
    sampler = WeightedSampler(weights, 7, draw=draw)
    factors = sampler.correction(torch.arange(5))
    torch.testing.assert_close(factors, 1 / (5 * weights / 11.5), rtol=1e-14, atol=0.0)
    # Exactly: sum_i p_i * factor_i * loss_i is the plain mean.
    assert float((weights / 11.5 * factors * losses).sum()) == pytest.approx(float(losses.mean()), rel=1e-14)
    # And over epochs, with a tolerance of five standard errors.
    means = []
    for _ in range(1500):
        indices = torch.tensor(list(sampler))
        means.append(float((sampler.correction(indices) * losses[indices]).mean()))
    spread = float(torch.tensor(means).std()) / math.sqrt(len(means))
    assert abs(sum(means) / len(means) - float(losses.mean())) < 5 * spread
    # Negative control: without the factors the mean is another.
    assert abs(float((weights / 11.5 * losses).sum() - losses.mean())) > 5 * spread


def test_correction_belongs_to_the_epoch_in_progress() -> None:
    sampler = WeightedSampler([1.0, 3.0])
    iterator = iter(sampler)
    list(iterator)  # a DataLoader has asked for everything, training is behind
    sampler.set_weights([3.0, 1.0])
    assert sampler.correction(torch.tensor([[0], [1]])).tolist() == [[2.0], [pytest.approx(2 / 3)]]
    iter(sampler)
    assert sampler.correction(torch.tensor([0, 1])).tolist() == [pytest.approx(2 / 3), 2.0]


def test_correction_before_the_first_and_in_a_resumed_epoch() -> None:
    sampler = WeightedSampler([1.0, 3.0])
    assert sampler.correction(torch.tensor([0])).tolist() == [2.0]
    sampler.load_state_dict(sampler.state_dict() | {"cursor": 1})
    sampler.set_weights([3.0, 1.0])
    assert sampler.correction(torch.tensor([0])).tolist() == [2.0]


def test_correction_is_refused_where_it_would_lie() -> None:
    with pytest.raises(InputError, match="an index has weight 0 in this epoch"):
        WeightedSampler([1.0, 0.0]).correction(torch.tensor([0, 1]))
    with pytest.raises(InputError, match='draw "distinct" does not draw in proportion'):
        WeightedSampler([1.0, 1.0], draw="distinct").correction(torch.tensor([0]))


# --- data loaders ---------------------------------------------------------------------------------------


def loader_over(sampler: WeightedSampler, num_workers: int, **options: Any) -> DataLoader[Tensor]:
    return DataLoader(Indices(200), batch_size=8, sampler=sampler, num_workers=num_workers, **options)  # type: ignore[arg-type]


def test_a_data_loader_gets_the_same_order_with_any_workers() -> None:
    weights = some_weights(200)
    expected = [global_order(weights, 200, epoch) for epoch in range(3)]
    plain = loader_over(WeightedSampler(weights), 0)
    persistent = loader_over(WeightedSampler(weights), 2, persistent_workers=True)
    assert len(plain) == 25
    for epoch in range(3):
        assert torch.cat(list(plain)).tolist() == expected[epoch]
        assert torch.cat(list(persistent)).tolist() == expected[epoch]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_that_takes_single_indices_begins_no_epoch_in_vain(num_workers: int) -> None:
    # With batch_size=None and workers, a DataLoader calls iter(sampler) twice for one iteration.
    weights = some_weights(30)
    loader = DataLoader(
        Indices(30), batch_size=None, sampler=WeightedSampler(weights), num_workers=num_workers
    )
    for epoch in range(2):
        assert [int(index) for index in loader] == global_order(weights, 30, epoch)


def test_resuming_behind_a_prefetching_loader_needs_the_consumed_count() -> None:
    weights = some_weights(200)
    sampler = WeightedSampler(weights)
    consumed: list[int] = []
    for step, batch in enumerate(loader_over(sampler, 2, prefetch_factor=3)):
        consumed += batch.tolist()
        if step == 4:
            break
    assert len(consumed) == 40
    assert sampler.state_dict()["cursor"] > 40  # the loader is ahead of training
    state = sampler.state_dict(num_consumed=len(consumed))
    resumed = WeightedSampler(weights)
    resumed.load_state_dict(state)
    loader = loader_over(resumed, 0)
    rest = torch.cat(list(loader)).tolist()
    assert consumed + rest == global_order(weights, 200, 0)
    assert torch.cat(list(loader)).tolist() == global_order(weights, 200, 1)


def test_an_epoch_whose_tail_the_loader_drops_is_finished() -> None:
    sampler = WeightedSampler(some_weights(200), 197)
    assert sum(len(batch) for batch in loader_over(sampler, 0, drop_last=True)) == 192
    assert sampler.state_dict()["epoch"] == 1


def test_resuming_anywhere_with_any_workers_ranks_and_weights() -> None:
    # 20 random places of a training over 4 epochs with new weights after each, read through real loaders:
    # stopped with one number of workers (persistent or not, however far ahead), continued with another.
    randomness = random.Random(0)
    tables = [some_weights(60, seed) for seed in range(4)]
    whole = Run(tables, [1, 2, 3], num_samples=50, num_replicas=1, rank=0)
    epochs = [whole.epoch() for _ in range(4)]
    data = TensorDataset(torch.arange(60))

    def loader_of(sampler: WeightedSampler) -> DataLoader[tuple[Tensor, ...]]:
        num_workers = randomness.choice([0, 0, 1, 2])
        ahead = {"prefetch_factor": randomness.randint(1, 5), "persistent_workers": randomness.random() < 0.5}
        return DataLoader(
            data,
            batch_size=randomness.randint(1, 9),
            sampler=sampler,
            num_workers=num_workers,
            **(ahead if num_workers else {}),  # type: ignore[arg-type]
        )

    for _ in range(20):
        epoch, num_replicas = randomness.randrange(4), randomness.randint(1, 3)
        options: dict[str, Any] = {"num_samples": 50, "num_replicas": num_replicas}
        options["rank"] = randomness.randrange(num_replicas)
        filled = epochs[epoch] + epochs[epoch][: -50 % num_replicas]
        expected = filled[options["rank"] :: num_replicas]
        run = WeightedSampler(tables[epoch], **options)
        run.set_epoch(epoch)
        loader = loader_of(run)
        num_batches = randomness.randint(1, len(loader) - 1) if len(loader) > 1 else 0
        seen = [int(index) for (batch,) in islice(loader, num_batches) for index in batch]
        state = run.state_dict(num_consumed=len(seen), include_weights=True)
        resumed = WeightedSampler(torch.ones(60), **options)
        resumed.load_state_dict(json_and_tensors(state))
        rest = [int(index) for (batch,) in loader_of(resumed) for index in batch]
        assert seen + rest == expected
        assert resumed.state_dict()["epoch"] == epoch + 1


def json_and_tensors(state: dict[str, Any]) -> dict[str, Any]:
    """Pass a state's numbers through JSON, as a checkpoint would."""
    tensors = {key: value.clone() for key, value in state.items() if isinstance(value, Tensor)}
    numbers: dict[str, Any] = json.loads(json.dumps({key: state[key] for key in state if key not in tensors}))
    return numbers | tensors


@pytest.mark.parametrize(("before", "after"), [(2, 3), (4, 1)])
def test_another_world_size_takes_over_between_epochs(before: int, after: int) -> None:
    weights, new = some_weights(24), some_weights(24, 1)
    first = WeightedSampler(weights, 26, num_replicas=before, rank=before - 1)
    list(first)
    first.set_weights(new)
    state = first.state_dict(include_weights=True)
    slices = []
    for rank in range(after):
        resumed = WeightedSampler(torch.ones(24), 26, num_replicas=after, rank=rank)
        resumed.load_state_dict(state)
        slices.append(list(resumed))
    interleaved = [index for turn in zip(*slices, strict=True) for index in turn]
    order = global_order(new, 26, 1)
    assert interleaved == order + order[: -26 % after]


def test_naming_the_epoch_that_has_begun_keeps_its_place() -> None:
    # Lightning calls set_epoch after its loader has begun to prefetch.
    sampler = WeightedSampler(some_weights(20))
    iterator = iter(sampler)
    begun = list(islice(iterator, 6))
    sampler.set_epoch(0)
    assert (sampler.state_dict(num_consumed=2)["cursor"], sampler.num_due) == (2, 20)
    assert begun + list(iterator) == global_order(some_weights(20), 20, 0)
    sampler.set_epoch(1)
    assert sampler.state_dict()["cursor"] == 0
    assert list(sampler) == global_order(some_weights(20), 20, 1)


def test_twins_for_frameworks_share_weights_and_place() -> None:
    dealing = WeightedSampler(some_weights(20), num_replicas=4, rank=1)
    dealing.load_state_dict(dealing.state_dict() | {"epoch": 3, "cursor": 8})
    everything = dealing.for_accelerate()
    assert everything.replica == (1, 0)
    assert list(everything) == global_order(some_weights(20), 20, 3)[8:]
    assert dealing.for_ddp().replica == (1, 0)  # nobody has initialised torch.distributed
    assert dealing.replica == (4, 1)
    assert (dealing.epoch, everything.epoch) == (3, 4)


# --- processes ------------------------------------------------------------------------------------------

TWO_RANKS = """
import json, sys
import torch
import torch.distributed as dist
from localmin.errors import InputError
from localmin.sampling.weighted_sampler import WeightedSampler

rank, folder = int(sys.argv[1]), sys.argv[2]
sampler = WeightedSampler(torch.ones(11), seed=1)          # built before the process group exists
alone = len(sampler)
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
report = {"alone": alone, "length": len(sampler), "first": list(sampler)}
sampler.set_weights(torch.arange(11.0) if rank == 0 else None, broadcast=True)
report["second"] = list(sampler)
refusals = []
for bad in (torch.full((11,), float("nan")), None, torch.ones(12)):
    try:
        sampler.set_weights(bad if rank == 0 else torch.ones(11), broadcast=True)
    except InputError as error:
        refusals.append(str(error))
report["refusals"] = refusals
report["third"] = list(sampler)
json.dump(report, open(f"{folder}/{rank}.json", "w"))
dist.destroy_process_group()
"""


def test_two_processes_find_their_ranks_and_share_weights(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TWO_RANKS]
    processes = [subprocess.Popen([*command, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    reports = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert [report["alone"] for report in reports] == [11, 11]
    assert [report["length"] for report in reports] == [6, 6]
    for epoch, (key, weights) in enumerate(
        [("first", torch.ones(11)), ("second", torch.arange(11.0)), ("third", torch.arange(11.0))]
    ):
        order = global_order(weights, 11, epoch, seed=1)
        assert reports[0][key] == order[0::2]
        assert reports[1][key] == [*order[1::2], order[0]]
    assert reports[0]["refusals"] == reports[1]["refusals"]
    assert [refusal.split(":")[0] for refusal in reports[0]["refusals"]] == [
        "weights[0] is nan",
        "weights",
        "weights",
    ]
