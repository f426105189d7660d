"""What every sampler here has in common: epochs, ranks, versions of the weights, and resumption.

A concrete sampler says which entries stand at which positions of an epoch's global order; everything else
is counting. The cursor of a state counts the global order, so a state belongs to no rank and no world size.
"""

from __future__ import annotations

import copy
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch.utils.data import Sampler

from localmin.errors import InputError, ShapeError
from localmin.sampling.weight_table import WeightsLike, validate_weights

__all__ = ["AbstractEpochSampler", "broadcast_from_rank_zero", "seeded_generator", "whole_number"]

_PROGRESS = ("seed", "epoch", "cursor", "weight_version", "weight_digest", "newest_weight_version")


class DrawTable(Protocol):
    """Weights that passed the checks, in the form that a sampler draws from."""

    def __len__(self) -> int: ...

    @property
    def digest(self) -> str:
        """Fingerprint of the values: a state is not continued with others."""


Entry = TypeVar("Entry", covariant=True)
Table = TypeVar("Table", bound=DrawTable)


class AbstractEpochSampler(Sampler[Entry], ABC, Generic[Entry, Table]):
    """Hand out a global order of entries, epoch after epoch, and know how far training has come.

    An entry is what the sampler yields: an index, or a batch of indices. Subclasses say what an epoch
    holds (`_chunks`), how weights become a table (`_table_of`), and which settings a saved state must
    agree with (`_settings`).

    Args:
        table: Weights of the first epoch.
        num_entries: Entries N of an epoch, over all ranks.
        seed: Whole number >= 0 that must agree on all ranks.
        num_replicas: Number of ranks W; None to ask `torch.distributed` (1 if it is not initialised).
        rank: This rank, below ``num_replicas``; None to ask `torch.distributed`.
        drop_last: Cut the global order to a multiple of ``num_replicas`` instead of filling it up.
    """

    def __init__(
        self,
        table: Table,
        num_entries: int,
        *,
        seed: int,
        num_replicas: int | None,
        rank: int | None,
        drop_last: bool,
    ) -> None:
        self._num_entries = num_entries
        self._seed = whole_number("seed", seed, 0)
        self._num_replicas = None if num_replicas is None else whole_number("num_replicas", num_replicas, 1)
        self._rank = None if rank is None else whole_number("rank", rank, 0)
        self._drop_last = drop_last
        if num_replicas is not None and rank is not None:
            self._find_replica()
        self._newest = _Version(table, 0)
        self._epoch = 0  # of the next iteration
        self._resumption: _Resumption[Table] | None = None
        self._awaited_version: int | None = None
        self._pass: _Pass[Entry, Table] | None = None

    @abstractmethod
    def checkpoint(self, num_consumed: int) -> dict[str, Any]:
        """Give all that `load_state_dict` needs to continue, the weights too where they are in memory.

        Args:
            num_consumed: Entries that training on this rank has consumed since the current iteration began.

        Returns:
            A state, as `state_dict` gives it.
        """

    @abstractmethod
    def _table_of(self, weights: Any) -> Table:
        """Check weights and bring them to the form that is drawn from."""

    @abstractmethod
    def _chunks(self, table: Table, epoch: int, positions: range) -> Iterator[list[Entry]]:
        """Give the entries at these positions of an epoch; positions past its end begin again in front."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """List what a state and the sampler that loads it must have in common."""

    @property
    def epoch(self) -> int:
        """Epoch of the next iteration."""
        return self._epoch

    @property
    def replica(self) -> tuple[int, int]:
        """Number of ranks that the global order is dealt out to, and which of them this one is, now."""
        return self._find_replica()

    @property
    def num_due(self) -> int:
        """Entries of the iteration in progress on this rank; a resumed one has what was left."""
        if self._pass is not None:
            return self._pass.length
        start = 0 if self._resumption is None else self._resumption.cursor
        return self._num_left(start, self._find_replica()[0])

    def __len__(self) -> int:
        """Count the entries of a whole epoch on this rank, also when resuming in the middle of one."""
        return self._num_left(0, self._find_replica()[0])

    def __iter__(self) -> Iterator[Entry]:
        """Begin the next epoch, or continue a resumed one; one that gave nothing yet is begun again."""
        if self._pass is not None and self._pass.num_handed_out == 0:
            # A DataLoader may call iter() twice for one iteration, and read the second result only.
            self._epoch = self._pass.epoch
            self._resumption = _Resumption(self._pass.start, self._pass.weights)
        num_replicas, rank = self._find_replica()
        start = 0 if self._resumption is None else self._resumption.cursor
        weights = self._next_weights()
        length = self._num_left(start, num_replicas)
        positions = range(start + rank, start + rank + length * num_replicas, num_replicas)
        run = self._pass = _Pass(weights, self._epoch, start, num_replicas, length)
        self._epoch, self._resumption = self._epoch + 1, None
        return chain.from_iterable(run.hand_out(self._chunks, positions))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; a resumed epoch is continued if it is this one.

        An iteration of this very epoch that has begun already stays the one that `state_dict` speaks of:
        Lightning begins to iterate before it names the epoch.

        Args:
            epoch: Whole number >= 0.
        """
        epoch = whole_number("epoch", epoch, 0)
        if epoch != self._epoch:
            self._resumption = None
        if self._pass is not None and self._pass.epoch != epoch:
            self._pass = None
        self._epoch = epoch

    def for_ddp(self) -> Self:
        """Make a twin that deals its order out to the ranks itself: for DDP, FSDP and Lightning.

        Returns:
            A copy with the same weights, epoch and place, its ranks taken from `torch.distributed`.
        """
        return self._with_replica(None, None)

    def for_accelerate(self) -> Self:
        """Make a twin that gives every process the global order, for frameworks that deal batches out.

        Accelerate and the Hugging Face Trainer give each process its share of the batches. If the sampler
        dealt as well, each rank would see only a W-th part of its share.

        Returns:
            A copy with the same weights, epoch and place, and one rank.
        """
        return self._with_replica(1, 0)

    def _with_replica(self, num_replicas: int | None, rank: int | None) -> Self:
        """Copy the sampler for other ranks; an iteration in progress stays with the original."""
        twin = copy.copy(self)
        twin._num_replicas, twin._rank, twin._pass = num_replicas, rank, None
        return twin

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
                f"state: lacks {', '.join(missing)}; pass what {type(self).__name__}.state_dict() gave"
            )
        for key, own in self._settings().items():
            if state[key] != own:
                raise InputError(
                    f"state: saved with {key}={state[key]!r}, this sampler has {own!r}; build it as it was"
                )
        version, newest_version = state["weight_version"], state["newest_weight_version"]
        weights = replace(self._newest, version=version)
        if "weights" in state:
            weights = _Version(self._table_of(state["weights"]), version)
        if state["weight_digest"] != weights.table.digest:
            raise InputError(
                f"state: saved with weight version {version}, but this sampler holds other weights; build it "
                "with the weights of that epoch, or save the state with include_weights=True"
            )
        self._newest, self._awaited_version = weights, None
        if "newest_weights" in state:
            self._newest = _Version(self._table_of(state["newest_weights"]), newest_version)
        elif newest_version > version:
            self._awaited_version = newest_version
        begun = state["cursor"] > 0 or newest_version > version
        self._resumption = _Resumption(state["cursor"], weights) if begun else None
        self._seed, self._epoch, self._pass = state["seed"], state["epoch"], None

    def _state(self, num_consumed: int | None) -> tuple[dict[str, Any], _Version[Table]]:
        """Say how far the epoch has come, and with which weights."""
        epoch, cursor, weights = self._place(num_consumed)
        return {
            "seed": self._seed,
            "epoch": epoch,
            "cursor": cursor,
            "weight_version": weights.version,
            "weight_digest": weights.table.digest,
            "newest_weight_version": self._awaited_version or self._newest.version,
            **self._settings(),
        }, weights

    def _exchange(self, table: Table) -> None:
        """Use another table from the next epoch on."""
        if len(table) != len(self._newest.table):
            raise ShapeError(
                f"weights: expected shape ({len(self._newest.table)},) as before, got ({len(table)},); "
                "a sampler keeps its data set, build a new one for another"
            )
        self._newest = _Version(table, self._awaited_version or self._newest.version + 1)
        self._awaited_version = None

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
        if self._drop_last and self._num_entries < num_replicas:
            raise InputError(
                f"num_samples: {self._num_entries} draws leave nothing for {num_replicas} ranks with "
                "drop_last=True; draw more, or use drop_last=False"
            )
        return num_replicas, rank

    def _num_left(self, start: int, num_replicas: int) -> int:
        """Count what each rank gets of the global order from a position on."""
        left = max(0, self._num_entries - start)
        return left // num_replicas if self._drop_last else -(-left // num_replicas)

    def _next_weights(self) -> _Version[Table]:
        """Find the weights of the next iteration."""
        if self._resumption is not None:
            return self._resumption.weights
        if self._awaited_version is not None:
            raise InputError(
                f"epoch {self._epoch} needs weight version {self._awaited_version}, which had been set but "
                "was not in use when the loaded state was saved; call set_weights with it first"
            )
        return self._newest

    def _weights_in_use(self) -> _Version[Table]:
        """Find the weights of the latest iteration, or of the next one if none has begun."""
        if self._pass is not None:
            return self._pass.weights
        return self._newest if self._resumption is None else self._resumption.weights

    def _place(self, num_consumed: int | None) -> tuple[int, int, _Version[Table]]:
        """Find the epoch in progress or, between epochs, the next one; its cursor; its weights."""
        run = self._pass
        num_handed_out = 0 if run is None else run.num_handed_out
        consumed = num_handed_out if num_consumed is None else whole_number("num_consumed", num_consumed, 0)
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
class _Version(Generic[Table]):
    """One version of the weights."""

    table: Table
    version: int


