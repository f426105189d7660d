"""Checks of weights, and the effective number of examples."""

import math
from array import array

import numpy as np
import pytest
import torch

from localmin.errors import InputError, ShapeError
from localmin.sampling.weight_table import (
    WeightsLike,
    WeightTable,
    effective_sample_size,
    require_nonzero,
    validate_weights,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    "weights",
    [
        [1, 0, 3],
        np.array([1.0, 0.0, 3.0], dtype=np.float32),
        torch.tensor([1, 0, 3], dtype=torch.int32),
        torch.tensor([1.0, 9.0, 0.0, 9.0, 3.0, 9.0])[::2],
        torch.tensor([1.0, 0.0, 3.0], requires_grad=True),
        np.array([3.0, 0.0, 1.0])[::-1],
        np.frombuffer(np.array([1.0, 0.0, 3.0]).tobytes()),
    ],
)
def test_validate_weights_brings_every_kind_to_float64(weights: WeightsLike) -> None:
    table = validate_weights(weights)
    assert table.dtype == torch.float64
    assert table.is_contiguous()
    assert not table.requires_grad
    assert table.tolist() == [1.0, 0.0, 3.0]


def test_validate_weights_does_not_copy_what_is_fit() -> None:
    weights = torch.rand(10, dtype=torch.float64, generator=seeded(0))
    assert validate_weights(weights).data_ptr() == weights.data_ptr()
    assert validate_weights(weights.numpy()).data_ptr() == weights.data_ptr()


def test_validate_weights_reads_lists_in_double_precision() -> None:
    assert validate_weights([0.1, 0.2]).tolist() == [0.1, 0.2]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(2, 3), r"shape \(2, 3\)"),
        (torch.tensor(1.0), r"shape \(\)"),
        ([], r"shape \(0,\)"),
        (torch.ones(3, dtype=torch.complex64), "complex64"),
        (np.ones(3, dtype=np.complex128), "complex128"),
        ([[1.0], [1.0, 2.0]], "ragged"),
        (["a", "b"], "<U1"),
    ],
)
def test_validate_weights_refuses_other_shapes(weights: WeightsLike, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        validate_weights(weights)


@pytest.mark.parametrize("bad", [-1e-300, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("index", [0, 5, 40_000])
def test_validate_weights_names_the_first_bad_index(bad: float, index: int) -> None:
    weights = torch.ones(70_000, dtype=torch.float64)
    weights[index] = bad
    with pytest.raises(InputError, match=rf"weights\[{index}\] is {bad}"):
        validate_weights(weights)
    weights[60_000] = math.nan
    with pytest.raises(InputError, match=rf"weights\[{index}\] is {bad}"):
        validate_weights(weights)


def test_validate_weights_refuses_all_zero() -> None:
    with pytest.raises(InputError, match="all 7 are 0"):
        validate_weights(torch.zeros(7))


def test_require_nonzero_counts_weights_above_zero() -> None:
    require_nonzero(torch.tensor([1.0, 0.0, 1e-300], dtype=torch.float64), 2)
    with pytest.raises(InputError, match="3 distinct items cannot be drawn from 2 weights above zero"):
        require_nonzero(torch.tensor([1.0, 0.0, 1e-300], dtype=torch.float64), 3)


def test_effective_sample_size_closed_forms() -> None:
    assert effective_sample_size([3.0] * 7) == pytest.approx(7.0, rel=1e-14)
    assert effective_sample_size([0.0, 2.0, 0.0]) == pytest.approx(1.0, rel=1e-14)
    # (sum of geometric series)^2 / sum of squares, ratio 1/2, 20 terms
    weights = torch.tensor([0.5**k for k in range(20)], dtype=torch.float64)
    expected = (2 * (1 - 0.5**20)) ** 2 / ((1 - 0.25**20) / 0.75)
    assert effective_sample_size(weights) == pytest.approx(expected, rel=1e-14)
    assert effective_sample_size(weights * 1e-200) == pytest.approx(expected, rel=1e-12)


class NotATensor:
    """A table of another library that NumPy can read."""

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.array([1.0, 0.0, 3.0])


def test_any_array_that_numpy_reads_is_a_table_of_weights() -> None:
    for weights in (NotATensor(), (1.0, 0.0, 3.0), array("d", [1.0, 0.0, 3.0]), range(1, 4)):
        assert len(WeightTable.of(weights)) == 3  # type: ignore[arg-type]


def test_the_digest_tells_values_apart_and_forgets_where_they_lie() -> None:
    table = WeightTable.of([1.0, 0.0, 3.0])
    assert table.digest == WeightTable.of(torch.tensor([1, 0, 3])).digest
    assert table.digest != WeightTable.of([1.0, 3.0, 0.0]).digest
