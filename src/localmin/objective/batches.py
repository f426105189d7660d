"""Data as pairs of tensors that can be gone through again and again, a limited number of rows at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from localmin.errors import DataError, InputError

__all__ = ["Batch", "Batches"]

Batch = tuple[Tensor, Tensor]

_DEFAULT_BATCH_SIZE = 1024


@dataclass(frozen=True, eq=False)
class Batches:
    """Iterate over ``(x, y)`` as often as wanted, converted to one dtype and device.

    Args:
        source: Pair of tensors with examples along the first axis, or an iterable of such pairs that starts
            afresh each time, such as a list or a DataLoader.
        batch_size: Largest number of examples in a batch; larger batches of the source are cut. None: batches
            of an iterable stay as they are, and a pair of tensors is cut into batches of 1024.
        dtype: Dtype for floating-point ``x`` and ``y``; integers stay integers.
        device: Device of every batch.

    Raises:
        DataError: If ``source`` is something else, or can be gone through only once.
        InputError: If ``batch_size`` is not positive.
    """

    source: Batch | Iterable[Batch]
    batch_size: int | None
    dtype: torch.dtype
    device: torch.device

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"expected batch_size >= 1 or None, got {self.batch_size}")
        if self._is_pair:
            _check_batch(self.source)
        elif not isinstance(self.source, Iterable) or isinstance(self.source, Tensor):
            raise DataError(
                "expected data as a pair of tensors (x, y) or an iterable of such pairs, "
                f"got {type(self.source).__name__}"
            )
        elif isinstance(self.source, Iterator):
            raise DataError(
                "the data can be gone through only once, but every evaluation needs all of it; "
                "give a list of batches or a DataLoader instead of an iterator"
            )

    @property
    def num_examples(self) -> int | None:
        """Number of examples of a pair of tensors; None for an iterable, which must be gone through."""
        return len(_check_batch(self.source)[0]) if self._is_pair else None

    def __iter__(self) -> Iterator[Batch]:
        for batch in [self.source] if self._is_pair else self.source:
            x, y = _check_batch(batch)
            step = self.batch_size or (_DEFAULT_BATCH_SIZE if self._is_pair else len(x))
            for first in range(0, len(x), step):
                yield self._convert(x[first : first + step]), self._convert(y[first : first + step])

    @property
    def _is_pair(self) -> bool:
        # A list of two batches starts with a pair, not with a tensor.
        source = self.source
        return isinstance(source, (tuple, list)) and len(source) > 0 and isinstance(source[0], Tensor)

    def _convert(self, tensor: Tensor) -> Tensor:
        dtype = self.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(device=self.device, dtype=dtype)


def _check_batch(batch: object) -> Batch:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        size = f" of length {len(batch)}" if isinstance(batch, (tuple, list)) else ""
        raise DataError(f"expected a batch to be a pair of tensors (x, y), got {type(batch).__name__}{size}")
    x, y = batch
    for name, part in (("x", x), ("y", y)):
        if not isinstance(part, Tensor) or part.ndim == 0:
            came = "a scalar tensor" if isinstance(part, Tensor) else type(part).__name__
            raise DataError(f"expected {name} to be a torch tensor with examples along axis 0, got {came}")
    if len(x) != len(y):
        raise DataError(f"expected x and y to have the same number of examples, got {len(x)} and {len(y)}")
    if len(x) == 0:
        raise DataError("expected at least one example, got none")
    return x, y
