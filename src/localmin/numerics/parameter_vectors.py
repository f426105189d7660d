"""Lists of tensors as one flat vector, and back."""

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import ShapeError

__all__ = ["flatten_tensors", "split_vector"]


def flatten_tensors(tensors: Iterable[Tensor]) -> Float[Tensor, " n"]:
    """Concatenate the entries of tensors, each in row-major order, into one vector.

    Args:
        tensors: At least one tensor; all of one dtype and on one device. Any shapes, also empty ones.

    Returns:
        Vector of shape ``(n,)``, ``n`` the total number of entries. Differentiable.

    Raises:
        ShapeError: If there is no tensor.

    Cost:
        One copy.

    Example:
        >>> flatten_tensors([torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([5.0])]).tolist()
        [1.0, 2.0, 3.0, 4.0, 5.0]
    """
    pieces = [tensor.reshape(-1) for tensor in tensors]
    if not pieces:
        raise ShapeError("expected at least one tensor to flatten, got none")
    return torch.cat(pieces)


def split_vector(vector: Float[Tensor, " n"], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Cut a flat vector into tensors of given shapes: the inverse of `flatten_tensors`.

    Args:
        vector: Shape ``(n,)``.
        shapes: Shapes whose sizes add up to ``n``.

    Returns:
        One tensor for each shape; views of ``vector`` where its memory layout allows.

    Raises:
        ShapeError: If ``vector`` is not one-dimensional, or the sizes do not add up.

    Cost:
        No copy of a contiguous vector.

    Example:
        >>> [part.tolist() for part in split_vector(torch.arange(5.0), [(2, 2), (1,)])]
        [[[0.0, 1.0], [2.0, 3.0]], [4.0]]
    """
    sizes = [math.prod(shape) for shape in shapes]
    if vector.ndim != 1 or vector.numel() != sum(sizes):
        raise ShapeError(
            f"expected a vector of shape ({sum(sizes)},), got {tuple(vector.shape)}; "
            "flatten in the same order as the parameters"
        )
    return [part.reshape(shape) for part, shape in zip(torch.split(vector, sizes), shapes, strict=True)]
