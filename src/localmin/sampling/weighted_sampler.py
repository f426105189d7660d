"""A weighted sampler for any PyTorch `DataLoader`: distributed, resumable, with weights that may change.

All ranks derive the same global order from the seed, the epoch and the weights, and rank r of W reads its
positions r, r + W, r + 2W, ... Drawing happens where the sampler is iterated, in the main process, so the
number of workers changes nothing.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import Tensor
from torch.utils.data import Sampler

from localmin.errors import InputError, ShapeError
from localmin.sampling.draws import DRAWS, WeightsLike, WeightTable, require_nonzero, validate_weights

__all__ = ["DrawKind", "WeightedSampler", "class_balanced_weights"]

DrawKind = Literal["systematic", "independent", "distinct"]

# Indices become Python integers this many at a time.
_CHUNK = 8_192
_PROGRESS = ("seed", "epoch", "cursor", "weight_version", "weight_digest", "newest_weight_version")


def class_balanced_weights(labels: Int[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """Weight each example by ``1 / size of its class``, so that every class is drawn equally often.

    Args:
        labels: Class labels, shape ``(n,)``, any integers; only classes that occur count.

    Returns:
        Weights, shape ``(n,)``, float64; they add up to 1 within each class.

    Raises:
        ShapeError: If the labels are not a one-dimensional, non-empty table of integers.

    Cost:
        One sort of the labels.

    Example:
        >>> class_balanced_weights(torch.tensor([0, 7, 7, 7, 7]))
        tensor([1.0000, 0.2500, 0.2500, 0.2500, 0.2500], dtype=torch.float64)
    """
    if labels.ndim != 1 or labels.numel() == 0 or labels.is_floating_point() or labels.is_complex():
        raise ShapeError(
            f"labels: expected integers of shape (n,) with n >= 1, got {labels.dtype} of shape "
            f"{tuple(labels.shape)}; give one class label per example"
        )
    _, class_of, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    weights: Tensor = sizes.double().reciprocal()[class_of]
    return weights


class WeightedSampler(Sampler[int]):
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
        table = WeightTable.of(weights)
        self._draw: DrawKind = draw
        self._num_samples = (
            len(table.values) if num_samples is None else _whole("num_samples", num_samples, 1)
        )
        self._seed = _whole("seed", seed, 0)
        self._num_replicas = None if num_replicas is None else _whole("num_replicas", num_replicas, 1)
        self._rank = None if rank is None else _whole("rank", rank, 0)
        self._drop_last = drop_last
        if draw == "distinct":
            require_nonzero(table.values, self._num_samples)
        if num_replicas is not None and rank is not None:
            self._find_replica()
        self._newest = _Weights(table, 0)
        self._epoch = 0  # of the next iteration
        self._resumption: _Resumption | None = None
        self._awaited_version: int | None = None
        self._pass: _Pass | None = None

    def __len__(self) -> int:
        """Count the indices of a whole epoch on this rank, also when resuming in the middle of one."""
        return self._num_left(0, self._find_replica()[0])

    def __iter__(self) -> Iterator[int]:
        """Begin the next epoch, or continue a resumed one; the global order is drawn here."""
        num_replicas, rank = self._find_replica()
        start = 0 if self._resumption is None else self._resumption.cursor
        weights = self._next_weights()
        length = self._num_left(start, num_replicas)
        positions = range(start + rank, start + rank + length * num_replicas, num_replicas)
        blocks = DRAWS[self._draw](weights.table, self._num_samples, _generator(self._seed, self._epoch))
        self._pass = _Pass(weights, self._epoch, start, num_replicas, length)
        self._epoch, self._resumption = self._epoch + 1, None
        return self._pass.hand_out(_read(blocks, positions, self._num_samples))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; a resumed epoch is continued if it is this one.

        Args:
            epoch: Whole number >= 0.
        """
        epoch = _whole("epoch", epoch, 0)
        if epoch != self._epoch:
            self._resumption = None
        self._epoch, self._pass = epoch, None

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
            weights = _from_rank_zero(weights)
        if weights is None:
            raise InputError(
                "weights: expected a table of weights, got None; only broadcast=True allows that"
            )
        table = WeightTable.of(weights)
        if len(table.values) != len(self._newest.table.values):
            raise ShapeError(
                f"weights: expected shape ({len(self._newest.table.values)},) as before, got "
                f"({len(table.values)},); a sampler keeps its data set, build a new one for another"
            )
        if self._draw == "distinct":
            require_nonzero(table.values, self._num_samples)
        self._newest = _Weights(table, self._awaited_version or self._newest.version + 1)
        self._awaited_version = None

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
        epoch, cursor, weights = self._place(num_consumed)
        state = {
            "seed": self._seed,
            "epoch": epoch,
            "cursor": cursor,
            "weight_version": weights.version,
            "weight_digest": weights.digest,
            "newest_weight_version": self._awaited_version or self._newest.version,
            **self._settings(),
        }
        if include_weights:
            state["weights"] = weights.table.values
            if self._newest.version > weights.version:
                state["newest_weights"] = self._newest.table.values
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was called: the next iteration gives the rest of that epoch.

        Unless the state includes the weights, the sampler must hold those of that epoch: build it with
        them, or call `set_weights` first. Weights that were set during that epoch are to be set again
        afterwards. Number of workers, ranks and ``drop_last`` may differ. The seed is the state's.

        Args:
            state: What `state_dict` gave, on any rank.

        Raises:
            InputError: If the state is of a sampler with other settings or other weights.
        """
        if missing := [key for key in (*_PROGRESS, *self._settings()) if key not in state]:
            raise InputError(
                f"state: lacks {', '.join(missing)}; pass what WeightedSampler.state_dict() gave"
            )
        for key, own in self._settings().items():
            if state[key] != own:
                raise InputError(
                    f"state: saved with {key}={state[key]!r}, this sampler has {own!r}; build it as it was"
                )
        version, newest_version = state["weight_version"], state["newest_weight_version"]
        weights = replace(self._newest, version=version)
        if "weights" in state:
            weights = _Weights(WeightTable.of(state["weights"]), version)
        if state["weight_digest"] != weights.digest:
            raise InputError(
                f"state: saved with weight version {version}, but this sampler holds other weights; build it "
                "with the weights of that epoch, or save the state with include_weights=True"
            )
        self._newest, self._awaited_version = weights, None
        if "newest_weights" in state:
            self._newest = _Weights(WeightTable.of(state["newest_weights"]), newest_version)
        elif newest_version > version:
            self._awaited_version = newest_version
        begun = state["cursor"] > 0 or newest_version > version
        self._resumption = _Resumption(state["cursor"], weights) if begun else None
        self._seed, self._epoch, self._pass = state["seed"], state["epoch"], None

    def _settings(self) -> dict[str, Any]:
        """List what a state and the sampler that loads it must have in common."""
        num_weights = len(self._newest.table.values)
        return {"draw": self._draw, "num_samples": self._num_samples, "num_weights": num_weights}

    def _find_replica(self) -> tuple[int, int]:
        """Find the number of ranks and this one's place, as they are now."""
        num_replicas, rank = self._num_replicas, self._rank
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            num_replicas = torch.distributed.get_world_size() if num_replicas is None else num_replicas
            rank = torch.distributed.get_rank() if rank is None else rank
        num_replicas = 1 if num_replicas is None and rank is None else num_replicas
        rank = 0 if num_replicas == 1 and rank is None else rank
        if num_replicas is None or rank is None:
            raise InputError(
                f"expected num_replicas and rank, got num_replicas={num_replicas} and rank={rank}; "
                "give both, or initialise torch.distributed before iterating"
            )
        if rank >= num_replicas:
            raise InputError(
                f"rank: expected 0 to {num_replicas - 1} for num_replicas={num_replicas}, got {rank}; "
                "ranks are counted from 0"
            )
        if self._drop_last and self._num_samples < num_replicas:
            raise InputError(
                f"num_samples: {self._num_samples} draws leave nothing for {num_replicas} ranks with "
                "drop_last=True; draw more, or use drop_last=False"
            )
        return num_replicas, rank

    def _num_left(self, start: int, num_replicas: int) -> int:
        """Count what each rank gets of the global order from a position on."""
        left = max(0, self._num_samples - start)
        return left // num_replicas if self._drop_last else -(-left // num_replicas)

    def _next_weights(self) -> _Weights:
        """Find the weights of the next iteration."""
        if self._resumption is not None:
            return self._resumption.weights
        if self._awaited_version is not None:
            raise InputError(
                f"epoch {self._epoch} needs weight version {self._awaited_version}, which had been set but "
                "was not in use when the loaded state was saved; call set_weights with it first"
            )
        return self._newest

    def _weights_in_use(self) -> _Weights:
        """Find the weights of the latest iteration, or of the next one if none has begun."""
        if self._pass is not None:
            return self._pass.weights
        return self._newest if self._resumption is None else self._resumption.weights

    def _place(self, num_consumed: int | None) -> tuple[int, int, _Weights]:
        """Find the epoch in progress or, between epochs, the next one; its cursor; its weights."""
        run = self._pass
        num_handed_out = 0 if run is None else run.num_handed_out
        consumed = num_handed_out if num_consumed is None else _whole("num_consumed", num_consumed, 0)
        if consumed > num_handed_out:
            raise InputError(
                f"num_consumed: expected at most {num_handed_out}, handed out since this iteration began, "
                f"got {consumed}; do not count what lay before a resumption"
            )
        if run is not None and consumed < run.length:
            return run.epoch, run.start + consumed * run.num_replicas, run.weights
        if run is not None:
            return run.epoch + 1, 0, self._newest
        if self._resumption is not None:
            return self._epoch, self._resumption.cursor, self._resumption.weights
        return self._epoch, 0, self._newest


