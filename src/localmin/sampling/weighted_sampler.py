"""A weighted sampler for any PyTorch `DataLoader`: distributed, resumable, with weights that may change.

All ranks derive the same global order from the seed, the epoch and the weights, and rank r of W reads its
positions r, r + W, r + 2W, ... Drawing happens where the sampler is iterated, in the main process, so the
number of workers changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from localmin.errors import InputError
from localmin.sampling.draws import DRAWS
from localmin.sampling.epoch_sampler import (
    AbstractEpochSampler,
    broadcast_from_rank_zero,
    seeded_generator,
    whole_number,
)
from localmin.sampling.weight_table import WeightsLike, WeightTable, require_nonzero

__all__ = ["DrawKind", "WeightedSampler", "as_index_lists"]

DrawKind = Literal["systematic", "independent", "distinct"]

# Indices become Python integers this many at a time.
_CHUNK = 8_192


class WeightedSampler(AbstractEpochSampler[int, WeightTable]):
    """Draw indices in proportion to weights, for a `DataLoader` on one machine or many.

    With the default draw, ``"systematic"``, item i comes ``floor(N p_i)`` or ``ceil(N p_i)`` times in an
    epoch of N draws, and equal weights give the ordinary shuffled epoch. The three draws are described in
    `localmin.sampling.draws`.

    *Epochs.* The first iteration is epoch 0; each further one moves on by itself. `set_epoch` chooses the
    epoch of the next iteration, as with `torch.utils.data.DistributedSampler`, and need not be called.

    *Ranks.* ``num_replicas`` and ``rank`` are taken from `torch.distributed` when an iteration begins,
    unless they are given. All ranks get equally many indices: the global order is filled up with its
    first entries (at most ``num_replicas - 1``), or cut with ``drop_last=True``. All ranks must hold the
    same weights: see ``broadcast`` in `set_weights`.

    *Resuming.* `state_dict` says how far training has come, and `load_state_dict` continues there with
    the identical rest. A `DataLoader` with workers asks for indices ahead of training, so tell
    `state_dict` what training has consumed. The state is the same on all ranks that consumed the same
    number, and may be loaded with another number of workers or of ranks.

    Args:
        weights: Drawing weights, shape ``(n,)``, finite, >= 0, not all zero, in any scale. A float64 tensor
            on the CPU is kept, not copied: do not change it in place, use `set_weights`.
        num_samples: Draws N in an epoch, over all ranks; None for n.
        draw: ``"systematic"``, ``"independent"`` (with replacement) or ``"distinct"`` (without).
        seed: Whole number >= 0 that must agree on all ranks.
        num_replicas: Number of ranks W; None to ask `torch.distributed` (1 if it is not initialised).
        rank: This rank, below ``num_replicas``; None to ask `torch.distributed`.
        drop_last: Cut the global order to a multiple of ``num_replicas`` instead of filling it up.

    Cost:
        An epoch begins with two passes over the weights and one over the draws. Memory: 4 bytes a draw
        while the epoch lasts (``"independent"`` and ``"distinct"``: more while it begins).

    Example:
        >>> sampler = WeightedSampler([1.0, 0.0, 3.0, 0.0], seed=0)
        >>> sorted(sampler)
        [0, 2, 2, 2]
        >>> len(sampler)
        4
    """

    def __init__(
        self,
        weights: WeightsLike,
        num_samples: int | None = None,
        *,
        draw: DrawKind = "systematic",
        seed: int = 0,
        num_replicas: int | None = None,
        rank: int | None = None,
        drop_last: bool = False,
    ) -> None:
        if draw not in DRAWS:
            raise InputError(f"draw: expected one of {', '.join(DRAWS)}, got {draw!r}")
        self._draw: DrawKind = draw
        self._num_samples = None if num_samples is None else whole_number("num_samples", num_samples, 1)
        table = self._table_of(weights)
        super().__init__(
            table,
            self._num_samples or len(table),
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            drop_last=drop_last,
        )

    def set_weights(self, weights: WeightsLike | None, *, broadcast: bool = False) -> None:
        """Replace the weights from the next epoch on.

        An epoch in progress, also a resumed one, keeps the weights it began with: a `DataLoader` has
        already asked for indices that training has not seen.

        Args:
            weights: New weights, shape ``(n,)`` with the same n, in any scale. A float64 tensor on the
                CPU is kept, not copied.
            broadcast: Take rank 0's weights on all ranks of `torch.distributed`; then every rank must make
                this call, and all but rank 0 may pass None. Without it, every rank must pass the same
                weights, to the last bit.

        Raises:
            InputError: If the weights cannot be used; with ``broadcast`` on all ranks alike.
            ShapeError: If their number is another.
        """
        if broadcast:
            weights = broadcast_from_rank_zero(weights)
        if weights is None:
            raise InputError(
                "weights: expected a table of weights, got None; only broadcast=True allows that"
            )
        self._exchange(self._table_of(weights))

    def correction(self, indices: Int[Tensor, " *batch"]) -> Float64[Tensor, " *batch"]:
        """Compute the importance weights ``1 / (n p_i)`` of drawn items.

        The mean of ``correction(indices) * loss`` over the draws estimates ``(1/n) sum loss_i`` over the
        items of non-zero weight without bias: the weights then change how noisy the gradient is, not
        where it points.

        Args:
            indices: Drawn indices of the epoch in progress, any shape.

        Returns:
            Factors, shape as ``indices``, float64, on the device of ``indices``.

        Raises:
            InputError: If an index has weight zero and so cannot have been drawn, or if the draw is
                ``"distinct"``, whose inclusion probabilities are not proportional to the weights.
        """
        if self._draw == "distinct":
            raise InputError(
                'correction: draw "distinct" does not draw in proportion to the weights; '
                'use "systematic" or "independent"'
            )
        table = self._weights_in_use().table
        weights = table.values[indices.cpu()]
        if not bool((weights > 0.0).all()):
            raise InputError(
                "correction: an index has weight 0 in this epoch, so this sampler did not draw it; "
                "pass the indices that the sampler gave"
            )
        return (table.total / len(table.values) / weights).to(indices.device)

    def state_dict(self, *, num_consumed: int | None = None, include_weights: bool = False) -> dict[str, Any]:
        """Say how far this epoch has come.

        Args:
            num_consumed: Indices that training on this rank has consumed since the current iteration
                began; what lay before a resumption does not count. None takes all that were handed out:
                right without a `DataLoader` or after its last batch, too far in between, because a
                `DataLoader` with workers asks ahead.
            include_weights: Store the weights too, ``8 n`` bytes. Otherwise `load_state_dict` wants a
                sampler that holds them already, and checks that it does.

        Returns:
            Numbers and strings: ``seed``, ``epoch``, ``cursor`` (consumed indices of the global order, all
            ranks together), ``weight_version`` and ``weight_digest`` of the epoch,
            ``newest_weight_version`` (larger if `set_weights` was called during the epoch), and the
            settings that must agree; with the weights, the tensors ``weights`` and, if they are others,
            ``newest_weights``. An epoch that is used up is stored as the beginning of the next.

        Cost:
            One hash of the weights for each version of them.
        """
        state, weights = self._state(num_consumed)
        if include_weights:
            state["weights"] = weights.table.values
            if self._newest.version > weights.version:
                state["newest_weights"] = self._newest.table.values
        return state

    def checkpoint(self, num_consumed: int) -> dict[str, Any]:  # noqa: D102 - as in the base class
        return self.state_dict(num_consumed=num_consumed, include_weights=True)

    def _table_of(self, weights: WeightsLike) -> WeightTable:
        table = WeightTable.of(weights)
        if self._draw == "distinct":
            require_nonzero(table.values, self._num_samples or len(table))
        return table

    def _settings(self) -> dict[str, Any]:
        return {"draw": self._draw, "num_samples": self._num_entries, "num_weights": len(self._newest.table)}

    def _chunks(self, table: WeightTable, epoch: int, positions: range) -> Iterator[list[int]]:
        blocks = DRAWS[self._draw](table, self._num_entries, seeded_generator(self._seed, epoch))
        return as_index_lists(_read(blocks, positions, self._num_entries))


def as_index_lists(parts: Iterator[Tensor]) -> Iterator[list[int]]:
    """Turn tensors of indices into lists of Python integers, none longer than a few thousand."""
    for part in parts:
        for start in range(0, len(part), _CHUNK):
            yield part[start : start + _CHUNK].tolist()


def _read(blocks: Iterator[Tensor], positions: range, num_samples: int) -> Iterator[Tensor]:
    """Read positions of the global order, which comes in blocks; those past its end begin again in front."""
    opening: list[Tensor] = []
    begin, position = 0, positions.start
    for block in blocks:
        if begin < positions.step:
            opening.append(block[: positions.step - begin].clone())
        end = min(begin + len(block), positions.stop)
        if position < end:
            part = block[position - begin : end - begin : positions.step]
            yield part
            position += len(part) * positions.step
        begin += len(block)
        if position >= positions.stop:
            return
    past_the_end = [position % num_samples for position in range(position, positions.stop, positions.step)]
    yield torch.cat(opening)[past_the_end]
