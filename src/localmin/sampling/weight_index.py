"""An index over a table of weights that stays where it is: on disk, in another library, in a formula.

The index holds the cumulative weight in front of every block of neighbours, in exact whole numbers. With it,
a point on the axis of all weights is turned into an item by reading one block.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Int64
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from localmin.errors import InputError, RunFolderError, ShapeError
from localmin.sampling.weight_table import lowest_and_sum
from localmin.tasks.storage import write_bytes

__all__ = ["SlicedWeights", "WeightIndex"]

# The whole axis has more than 2^60 units and less than 2^61.
_AXIS_BITS = 61
_STRIDE = 1_024
# Weights read at a time while the index is built, and blocks at a time while points are looked up.
_READ = 262_144
_BLOCKS = 1_024
_SAFE_TOTAL = (1e-280, 1e280)


class SlicedWeights(Protocol):
    """A table of weights that is read slice by slice: an array, a memory map, an HDF5 or Zarr data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> Any:
        """Give the weights of a slice, as anything that NumPy reads."""


@dataclass(frozen=True, eq=False)
class WeightIndex:
    """Cumulative weights in front of every block of ``stride`` neighbours, in units of ``1 / scale``.

    Build one with `WeightIndex.build`, keep it with `save`, take it up again with `load`.

    Args:
        weights: The table, ``(n,)``.
        scale: Units in a weight of 1; a power of two.
        stride: Weights in a block.
        starts: Units in front of each block and, last, in front of the end, int64, ``(blocks + 1,)``.
        digest: Fingerprint of all weights.
    """

    weights: SlicedWeights
    scale: float
    stride: int
    starts: Int64[np.ndarray, " blocks+1"]
    digest: str

    @classmethod
    def build(
        cls,
        weights: SlicedWeights,
        *,
        stride: int = _STRIDE,
        progress: Callable[[float], None] | None = None,
    ) -> WeightIndex:
        """Read the weights twice, in order: once for checks and their sum, once for the index.

        A weight becomes ``rint(scale w)`` units, with the power of two that brings the sum between ``2^60``
        and ``2^61``. All later sums are exact, and the index is the same on every machine.

        Args:
            weights: Drawing weights, ``(n,)``, finite, >= 0, not all zero, in any scale.
            stride: Weights in a block: an index entry of 8 bytes for each, and the least that is read.
            progress: Called with the finished share, from 0 to 1.

        Returns:
            The index.

        Raises:
            InputError: If a weight is negative, infinite or not a number, if all are zero, or if their
                sum does not fit.
            ShapeError: If the table is no one-dimensional, non-empty table of real numbers.

        Cost:
            Two passes over the weights. Memory: 8 bytes a block, and a few MB.

        Example:
            >>> index = WeightIndex.build(np.array([1.0, 0.0, 3.0]))
            >>> index.locate(np.array([0, index.total - 1]))
            array([0, 2])
        """
        if stride < 1:
            raise InputError(f"stride: expected a whole number >= 1, got {stride}")
        num_weights = len(weights)
        if num_weights == 0:
            raise ShapeError("weights: expected at least one, got none; give one weight per example")
        report = progress or (lambda share: None)
        total = 0.0
        for piece in _reads(num_weights, stride):
            total += _checked_sum(_read(weights, piece), piece.start)
            report(0.5 * piece.stop / num_weights)
        if total == 0.0:
            raise InputError(
                f"weights: all {num_weights} are 0, so nothing can be drawn; "
                "give at least one example a weight"
            )
        if not _SAFE_TOTAL[0] < total < _SAFE_TOTAL[1]:
            raise InputError(f"weights: their sum is {total}; multiply them to bring it nearer to 1")
        scale = 2.0 ** (_AXIS_BITS - math.frexp(total)[1])
        starts = np.zeros(-(-num_weights // stride) + 1, dtype=np.int64)
        fingerprint = hashlib.blake2b(digest_size=16)
        for piece in _reads(num_weights, stride):
            units = _units(_read(weights, piece), scale)
            fingerprint.update(_checksum(units))
            first = piece.start // stride
            sums = np.add.reduceat(units, np.arange(0, len(units), stride))
            np.cumsum(sums, out=starts[first + 1 : first + 1 + len(sums)])
            starts[first + 1 : first + 1 + len(sums)] += starts[first]
            report(0.5 + 0.5 * piece.stop / num_weights)
        fingerprint.update(repr((num_weights, scale, int(starts[-1]))).encode())
        return cls(weights, scale, stride, starts, fingerprint.hexdigest())

    def __len__(self) -> int:
        """Count the weights."""
        return len(self.weights)

    @property
    def total(self) -> int:
        """Length of the axis: all weights together, in units."""
        return int(self.starts[-1])

    def locate(self, points: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
        """Find the items in whose stretch of the axis some points lie.

        Args:
            points: Ascending, 0 <= point < `total`, shape ``(m,)``, int64.

        Returns:
            Items, shape ``(m,)``, int64, ascending; none of weight zero.

        Raises:
            InputError: If the weights are no longer those that the index was built from.

        Cost:
            Reads every block that holds a point once. Memory: a few MB beside the result.
        """
        items = np.empty(len(points), dtype=np.int64)
        if len(points) == 0:
            return items
        # Blocks are looked up among the points, not points among the blocks: there are fewer of them.
        low_block, high_block = np.searchsorted(self.starts, points[[0, -1]], side="right") - 1
        bounds = np.searchsorted(points, self.starts[low_block : high_block + 2])
        bounds[0], bounds[-1] = 0, len(points)
        holding = np.flatnonzero(np.diff(bounds))
        needed, bounds = low_block + holding, np.append(bounds[holding], len(points))
        for first in range(0, len(needed), _BLOCKS):
            some = needed[first : first + _BLOCKS]
            ends = self._ends(some)
            low, high = bounds[first], bounds[first + len(some)]
            # side="right" finds the first item that ends behind the point: never one of weight zero.
            found = np.searchsorted(ends.reshape(-1), points[low:high], side="right")
            rows, columns = np.divmod(found, self.stride)
            items[low:high] = some[rows] * self.stride + columns
        return items

    def save(self, path: str | Path) -> None:
        """Keep the index in a file, so that it need not be built again; the weights stay where they are.

        Args:
            path: A ``.safetensors`` file.
        """
        about = {"scale": self.scale.hex(), "stride": str(self.stride), "digest": self.digest}
        metadata = {**about, "num_weights": str(len(self))}
        write_bytes(Path(path), save({"starts": self.starts}, metadata=metadata))

    @classmethod
    def load(cls, path: str | Path, weights: SlicedWeights) -> WeightIndex:
        """Take up a saved index.

        Args:
            path: What `save` wrote.
            weights: The same table. Every block is checked against the index when it is read.

        Returns:
            The index.

        Raises:
            RunFolderError: If the file is no index, or one over another number of weights.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                about, starts = file.metadata() or {}, file.get_tensor("starts")
            scale, stride = float.fromhex(about["scale"]), int(about["stride"])
            digest, num_weights = about["digest"], int(about["num_weights"])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise RunFolderError(f"{path}: no index of weights ({error}); build it anew") from error
        if num_weights != len(weights):
            raise RunFolderError(
                f"{path}: indexes {num_weights} weights, but {len(weights)} were given; build it anew"
            )
        return cls(weights, scale, stride, starts, digest)

    def _ends(self, blocks: Int64[np.ndarray, " k"]) -> Int64[np.ndarray, "k stride"]:
        """Read some blocks and find where the stretch of each item ends."""
        ends = np.zeros((len(blocks), self.stride), dtype=np.int64)
        flat = ends.reshape(-1)
        breaks = np.flatnonzero(np.diff(blocks) != 1) + 1
        for first, stop in zip([0, *breaks], [*breaks, len(blocks)], strict=True):
            begin = int(blocks[first]) * self.stride
            end = min(begin + (stop - first) * self.stride, len(self))
            place = first * self.stride
            flat[place : place + end - begin] = _units(_read(self.weights, slice(begin, end)), self.scale)
        np.cumsum(ends, axis=1, out=ends)
        ends += self.starts[blocks, None]
        changed = np.flatnonzero(ends[:, -1] != self.starts[blocks + 1])
        if len(changed):
            begin = int(blocks[changed[0]]) * self.stride
            raise InputError(
                f"weights: those from {begin} on are no longer what the index was built from; build it anew "
                "and pass it to set_weights, and keep the old weights until the epoch has ended"
            )
        return ends


def _reads(num_weights: int, stride: int) -> Iterator[slice]:
    """Cut the table into slices of whole blocks."""
    length = stride * max(1, _READ // stride)
    return (slice(begin, min(begin + length, num_weights)) for begin in range(0, num_weights, length))


def _read(weights: SlicedWeights, piece: slice) -> np.ndarray:
    """Read a slice as float64."""
    given = weights[piece]
    if isinstance(given, torch.Tensor):
        given = given.detach().to("cpu", torch.float64)
    values = np.asarray(given)
    if values.shape != (piece.stop - piece.start,) or values.dtype.kind not in "biuf":
        raise ShapeError(
            f"weights: expected real numbers of shape (n,), got {values.dtype} of shape {values.shape} for "
            f"items {piece.start} to {piece.stop - 1}"
        )
    return values.astype(np.float64, copy=False)


def _checked_sum(values: np.ndarray, first: int) -> float:
    """Add weights up in an order of our own, and name the first that cannot be used."""
    lowest, total = lowest_and_sum(torch.from_numpy(values if values.flags.writeable else values.copy()))
    if lowest >= 0.0 and math.isfinite(total):
        return total
    bad = np.flatnonzero(~((values >= 0.0) & (values < math.inf)))
    if len(bad) == 0:
        return total
    raise InputError(
        f"weights[{first + int(bad[0])}] is {values[bad[0]]}: expected finite weights >= 0; "
        "give 0 to an example that must never be drawn"
    )


def _units(values: np.ndarray, scale: float) -> Int64[np.ndarray, " m"]:
    """Turn weights into whole numbers of units."""
    return np.rint(values * scale).astype(np.int64)


def _checksum(units: Int64[np.ndarray, " m"]) -> bytes:
    """Fingerprint a slice: a sum with multipliers that differ from place to place, modulo 2^64."""
    multipliers = np.arange(1, len(units) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1)
    products = np.multiply(units.view(np.uint64), multipliers, out=multipliers)
    return int(products.sum(dtype=np.uint64)).to_bytes(8, "little")
