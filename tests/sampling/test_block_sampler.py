"""Block mode: counts, order, random access, ranks, resumption, memory."""

import math
import random
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.utils.data import DataLoader, TensorDataset

from localmin.errors import InputError, ShapeError
from localmin.sampling.block_sampler import BlockSampler
from localmin.sampling.weight_index import WeightIndex

SMALL: dict[str, Any] = {"run_length": 4, "block_length": 12}


def some_weights(num_weights: int, seed: int = 0) -> np.ndarray:
    weights = np.random.default_rng(seed).random(num_weights)
    weights[::7] = 0.0
    weights[-1] = 1.0
    return weights


def global_order(weights: np.ndarray, num_samples: int, epoch: int, **options: Any) -> list[int]:
    sampler = BlockSampler(weights, num_samples, num_replicas=1, rank=0, **options)
    sampler.set_epoch(epoch)
    return list(sampler)


# --- counts and order -----------------------------------------------------------------------------------

weight_lists = st.lists(
    st.one_of(st.just(0.0), st.floats(0.01, 100.0), st.floats(1e-9, 1e9), st.integers(0, 4).map(float)),
    min_size=1,
    max_size=40,
).filter(lambda weights: sum(weights) > 0)


@settings(max_examples=80, deadline=None)
@given(weight_lists, st.integers(1, 300), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32))
def test_counts_are_shares_rounded_down_or_up(
    weights: list[float], num_samples: int, run_length: int, runs: int, seed: int
) -> None:
    sampler = BlockSampler(
        np.array(weights), num_samples, seed=seed, run_length=run_length, block_length=run_length * runs
    )
    counts = Counter(sampler)
    total = sum(Fraction(weight) for weight in weights)
    assert counts.total() == num_samples
    for item, weight in enumerate(weights):
        assert abs(counts[item] - num_samples * Fraction(weight) / total) < 1 + 1e-9
        assert weight > 0 or counts[item] == 0


@pytest.mark.parametrize("constant", [1.0, 0.1, 1 / 3, 1e-200])
@pytest.mark.parametrize("num_weights", [1, 2, 3, 4, 5, 12, 13, 1000])
def test_constant_weights_give_a_permutation(constant: float, num_weights: int) -> None:
    sampler = BlockSampler(np.full(num_weights, constant), **SMALL)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(num_weights))
    assert num_weights < 12 or first != second


def test_counts_of_a_million() -> None:
    weights = some_weights(10**6)
    drawn = np.fromiter(BlockSampler(weights, block_length=131_072), dtype=np.int64, count=10**6)
    counts = np.bincount(drawn, minlength=10**6)
    assert float(np.abs(counts - weights * (10**6 / weights.sum())).max()) < 1 + 1e-6
    assert counts[weights == 0].max() == 0


def test_every_position_draws_in_proportion_to_the_weights() -> None:
    # First, middle and last position over 1,500 epochs: no place prefers an item, neither the places of
    # the leftover draws (30 = 2 blocks of 12, one run of 4, 2 left over).
    weights = np.array([1.0, 2.0, 0.0, 3.0, 6.0])
    sampler = BlockSampler(weights, 30, **SMALL)
    orders = np.array([sampler.at(epoch, np.array([0, 11, 13, 29])) for epoch in range(1_500)])
    for column in orders.T:
        counts = np.bincount(column, minlength=5)
        assert counts[2] == 0
        present = weights > 0
        assert stats.chisquare(counts[present], 1_500 * weights[present] / 12).pvalue > 1e-4
        wrong = weights[present] ** 1.4
        assert stats.chisquare(counts[present], 1_500 * wrong / wrong.sum()).pvalue < 1e-4


def test_one_block_is_a_uniform_shuffle() -> None:
    sampler = BlockSampler(np.ones(4), run_length=2, block_length=8)
    seen = Counter(tuple(sampler) for _ in range(1_200))
    assert len(seen) == 24
    assert stats.chisquare(list(seen.values())).pvalue > 1e-4