@dataclass(frozen=True, eq=False)
class _Weights:
    """One version of the weights."""

    table: WeightTable
    version: int

    @cached_property
    def digest(self) -> str:
        """Fingerprint the values, so that a state is not continued with others."""
        return hashlib.blake2b(self.table.values.numpy().data, digest_size=16).hexdigest()


@dataclass(frozen=True, eq=False)
class _Resumption:
    """Where a loaded state stands in its epoch."""

    cursor: int
    weights: _Weights


class _Pass:
    """One iteration on one rank: hands indices out and knows how many."""

    def __init__(self, weights: _Weights, epoch: int, start: int, num_replicas: int, length: int) -> None:
        self.weights, self.epoch, self.start = weights, epoch, start
        self.num_replicas, self.length = num_replicas, length
        self._num_listed = 0
        self._chunk: Iterator[int] = iter(())

    @property
    def num_handed_out(self) -> int:
        """Count the indices that were asked for; the current chunk knows what it has left."""
        return self._num_listed - operator.length_hint(self._chunk)

    def hand_out(self, parts: Iterator[Tensor]) -> Iterator[int]:
        """Yield the indices of all parts as Python integers, a chunk in memory at a time."""
        return chain.from_iterable(self._chunks(parts))

    def _chunks(self, parts: Iterator[Tensor]) -> Iterator[Iterator[int]]:
        for part in parts:
            for start in range(0, len(part), _CHUNK):
                indices = part[start : start + _CHUNK].tolist()
                self._chunk = iter(indices)
                self._num_listed += len(indices)
                yield self._chunk


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


def _generator(seed: int, epoch: int) -> torch.Generator:
    """Seed a generator for one epoch; neighbouring seeds and epochs give unrelated ones."""
    state = np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def _from_rank_zero(weights: WeightsLike | None) -> WeightsLike:
    """Check rank 0's weights there and give them, or the complaint, to every rank."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        raise InputError("broadcast: torch.distributed is not initialised; use broadcast=False")
    parcel: list[Any] = [None]
    if torch.distributed.get_rank() == 0:
        try:
            parcel = [None if weights is None else validate_weights(weights)]
        except InputError as error:
            parcel = [str(error)]
    torch.distributed.broadcast_object_list(parcel, src=0)
    if not isinstance(parcel[0], Tensor):
        raise InputError(parcel[0] or "weights: rank 0 must pass weights, got None")
    return parcel[0]


def _whole(name: str, value: int, lowest: int) -> int:
    """Refuse anything but a whole number of at least ``lowest``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < lowest:
        raise InputError(f"{name}: expected a whole number >= {lowest}, got {value!r}")
    return int(value)
