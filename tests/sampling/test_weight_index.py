"""The index against exact whole numbers, its checks, and its file."""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localmin.errors import InputError, RunFolderError, ShapeError
from localmin.sampling import weight_index
from localmin.sampling.weight_index import WeightIndex

weight_lists = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-9, 1e9), st.integers(0, 3).map(float)), min_size=1, max_size=50
).filter(lambda weights: sum(weights) > 0)


def exact_units(weights: Sequence[float]) -> list[int]:
    """Round the weights' multiples in exact arithmetic, ties to even as the hardware does."""
    total = sum(Fraction(weight) for weight in weights)
    scale = Fraction(2) ** (61 - (math.floor(math.log2(total)) + 1))
    return [round(Fraction(weight) * scale) for weight in weights]


@settings(max_examples=150, deadline=None)
@given(weight_lists, st.integers(1, 9))
def test_every_point_finds_its_item(weights: list[float], stride: int) -> None:
    index = WeightIndex.build(np.array(weights), stride=stride)
    units = exact_units(weights)
    ends = np.cumsum(np.array(units, dtype=np.int64))
    assert index.total == sum(units)
    assert 2**60 <= index.total < 2**61 + len(weights)
    borders = {0, index.total - 1, *(int(end) for end in ends[:-1]), *(int(end) - 1 for end in ends if end)}
    points = np.array(sorted(point for point in borders if point < index.total), dtype=np.int64)
    expected = [next(i for i, end in enumerate(ends) if point < end) for point in points]
    assert index.locate(points).tolist() == expected
    assert all(weights[item] > 0 for item in expected)


def test_long_reads_and_many_blocks_agree_with_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.random.default_rng(0).random(5_000)
    weights[1000:3000] = 0.0
    whole = WeightIndex.build(weights)
    points = np.sort(np.random.default_rng(1).integers(0, whole.total, 3_000))
    monkeypatch.setattr(weight_index, "_READ", 300)
    monkeypatch.setattr(weight_index, "_BLOCKS", 3)
    pieces = WeightIndex.build(weights, stride=7)
    assert pieces.total == whole.total
    assert pieces.locate(points).tolist() == whole.locate(points).tolist()


@pytest.mark.parametrize(
    "weights",
    [
        [1, 0, 3],
        (1.0, 0.0, 3.0),
        np.array([1.0, 0.0, 3.0], dtype=np.float16),
        torch.tensor([1.0, 0.0, 3.0], dtype=torch.bfloat16),
        torch.tensor([1, 0, 3], dtype=torch.uint8),
    ],
)
def test_anything_that_gives_slices_is_a_table(weights: Any) -> None:
    index = WeightIndex.build(weights)
    assert index.starts.tolist() == [0, 2**60]
    assert index.digest == WeightIndex.build(np.array([1.0, 0.0, 3.0])).digest


def test_a_read_only_memory_map_is_read_in_place(tmp_path: Path) -> None:
    np.save(tmp_path / "weights.npy", np.arange(10.0))
    weights = np.load(tmp_path / "weights.npy", mmap_mode="r")
    index = WeightIndex.build(weights)
    assert index.weights is weights
    assert index.locate(np.array([0])).tolist() == [1]


@pytest.mark.parametrize("bad", [-1e-300, math.nan, math.inf])
def test_the_first_bad_weight_is_named(bad: float) -> None:
    weights = np.ones(600_000, dtype=np.float32)
    weights[[400_001, 500_000]] = bad if bad != -1e-300 else -1e-30
    with pytest.raises(InputError, match=r"weights\[400001\] is "):
        WeightIndex.build(weights)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (np.zeros(5), InputError, "all 5 are 0"),
        (np.array([1e300, 1e300]), InputError, r"sum is 2e\+300; multiply them"),
        (np.array([5e-324]), InputError, "multiply them"),
        (np.empty(0), ShapeError, "at least one"),
        (np.ones((3, 2)), ShapeError, r"shape \(3, 2\)"),
        (np.ones(3, dtype=complex), ShapeError, "complex128"),
        (["a", "b"], ShapeError, "<U1"),
    ],
)
def test_other_tables_are_refused(weights: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        WeightIndex.build(weights)
    with pytest.raises(InputError, match="stride: expected a whole number >= 1"):
        WeightIndex.build(np.ones(3), stride=0)


def test_weights_that_changed_behind_the_index_are_noticed() -> None:
    weights = np.ones(5_000)
    index = WeightIndex.build(weights)
    weights[4_000] = 2.0
    index.locate(np.array([0]))
    with pytest.raises(InputError, match="those from 3072 on are no longer what the index was built from"):
        index.locate(np.array([index.total - 1000 * 2**48]))


def test_the_digest_depends_on_values_and_places() -> None:
    weights = np.random.default_rng(2).random(3_000)
    digest = WeightIndex.build(weights).digest
    assert digest == WeightIndex.build(weights.copy()).digest
    swapped = weights.copy()
    swapped[[5, 6]] = swapped[[6, 5]]
    assert digest != WeightIndex.build(swapped).digest


def test_an_index_is_saved_and_taken_up(tmp_path: Path) -> None:
    weights = np.random.default_rng(3).random(3_000)
    index = WeightIndex.build(weights, stride=100)
    index.save(tmp_path / "index.safetensors")
    again = WeightIndex.load(tmp_path / "index.safetensors", weights)
    points = np.sort(np.random.default_rng(4).integers(0, index.total, 500))
    assert again.locate(points).tolist() == index.locate(points).tolist()
    assert (again.digest, again.scale, again.stride) == (index.digest, index.scale, index.stride)
    with pytest.raises(RunFolderError, match="indexes 3000 weights, but 2999 were given"):
        WeightIndex.load(tmp_path / "index.safetensors", weights[:-1])
    (tmp_path / "other.safetensors").write_bytes(b"something else")
    with pytest.raises(RunFolderError, match="no index of weights"):
        WeightIndex.load(tmp_path / "other.safetensors", weights)
    with pytest.raises(RunFolderError, match="no index of weights"):
        WeightIndex.load(tmp_path / "absent.safetensors", weights)


def test_progress_runs_from_nought_to_one() -> None:
    shares: list[float] = []
    WeightIndex.build(np.ones(600_000, dtype=np.float32), progress=shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5
    assert shares[-1] == 1.0