def test_blocks_gather_runs_from_everywhere() -> None:
    num = 100_000
    order = np.array(global_order(np.ones(num), num, 0, run_length=50, block_length=5_000))
    cells = np.bincount((np.arange(num) * 20 // num) * 20 + order * 20 // num, minlength=400)
    # 5,000 draws of a block come as 100 runs: a cell holds 5 runs of 50 on average.
    assert abs(float(np.corrcoef(np.arange(num), order)[0, 1])) < 5 / math.sqrt(num / 50)
    assert cells.max() < 250 + 7 * 50 * math.sqrt(5)
    assert (cells == 0).sum() < 20  # e^-5 of 400 cells, about 3


def test_epochs_and_seeds_give_other_blocks() -> None:
    orders = [tuple(global_order(np.ones(100), 100, epoch, seed=seed, **SMALL)) for epoch, seed in
              [(0, 0), (1, 0), (0, 1), (1, 1)]]  # fmt: skip
    assert len(set(orders)) == 4
    assert len({frozenset(order[:12]) for order in orders}) == 4


# --- random access, ranks, resumption -------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    num_weights=st.integers(1, 60),
    num_samples=st.integers(1, 90),
    num_replicas=st.integers(1, 7),
    drop_last=st.booleans(),
    epoch=st.integers(0, 1000),
    randomness=st.randoms(use_true_random=False),
)
def test_ranks_share_out_the_global_order_from_any_cursor(
    num_weights: int,
    num_samples: int,
    num_replicas: int,
    drop_last: bool,
    epoch: int,
    randomness: random.Random,
) -> None:
    weights = some_weights(num_weights)
    order = global_order(weights, num_samples, epoch, **SMALL)
    start = randomness.randrange(num_samples)
    if drop_last and num_samples < num_replicas:
        return
    slices = []
    for rank in range(num_replicas):
        sampler = BlockSampler(
            weights, num_samples, num_replicas=num_replicas, rank=rank, drop_last=drop_last, **SMALL
        )
        sampler.set_epoch(epoch)
        sampler.load_state_dict(sampler.state_dict() | {"cursor": start})
        slices.append(list(sampler))
    interleaved = [index for turn in zip(*slices, strict=True) for index in turn]
    rest = order[start:]
    kept = rest[: len(rest) // num_replicas * num_replicas] if drop_last else rest
    assert interleaved[: len(kept)] == kept
    repeated = order * math.ceil(num_replicas / num_samples)
    assert interleaved[len(kept) :] == ([] if drop_last else repeated[: -len(rest) % num_replicas])


def test_any_position_is_found_without_the_others() -> None:
    weights = some_weights(500)
    sampler = BlockSampler(weights, 777, seed=5, **SMALL)
    for epoch in range(3):
        order = np.array(list(sampler))
        positions = np.random.default_rng(epoch).integers(0, 777, 60)
        assert sampler.at(epoch, positions).tolist() == order[positions].tolist()
    with pytest.raises(InputError, match="positions: expected 0 to 776"):
        sampler.at(0, np.array([777]))


class CountingWeights:
    """Weights that know which of them were read."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.num_read = values, 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: slice) -> np.ndarray:
        part = self.values[index]
        self.num_read += len(part)
        return part


def test_resuming_reads_one_block_and_an_epoch_reads_little_more_than_the_table() -> None:
    weights = CountingWeights(np.random.default_rng(0).random(1_000_000))
    index = WeightIndex.build(weights, stride=128)
    assert weights.num_read == 2_000_000
    options: dict[str, Any] = {"run_length": 1_024, "block_length": 32_768}
    weights.num_read = 0
    sampler = BlockSampler(index, **options)
    sampler.load_state_dict(sampler.state_dict() | {"cursor": 876_543})
    rest = iter(sampler)
    next(rest)
    assert weights.num_read < 1.3 * 32_768
    weights.num_read = 0
    assert sum(1 for _ in BlockSampler(index, **options)) == 1_000_000
    assert weights.num_read < 1_250_000


def test_resuming_anywhere_with_changing_weights_gives_the_identical_rest() -> None:
    tables = [some_weights(200, seed) for seed in range(3)]
    whole = BlockSampler(tables[0], 150, seed=9, num_replicas=2, rank=1, **SMALL)
    epochs = []
    for table in [*tables[1:], None]:
        epochs.append(list(whole))
        if table is not None:
            whole.set_weights(table)
    randomness = random.Random(0)
    for _ in range(20):
        epoch, num_taken = randomness.randrange(3), randomness.randrange(75)
        sampler = BlockSampler(tables[epoch], 150, seed=9, num_replicas=2, rank=1, **SMALL)
        sampler.set_epoch(epoch)
        taken = list(islice(sampler, num_taken))
        resumed = BlockSampler(tables[epoch], 150, num_replicas=2, rank=1, **SMALL)
        resumed.load_state_dict(sampler.state_dict())
        assert taken + list(resumed) == epochs[epoch]


def test_an_epoch_in_progress_keeps_its_weights() -> None:
    sampler = BlockSampler(np.array([1.0, 1.0, 0.0, 0.0]), 40, **SMALL)
    iterator = iter(sampler)
    first = {next(iterator)}
    sampler.set_weights(WeightIndex.build(np.array([0.0, 0.0, 1.0, 1.0])))
    assert first | set(iterator) == {0, 1}
    assert set(sampler) == {2, 3}
    assert sampler.index.weights[3:4] == 1.0
    with pytest.raises(ShapeError, match=r"expected shape \(4,\) as before, got \(5,\)"):
        sampler.set_weights(np.ones(5))


def test_a_state_of_other_blocks_or_weights_is_refused() -> None:
    state = BlockSampler(np.ones(50), **SMALL).state_dict()
    with pytest.raises(InputError, match="saved with block_length=12, this sampler has 16"):
        BlockSampler(np.ones(50), run_length=4, block_length=16).load_state_dict(state)
    with pytest.raises(InputError, match="this sampler holds other weights"):
        BlockSampler(some_weights(50), **SMALL).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_length": 10, "run_length": 4}, "block_length: expected a multiple of run_length=4, got 10"),
        ({"run_length": 0}, "run_length: expected a whole number >= 1, got 0"),
        ({"num_samples": 0}, "num_samples: expected a whole number >= 1, got 0"),
    ],
)
def test_senseless_options_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BlockSampler(np.ones(8), **options)  # type: ignore[arg-type]


def test_a_prefetching_loader_over_memory_mapped_weights(tmp_path: Path) -> None:
    np.save(tmp_path / "weights.npy", some_weights(300))
    weights = np.load(tmp_path / "weights.npy", mmap_mode="r")
    sampler = BlockSampler(weights, **SMALL)
    data = TensorDataset(torch.arange(300))
    loader = DataLoader(data, batch_size=8, sampler=sampler, num_workers=2, persistent_workers=True)
    consumed = [int(index) for (batch,) in islice(loader, 5) for index in batch]
    resumed = BlockSampler(weights, **SMALL)
    resumed.load_state_dict(sampler.state_dict(num_consumed=40))
    assert consumed + list(resumed) == global_order(some_weights(300), 300, 0, **SMALL)


PEAK = """
import sys
import numpy as np
from pathlib import Path
from localmin.sampling.block_sampler import BlockSampler

weights = np.load(sys.argv[1], mmap_mode="r")
small = BlockSampler(np.ones(10_000))
next(iter(small))
Path("/proc/self/clear_refs").write_text("5")
status = lambda field: int(Path("/proc/self/status").read_text().split(field)[1].split()[1])
before = status("RssAnon")
next(iter(BlockSampler(weights, block_length=65_536)))
print(status("RssAnon") - before, status("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_memory_stays_far_below_that_of_the_weights(tmp_path: Path) -> None:
    np.save(tmp_path / "weights.npy", np.ones(8_000_000, dtype=np.float32))
    run = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "weights.npy")],
        capture_output=True,
        text=True,
        check=True,
    )
    kept, _ = (int(number) for number in run.stdout.split())
    assert kept < 16_000  # KiB; a float64 copy of the weights would be 62,500