@dataclass(frozen=True, eq=False)
class _Resumption(Generic[Table]):
    """Where a loaded state stands in its epoch."""

    cursor: int
    weights: _Version[Table]


class _Pass(Generic[Entry, Table]):
    """One iteration on one rank: hands entries out and knows how many."""

    def __init__(
        self, weights: _Version[Table], epoch: int, start: int, num_replicas: int, length: int
    ) -> None:
        self.weights, self.epoch, self.start = weights, epoch, start
        self.num_replicas, self.length = num_replicas, length
        self._num_listed = 0
        self._chunk: Iterator[Entry] = iter(())

    @property
    def num_handed_out(self) -> int:
        """Count the entries that were asked for; the current chunk knows what it has left."""
        return self._num_listed - operator.length_hint(self._chunk)

    def hand_out(
        self, draw: Callable[[Table, int, range], Iterator[list[Entry]]], positions: range
    ) -> Iterator[Iterator[Entry]]:
        """Draw when the first entry is asked for, and give the chunks on, one in memory at a time."""
        for chunk in draw(self.weights.table, self.epoch, positions):
            self._chunk = iter(chunk)
            self._num_listed += len(chunk)
            yield self._chunk


def seeded_generator(*key: int) -> torch.Generator:
    """Seed a generator with several whole numbers; neighbouring keys give unrelated generators."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def broadcast_from_rank_zero(weights: WeightsLike | None) -> WeightsLike:
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
    if not isinstance(parcel[0], torch.Tensor):
        raise InputError(parcel[0] or "weights: rank 0 must pass weights, got None")
    return parcel[0]


def whole_number(name: str, value: int, lowest: int) -> int:
    """Refuse anything but a whole number of at least ``lowest``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < lowest:
        raise InputError(f"{name}: expected a whole number >= {lowest}, got {value!r}")
    return int(value)
