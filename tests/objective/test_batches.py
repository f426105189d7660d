from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from localmin.errors import DataError, InputError
from localmin.objective.batches import Batches

CPU = torch.device("cpu")


def pair(num_examples: int) -> tuple[Tensor, Tensor]:
    return torch.arange(float(num_examples))[:, None], torch.arange(num_examples)


def sizes(batches: Batches) -> list[int]:
    return [len(x) for x, _ in batches]


def test_a_pair_is_cut_with_a_ragged_end_and_nothing_is_lost() -> None:
    batches = Batches(pair(10), 4, torch.float32, CPU)
    assert sizes(batches) == [4, 4, 2]
    assert torch.cat([y for _, y in batches]).tolist() == list(range(10))
    assert batches.num_examples == 10
    assert sizes(Batches(pair(2500), None, torch.float32, CPU)) == [1024, 1024, 452]


def test_batches_of_an_iterable_stay_or_are_cut() -> None:
    source = [pair(5), pair(3)]
    assert sizes(Batches(source, None, torch.float32, CPU)) == [5, 3]
    assert sizes(Batches(source, 2, torch.float32, CPU)) == [2, 2, 1, 2, 1]
    assert Batches(source, None, torch.float32, CPU).num_examples is None
    loader = DataLoader(TensorDataset(*pair(7)), batch_size=3)
    batches = Batches(loader, None, torch.float32, CPU)
    assert sizes(batches) == sizes(batches) == [3, 3, 1]


def test_two_batches_in_a_tuple_are_not_taken_for_a_pair() -> None:
    assert sizes(Batches((pair(5), pair(3)), None, torch.float32, CPU)) == [5, 3]


def test_floating_point_is_converted_and_integers_are_kept() -> None:
    x, y = next(iter(Batches(pair(3), None, torch.float64, CPU)))
    assert (x.dtype, y.dtype) == (torch.float64, torch.int64)
    tokens = torch.zeros(3, 5, dtype=torch.int32)
    x, y = next(iter(Batches((tokens, torch.zeros(3)), None, torch.float64, CPU)))
    assert (x.dtype, y.dtype) == (torch.int32, torch.float64)


def one_shot() -> Iterator[tuple[Tensor, Tensor]]:
    yield pair(3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (one_shot(), "gone through only once"),
        (torch.zeros(3, 2), r"pair of tensors \(x, y\) or an iterable of such pairs, got Tensor"),
        (7, "got int"),
        ((torch.zeros(3, 2), [0, 1, 2]), "expected y to be a torch tensor .* got list"),
        ((torch.zeros(3), torch.zeros(2)), "same number of examples, got 3 and 2"),
        ((torch.zeros(0, 2), torch.zeros(0)), "at least one example, got none"),
        ((torch.zeros(3), torch.zeros(3), torch.zeros(3)), "pair of tensors .* got tuple of length 3"),
        ((torch.zeros(()), torch.zeros(3)), "expected x .* got a scalar tensor"),
    ],
)
def test_other_sources_are_refused_at_once(source: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Batches(source, None, torch.float32, CPU)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (torch.zeros(3), r"pair of tensors \(x, y\), got Tensor"),
        ({"x": 1}, "got dict"),
        ((torch.zeros(3),), "got tuple of length 1"),
        ((torch.zeros(3), torch.zeros(4)), "got 3 and 4"),
    ],
)
def test_bad_batches_of_an_iterable_are_refused_when_met(batch: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(Batches([pair(2), batch], None, torch.float32, CPU))  # type: ignore[list-item]


def test_a_batch_size_that_is_not_positive_is_refused() -> None:
    with pytest.raises(InputError, match="expected batch_size >= 1 or None, got 0"):
        Batches(pair(3), 0, torch.float32, CPU)
