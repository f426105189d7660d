from __future__ import annotations

import pytest
import torch

from localmin.errors import DataError, ShapeError
from localmin.tasks import Examples


def make(count: int = 4, identifiers: tuple[str, ...] | None = None) -> Examples:
    return Examples(torch.arange(2.0 * count).view(count, 2), torch.arange(count) % 2, identifiers)


def test_subset_takes_inputs_labels_and_names_in_the_order_asked_for() -> None:
    subset = make(4, ("a", "b", "c", "d")).subset(torch.tensor([3, 1]))
    assert subset.inputs.tolist() == [[6.0, 7.0], [2.0, 3.0]]
    assert subset.labels.tolist() == [1, 1]
    assert [subset.identifier(i) for i in range(2)] == ["d", "b"]


def test_a_row_keeps_its_number_through_subsets_of_subsets() -> None:
    examples = make(6)
    assert examples.identifier(4) == "row 4"
    once = examples.subset(torch.tensor([5, 2, 4]))
    twice = once.subset(torch.tensor([2, 0]))
    assert [once.identifier(i) for i in range(3)] == ["row 5", "row 2", "row 4"]
    assert [twice.identifier(i) for i in range(2)] == ["row 4", "row 5"]
    assert twice.with_labels(torch.tensor([1, 1])).identifier(0) == "row 4"


def test_with_labels_leaves_the_original_alone() -> None:
    examples = make()
    changed = examples.with_labels(torch.tensor([1, 1, 1, 1]))
    assert changed.labels.tolist() == [1, 1, 1, 1]
    assert examples.labels.tolist() == [0, 1, 0, 1]
    assert changed.inputs is examples.inputs


def test_lengths_and_types_must_fit() -> None:
    with pytest.raises(ShapeError, match="3 inputs but 2 labels"):
        Examples(torch.zeros(3, 1), torch.tensor([0, 1]))
    with pytest.raises(ShapeError, match="int64"):
        Examples(torch.zeros(2, 1), torch.tensor([False, True]))
    with pytest.raises(ShapeError, match=r"shape \(n,\)"):
        Examples(torch.zeros(2, 1), torch.tensor([[0.0], [1.0]]))
    with pytest.raises(ShapeError, match=r"shape \(n,\)"):
        Examples(torch.zeros(2, 1), torch.zeros(2, 1, 1, dtype=torch.int64))
    with pytest.raises(ShapeError, match="1 identifiers for 2"):
        Examples(torch.zeros(2, 1), torch.tensor([0, 1]), ("a",))
    with pytest.raises(ShapeError, match="3 row numbers for 2"):
        Examples(torch.zeros(2, 1), torch.tensor([0, 1]), rows=torch.arange(3))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_is_named_by_its_row(value: float) -> None:
    inputs = torch.zeros(5, 2, 2)
    inputs[3, 1, 0] = value
    with pytest.raises(DataError, match="1 of 5 examples have NaN or infinite features, the first is row 3"):
        Examples(inputs, torch.zeros(5, dtype=torch.int64))
    one_dimensional = inputs.flatten(1).sum(1)
    with pytest.raises(DataError, match="row 3"):
        Examples(one_dimensional, torch.zeros(5, dtype=torch.int64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_huge_finite_numbers_whose_sum_overflows_are_accepted(dtype: torch.dtype) -> None:
    inputs = torch.full((4, 3), torch.finfo(dtype).max, dtype=dtype)
    assert len(Examples(inputs, torch.zeros(4, dtype=torch.int64))) == 4


def test_opposite_infinities_do_not_cancel() -> None:
    with pytest.raises(DataError, match="1 of 2"):
        Examples(torch.tensor([[float("inf"), -float("inf")], [0, 0]]), torch.tensor([0, 1]))


def test_no_examples_are_allowed_here() -> None:
    assert len(Examples(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))) == 0


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((2, 3, 4, 4), torch.uint8, True),
        ((2, 3, 4, 4), torch.float32, False),
        ((2, 16), torch.uint8, False),
    ],
)
def test_images_are_8_bit_and_four_dimensional(
    shape: tuple[int, ...], dtype: torch.dtype, expected: bool
) -> None:
    assert Examples(torch.zeros(shape, dtype=dtype), torch.tensor([0, 1])).is_image is expected


def test_moving_keeps_everything() -> None:
    moved = make(4).subset(torch.tensor([2, 3])).to(torch.device("cpu"))
    assert moved.labels.tolist() == [0, 1]
    assert moved.identifier(1) == "row 3"
