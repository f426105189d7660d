import pytest
import torch

from localmin.errors import ShapeError
from localmin.numerics import flatten_tensors, split_vector


def test_splitting_inverts_flattening_for_every_shape() -> None:
    tensors = [torch.randn(2, 3), torch.randn(()), torch.randn(0, 4), torch.randn(5)]
    vector = flatten_tensors(tensors)
    assert vector.shape == (12,)
    parts = split_vector(vector, [tuple(tensor.shape) for tensor in tensors])
    assert all(torch.equal(part, tensor) for part, tensor in zip(parts, tensors, strict=True))


def test_non_contiguous_tensors_are_read_row_by_row() -> None:
    assert flatten_tensors([torch.tensor([[1.0, 2.0], [3.0, 4.0]]).T]).tolist() == [1.0, 3.0, 2.0, 4.0]


def test_parts_are_views() -> None:
    vector = torch.zeros(4)
    split_vector(vector, [(2,), (2,)])[1].fill_(7.0)
    assert vector.tolist() == [0.0, 0.0, 7.0, 7.0]


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected a vector of shape \(3,\), got \(4,\)"):
        split_vector(torch.zeros(4), [(3,)])
    with pytest.raises(ShapeError, match=r"got \(3, 1\)"):
        split_vector(torch.zeros(3, 1), [(3,)])
    with pytest.raises(ShapeError, match="at least one tensor"):
        flatten_tensors([])
