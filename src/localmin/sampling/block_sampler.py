"""A weighted sampler whose weights and order do not fit into memory: 10^8 items and more.

The weights lie side by side on an axis, and the N draws of an epoch are N equidistant points on it, as in
`localmin.sampling.draws.systematic_draw`. What differs is the order. A *run* is a few thousand neighbouring
draws; a *block* is a few hundred runs from random places, shuffled together. Which runs meet in which block
is decided by a keyed permutation, so that any block, and any position, is found without the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from localmin.errors import InputError
from localmin.sampling.epoch_sampler import AbstractEpochSampler, seeded_generator, whole_number
from localmin.sampling.keyed_permutation import KeyedPermutation
from localmin.sampling.weight_index import SlicedWeights, WeightIndex
from localmin.sampling.weighted_sampler import as_index_lists

__all__ = ["BlockSampler"]


class BlockSampler(AbstractEpochSampler[int, WeightIndex]):
    """Draw indices in proportion to weights that stay on disk, in the memory of one block.

    Counts are those of the systematic draw: item i comes ``floor(N p_i)`` or ``ceil(N p_i)`` times in an
    epoch of N draws, and weight zero never. Epochs, ranks, changing weights and resumption work as with
    `localmin.WeightedSampler`. The order is coarser: the ``run_length`` draws of a run are neighbours in
    the data and come in the same block. Two draws of a block are of one run with a probability of
    ``run_length / block_length`` (1/256); blocks and runs are other ones in every epoch. Up to
    ``block_length`` draws an epoch is one block, and its order uniformly random.

    Reading follows the same pattern: a block reads its weights, and a data set its examples, in runs of
    neighbours. Shorter runs mix better and read in smaller pieces.

    Args:
        weights: Drawing weights, ``(n,)``, finite, >= 0, not all zero: anything that gives slices, such as
            ``np.load(path, mmap_mode="r")``, an HDF5 or Zarr data set, a tensor; or a `WeightIndex`, which
            spares building one. They are read again in every epoch and must not change in place.
        num_samples: Draws N in an epoch, over all ranks; None for n.
        seed: Whole number >= 0 that must agree on all ranks.
        num_replicas: Number of ranks W; None to ask `torch.distributed` (1 if it is not initialised).
        rank: This rank, below ``num_replicas``; None to ask `torch.distributed`.
        drop_last: Cut the global order to a multiple of ``num_replicas`` instead of filling it up.
        run_length: Neighbouring draws that stay together in a block.
        block_length: Draws in memory and shuffled together, a multiple of ``run_length``.

    Source:
        Derived here from systematic sampling and a keyed permutation.

    Cost:
        Building: `WeightIndex.build`, two passes over the weights. An epoch: one more pass in all. Memory: 8
        bytes for every 1,024 weights and about 40 for every draw of a block. A first index, a resumption:
        one block.

    Example:
        >>> sampler = BlockSampler(np.array([1.0, 0.0, 3.0, 0.0]), seed=0)
        >>> sorted(sampler)
        [0, 2, 2, 2]
    """

    def __init__(
        self,
        weights: SlicedWeights | WeightIndex,
        num_samples: int | None = None,
        *,
        seed: int = 0,
        num_replicas: int | None = None,
        rank: int | None = None,
        drop_last: bool = False,
        run_length: int = 4_096,
        block_length: int = 1_048_576,
    ) -> None:
        self._run_length = whole_number("run_length", run_length, 1)
        self._block_length = whole_number("block_length", block_length, 1)
        if self._block_length % self._run_length:
            raise InputError(
                f"block_length: expected a multiple of run_length={run_length}, got {block_length}; "
                "a block holds whole runs"
            )
        index = self._table_of(weights)
        super().__init__(
            index,
            len(index) if num_samples is None else whole_number("num_samples", num_samples, 1),
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            drop_last=drop_last,
        )

    @property
    def index(self) -> WeightIndex:
        """Index over the newest weights; save it to spare building it again."""
        return self._newest.table

    def set_weights(self, weights: SlicedWeights | WeightIndex) -> None:
        """Replace the weights from the next epoch on; one in progress still reads the old ones.

        Args:
            weights: New weights, ``(n,)`` with the same n, or an index over them. Every rank must pass the
                same.
        """
        self._exchange(self._table_of(weights))

    def state_dict(self, *, num_consumed: int | None = None) -> dict[str, Any]:
        """Say how far this epoch has come.

        Args:
            num_consumed: Indices that training on this rank has consumed since the current iteration
                began; None takes all that were handed out. See `localmin.WeightedSampler.state_dict`.

        Returns:
            Numbers and strings; the weights are not among them, only their fingerprint.
        """
        return self._state(num_consumed)[0]

    def checkpoint(self, num_consumed: int) -> dict[str, Any]:  # noqa: D102 - as in the base class
        return self.state_dict(num_consumed=num_consumed)

    def at(self, epoch: int, positions: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
        """Find the indices at any positions of an epoch's global order, under the newest weights.

        Args:
            epoch: Whole number >= 0.
            positions: Whole numbers from 0 to ``num_samples - 1``, shape ``(m,)``, any order.

        Returns:
            Indices, shape ``(m,)``, int64.

        Raises:
            InputError: If a position lies outside the epoch.

        Cost:
            One block for each block that holds a position.

        Example:
            >>> sampler = BlockSampler(np.ones(9))
            >>> order = list(sampler)
            >>> sampler.at(0, np.array([8, 2])).tolist() == [order[8], order[2]]
            True
        """
        positions = np.asarray(positions, dtype=np.int64)
        if len(positions) and not 0 <= positions.min() <= positions.max() < self._num_entries:
            raise InputError(f"positions: expected 0 to {self._num_entries - 1}, got some outside")
        order = self._order(self._newest.table, epoch)
        found = np.empty(len(positions), dtype=np.int64)
        blocks = positions // self._block_length
        for block in np.unique(blocks).tolist():
            inside = blocks == block
            found[inside] = order.block(block).numpy()[positions[inside] - block * self._block_length]
        return found

    def _table_of(self, weights: SlicedWeights | WeightIndex) -> WeightIndex:
        return weights if isinstance(weights, WeightIndex) else WeightIndex.build(weights)

    def _settings(self) -> dict[str, Any]:
        return {
            "draw": "block",
            "num_samples": self._num_entries,
            "num_weights": len(self._newest.table),
            "run_length": self._run_length,
            "block_length": self._block_length,
        }

    def _order(self, index: WeightIndex, epoch: int) -> _BlockOrder:
        key = (self._seed, epoch)
        return _BlockOrder(index, self._num_entries, key, self._run_length, self._block_length)

    def _chunks(self, table: WeightIndex, epoch: int, positions: range) -> Iterator[list[int]]:
        return as_index_lists(self._order(table, epoch).read(positions))


class _BlockOrder:
    """The global order of one epoch, found block by block."""

    def __init__(
        self, index: WeightIndex, num_draws: int, key: tuple[int, int], run_length: int, block_length: int
    ) -> None:
        self.index, self.num_draws, self.key = index, num_draws, key
        self.run_length, self.block_length = run_length, block_length
        # A few draws may be left over behind the last whole run. They close the last block. The random
        # phase lets the cuts between runs, and what is left over, fall elsewhere in every epoch.
        self.num_runs = num_draws // run_length
        words = [int(word) for word in np.random.SeedSequence((*key, 0)).generate_state(4, np.uint64)]
        self.offset = (words[0] << 64 | words[1]) % index.total
        self.phase = (words[2] << 64 | words[3]) % num_draws
        self.runs = KeyedPermutation(max(1, self.num_runs), *key, 1)

    def read(self, positions: range) -> Iterator[Tensor]:
        """Give the items at ascending positions; those past the end begin again in front."""
        position = positions.start
        while position < positions.stop:
            turn, place = divmod(position, self.num_draws)
            block = place // self.block_length
            begin = turn * self.num_draws + block * self.block_length
            items = self.block(block)
            part = items[position - begin : positions.stop - begin : positions.step]
            yield part
            position += len(part) * positions.step

    def block(self, number: int) -> Tensor:
        """Draw one block."""
        per_block = self.block_length // self.run_length
        first, stop = number * per_block, min((number + 1) * per_block, self.num_runs)
        runs = np.sort(self.runs(np.arange(first, stop))) if stop > first else np.empty(0, dtype=np.int64)
        parts = [part for run in runs for part in self._run(int(run) * self.run_length, self.run_length)]
        if stop == self.num_runs and stop < first + per_block:
            num_whole = self.num_runs * self.run_length
            parts += self._run(num_whole, self.num_draws - num_whole)
        items = torch.from_numpy(np.concatenate(parts))
        generator = seeded_generator(*self.key, 2, number)
        return items.index_select(0, torch.randperm(len(items), generator=generator))

    def _run(self, first: int, count: int) -> Iterator[np.ndarray]:
        """Draw some neighbours; behind the end of the axis they go on in front."""
        begin = (first + self.phase) % self.num_draws
        unwrapped = min(count, self.num_draws - begin)
        yield self.index.locate(self._points(begin, unwrapped))
        yield self.index.locate(self._points(0, count - unwrapped))

    def _points(self, first: int, count: int) -> np.ndarray:
        """Place neighbouring draws on the axis: draw j at ``floor((j total + offset) / N)``."""
        # first * remainder does not fit into 64 bits, its share of N and what is left over do.
        spacing, remainder = divmod(self.index.total, self.num_draws)
        whole, part = divmod(first * remainder + self.offset, self.num_draws)
        steps = np.arange(count, dtype=np.int64)
        return first * spacing + whole + steps * spacing + (part + steps * remainder) // self.num_draws
