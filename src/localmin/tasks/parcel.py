"""Objects on their way to another process: tensors apart, so that they travel and are held once.

A parcel is read by a process that this one started, or that belongs to the same cluster; it is never a file
that a stranger could have written.
"""

from __future__ import annotations

import io
import pickle
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
import torch
from torch import Tensor

from localmin.errors import InputError
from localmin.tasks.factories import user_modules
from localmin.tasks.storage import naming_write_errors

__all__ = ["Parcel", "map_tensors", "pack", "unpack", "write_tensors"]

_SMALL = 4_096
_ALIGNMENT = 64

Layout = tuple[tuple[int, str, tuple[int, ...]], ...]


@dataclass(frozen=True, eq=False)
class Parcel:
    """An object taken apart.

    Args:
        payload: Everything but large tensors.
        tensors: The large tensors, on the CPU.
    """

    payload: bytes
    tensors: tuple[Tensor, ...]


def pack(content: Any) -> Parcel:
    """Take an object apart; functions and classes of ``__main__`` and of a user's file travel along.

    Args:
        content: A task, a plan.

    Returns:
        The parcel.

    Raises:
        InputError: If part of it cannot leave this process, such as an open file.
    """
    buffer = io.BytesIO()
    packer = _Packer(buffer)
    try:
        with _by_value(user_modules()):
            packer.dump(content)
    except Exception as error:
        raise InputError(
            f"this {type(content).__name__.lower()} cannot be sent to another process "
            f"({type(error).__name__}: {error}); keep open files, locks and connections out of its model, "
            "loss and augmentation, or search without workers"
        ) from error
    return Parcel(buffer.getvalue(), tuple(packer.tensors))


def unpack(payload: bytes, tensors: Sequence[Tensor]) -> Any:
    """Put an object together again; its large tensors are those given, not copies."""
    return _Unpacker(io.BytesIO(payload), tensors).load()


def write_tensors(tensors: Sequence[Tensor]) -> tuple[IO[bytes], Layout]:
    """Write tensors to a file without a name, which is gone when all who hold it have closed it.

    Args:
        tensors: On the CPU.

    Returns:
        The file, and where each tensor is: offset, dtype, shape.
    """
    layout = []
    with naming_write_errors(Path(tempfile.gettempdir())):
        stream = tempfile.TemporaryFile()  # noqa: SIM115 (it outlives this function)
        for tensor in tensors:
            stream.write(b"\0" * (-stream.tell() % _ALIGNMENT))
            layout.append((stream.tell(), str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)))
            stream.write(as_bytes(tensor).data)
        # An empty file cannot be mapped.
        stream.write(b"\0")
        stream.flush()
    return stream, tuple(layout)


def map_tensors(path: str, layout: Layout) -> list[Tensor]:
    """Map the tensors of `write_tensors`: processes that do so share the memory until one writes to it."""
    content = np.memmap(path, dtype=np.uint8, mode="c")
    return [from_bytes(content[offset:], dtype, shape) for offset, dtype, shape in layout]


def as_bytes(tensor: Tensor) -> np.ndarray:
    """View a tensor on the CPU as bytes, whatever its dtype."""
    flat: np.ndarray = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return flat


def from_bytes(content: np.ndarray, dtype: str, shape: tuple[int, ...]) -> Tensor:
    """View the first bytes as a tensor of this dtype and shape."""
    kind: torch.dtype = getattr(torch, dtype)
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    tensor: Tensor = torch.from_numpy(content[:size]).view(kind).reshape(shape)
    return tensor


class _Packer(cloudpickle.Pickler):  # type: ignore[misc]
    """Leave large plain tensors out and remember them."""

    def __init__(self, buffer: io.BytesIO) -> None:
        super().__init__(buffer)
        self.tensors: list[Tensor] = []
        self._places: dict[int, int] = {}

    def persistent_id(self, value: Any) -> int | None:
        if type(value) is not Tensor or value.device.type != "cpu" or value.layout != torch.strided:
            return None
        if value.requires_grad or value.is_quantized:
            return None
        # Pickle takes the whole storage along, for a small view of it too.
        if value.untyped_storage().nbytes() < _SMALL:
            return None
        if id(value) not in self._places:
            # The list keeps the tensor, so its id stays its own.
            self._places[id(value)] = len(self.tensors)
            self.tensors.append(value)
        return self._places[id(value)]


class _Unpacker(pickle.Unpickler):
    """Put the tensors back."""

    def __init__(self, buffer: io.BytesIO, tensors: Sequence[Tensor]) -> None:
        super().__init__(buffer)
        self._tensors = tensors

    def persistent_load(self, place: Any) -> Tensor:
        tensor: Tensor = self._tensors[place]
        return tensor


@contextmanager
def _by_value(modules: Sequence[Any]) -> Iterator[None]:
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
