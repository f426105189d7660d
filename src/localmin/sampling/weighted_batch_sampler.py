"""Batches with a fixed share of every class, filled within the classes in proportion to weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.sampling.class_quotas import ClassQuotas, whole_shares
from localmin.sampling.draws import DRAWS
from localmin.sampling.epoch_sampler import (
    AbstractEpochSampler,
    broadcast_from_rank_zero,
    seeded_generator,
    whole_number,
)
from localmin.sampling.weight_table import WeightsLike, WeightTable, lowest_and_sum

__all__ = ["ClassShares", "WeightedBatchSampler"]

ClassShares = Literal["balanced", "weights"] | Mapping[int, float]

# Shares are held in whole numbers of this many binary digits.
_SHARE_BITS = 53


@dataclass(frozen=True, eq=False)
class _Classes:
    """Which examples belong to which class."""

    labels: tuple[int, ...]  # in ascending order
    members: tuple[Tensor, ...]
    digest: str

    @classmethod
    def of(cls, labels: Tensor) -> _Classes:
        if labels.ndim != 1 or labels.numel() == 0 or labels.is_floating_point() or labels.is_complex():
            raise ShapeError(
                f"labels: expected integers of shape (n,) with n >= 1, got {labels.dtype} of shape "
                f"{tuple(labels.shape)}; give one class label per example"
            )
        labels = labels.detach().cpu().long()
        names, sizes = torch.unique(labels, return_counts=True)
        members = torch.split(labels.argsort(stable=True), sizes.tolist())
        return cls(tuple(names.tolist()), members, WeightTable.of(labels - labels.min() + 1).digest)


@dataclass(frozen=True, eq=False)
class _BatchTable:
    """Weights with the whole-number share of each class."""

    table: WeightTable
    shares: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def digest(self) -> str:
        return self.table.digest


class WeightedBatchSampler(AbstractEpochSampler[list[int], _BatchTable]):
    """Draw whole batches with a set share of each class, for ``DataLoader(batch_sampler=...)``.

    Class c with share ``q_c`` has ``floor(B q_c)`` or ``ceil(B q_c)`` examples in every batch of B, and
    ``floor(T B q_c)`` or ``ceil(T B q_c)`` in the T batches of an epoch; with more classes than places it
    is the same statement with 0 or 1. Within a class, examples come in proportion to their weights, each as
    often as its share of the class's draws, rounded down or up; weight zero never. Which classes meet in a
    batch is random.

    Epochs, ranks, changing weights and resumption are those of `localmin.WeightedSampler`, counted in
    batches: a rank gets whole batches, and ``num_consumed`` is a number of batches.

    Args:
        weights: Drawing weights, shape ``(n,)``, finite, >= 0; None draws evenly within each class.
        labels: Class of each example, shape ``(n,)``, any integers.
        batch_size: Examples B in every batch of every rank.
        class_shares: ``"balanced"``: all classes with any weight alike; ``"weights"``: each class as much as
            its weights add up to, which keeps the mean of `localmin.WeightedSampler` and takes the noise of
            class counts out of it; or a share for each label, any scale, 0 for labels left out.
        examples_per_class: Draw classes for ``B / examples_per_class`` places and fill each place with this
            many examples of its class, as metric learning wants; the statements above then count places.
        num_batches: Batches T of an epoch, over all ranks; None for ``n // B``, at least 1.
        seed: Whole number >= 0 that must agree on all ranks.
        num_replicas: Number of ranks; None to ask `torch.distributed` (1 if it is not initialised).
        rank: This rank, below ``num_replicas``; None to ask `torch.distributed`.
        drop_last: Cut the batches to a multiple of ``num_replicas`` instead of filling them up.

    Source:
        Derived here; see `localmin.sampling.class_quotas`.

    Cost:
        A batch: some passes over as many numbers as there are classes. A class: a systematic draw when it is
        first needed in an epoch. Memory: 8 bytes a draw and 8 an example.

    Example:
        >>> labels = torch.tensor([0] * 90 + [1] * 10)
        >>> sampler = WeightedBatchSampler(None, labels, batch_size=10)
        >>> [labels[batch].bincount().tolist() for batch in sampler][:3]
        [[5, 5], [5, 5], [5, 5]]
    """

    def __init__(
        self,
        weights: WeightsLike | None,
        labels: Int[Tensor, " n"],
        batch_size: int,
        *,
        class_shares: ClassShares = "balanced",
        examples_per_class: int = 1,
        num_batches: int | None = None,
        seed: int = 0,
        num_replicas: int | None = None,
        rank: int | None = None,
        drop_last: bool = False,
    ) -> None:
        self.batch_size = whole_number("batch_size", batch_size, 1)
        self._per_place = whole_number("examples_per_class", examples_per_class, 1)
        if self.batch_size % self._per_place:
            raise InputError(
                f"batch_size: expected a multiple of examples_per_class={examples_per_class}, "
                f"got {batch_size}"
            )
        self._classes = _Classes.of(torch.as_tensor(labels))
        self._class_shares = class_shares
        num = len(torch.as_tensor(labels))
        table = self._table_of(torch.ones(num, dtype=torch.float64) if weights is None else weights)
        if len(table) != num:
            raise ShapeError(
                f"labels: expected one for each of {len(table)} weights, got {num}; both have shape (n,)"
            )
        given = max(1, num // self.batch_size) if num_batches is None else num_batches
        super().__init__(
            table,
            whole_number("num_batches", given, 1),
            seed=seed,
            num_replicas=num_replicas,
            rank=rank,
            drop_last=drop_last,
        )

    @property
    def classes(self) -> tuple[int, ...]:
        """Labels that occur, in ascending order."""
        return self._classes.labels

    def set_weights(self, weights: WeightsLike | None, *, broadcast: bool = False) -> None:
        """Replace the weights from the next epoch on, as `localmin.WeightedSampler.set_weights` does.

        Args:
            weights: New weights, shape ``(n,)`` with the same n, in any scale.
            broadcast: Take rank 0's weights on all ranks; then every rank must make this call, and all but
                rank 0 may pass None.

        Raises:
            InputError: If the weights cannot be used.
        """
        if broadcast:
            weights = broadcast_from_rank_zero(weights)
        if weights is None:
            raise InputError(
                "weights: expected a table of weights, got None; only broadcast=True allows that"
            )
        self._exchange(self._table_of(weights))

    def state_dict(self, *, num_consumed: int | None = None, include_weights: bool = False) -> dict[str, Any]:
        """Say how far this epoch has come, as `localmin.WeightedSampler.state_dict` does.

        Args:
            num_consumed: Batches that training on this rank has consumed since the current iteration began;
                None takes all that were handed out.
            include_weights: Store the weights too, ``8 n`` bytes.

        Returns:
            Numbers and strings; with the weights, the tensors ``weights`` and, if they are others,
            ``newest_weights``.
        """
        state, weights = self._state(num_consumed)
        if include_weights:
            state["weights"] = weights.table.table.values
            if self._newest.version > weights.version:
                state["newest_weights"] = self._newest.table.table.values
        return state

    def checkpoint(self, num_consumed: int) -> dict[str, Any]:  # noqa: D102 - as in the base class
        return self.state_dict(num_consumed=num_consumed, include_weights=True)

    def _table_of(self, weights: WeightsLike) -> _BatchTable:
        table = WeightTable.of(weights)
        if len(table) != sum(len(members) for members in self._classes.members):
            return _BatchTable(table, ())  # refused by whoever knows the lengths
        masses = [lowest_and_sum(table.values[members])[1] for members in self._classes.members]
        return _BatchTable(table, tuple(_whole_class_shares(self._class_shares, self.classes, masses)))

    def _settings(self) -> dict[str, Any]:
        return {
            "draw": "batches",
            "num_batches": self._num_entries,
            "num_weights": len(self._newest.table),
            "batch_size": self.batch_size,
            "examples_per_class": self._per_place,
            "class_shares": self._class_shares
            if isinstance(self._class_shares, str)
            else [[label, share] for label, share in sorted(self._class_shares.items())],
            "label_digest": self._classes.digest,
        }

    def _chunks(self, table: _BatchTable, epoch: int, positions: range) -> Iterator[list[list[int]]]:
        places = self.batch_size // self._per_place
        draw = _EpochOfBatches(
            table, self._classes, self._num_entries, places, self._per_place, self._seed, epoch
        )
        return draw.read(positions)


class _EpochOfBatches:
    """The batches of one epoch."""

    def __init__(
        self,
        table: _BatchTable,
        classes: _Classes,
        num_batches: int,
        places: int,
        per_place: int,
        seed: int,
        epoch: int,
    ) -> None:
        self.table, self.classes, self.per_place = table, classes, per_place
        self.num_batches = num_batches
        self.key = (seed, epoch)
        totals = whole_shares(table.shares, num_batches * places, seeded_generator(*self.key, 0))
        self.quotas = ClassQuotas(torch.tensor(totals), num_batches, *self.key, 1)
        # The draws of all classes, one class behind the other, each filled in when it is first needed.
        self.bounds = [0, *accumulate(total * per_place for total in totals)]
        self.starts = torch.tensor(self.bounds)
        self.is_drawn = torch.zeros(len(totals), dtype=torch.bool)
        self.drawn = torch.empty(self.bounds[-1], dtype=torch.int64)

    def read(self, positions: range) -> Iterator[list[list[int]]]:
        """Give the batches at ascending positions; those past the end begin again in front."""
        length, position = self.quotas.group_length, positions.start
        while position < positions.stop:
            turn, place = divmod(position, self.num_batches)
            group = place // length
            begin = turn * self.num_batches + group * length
            part = self._group(group)[position - begin : positions.stop - begin : positions.step]
            yield part.tolist()
            position += len(part) * positions.step

    def _group(self, number: int) -> Tensor:
        """Take the next examples of each class that is due, for some neighbouring batches."""
        slots, before = self.quotas.group(number)
        for place in torch.nonzero((slots.sum(0) > 0) & ~self.is_drawn).squeeze(1).tolist():
            self._draw_class(place)
        firsts = self.starts[:-1] + (before + slots.cumsum(0) - slots) * self.per_place
        counts = (slots * self.per_place).flatten()
        # For each example: where its class goes on in this batch, and its place in that stretch.
        shifts = firsts.flatten() - (counts.cumsum(0) - counts)
        places = torch.arange(int(counts.sum())) + shifts.repeat_interleave(counts)
        batches = self.drawn[places].view(len(slots), -1)
        generator = seeded_generator(*self.key, 2, number)
        return batches.gather(1, torch.rand(batches.shape, generator=generator).argsort(dim=1))

    def _draw_class(self, place: int) -> None:
        """Draw all examples that a class gives to this epoch."""
        members = self.classes.members[place]
        table = WeightTable.of(self.table.table.values[members])
        first, stop = self.bounds[place : place + 2]
        for block in DRAWS["systematic"](table, stop - first, seeded_generator(*self.key, 3, place)):
            self.drawn[first : first + len(block)] = members[block]
            first += len(block)
        self.is_drawn[place] = True


def _whole_class_shares(class_shares: ClassShares, labels: tuple[int, ...], masses: list[float]) -> list[int]:
    """Turn the wish for class shares into whole numbers, one for each class."""
    if class_shares == "balanced":
        return [int(mass > 0.0) for mass in masses]
    if class_shares == "weights":
        shares = masses
    elif isinstance(class_shares, Mapping):
        if strangers := [label for label in class_shares if label not in labels]:
            raise InputError(f"class_shares: label {strangers[0]} has no example; leave it out")
        shares = [float(class_shares.get(label, 0.0)) for label in labels]
        for label, share, mass in zip(labels, shares, masses, strict=True):
            if not 0.0 <= share < math.inf:
                raise InputError(f"class_shares[{label}] is {share}: expected a finite number >= 0")
            if share > 0.0 and mass == 0.0:
                raise InputError(
                    f"class_shares: label {label} has share {share}, but all its examples have weight 0"
                )
    else:
        raise InputError(
            f'class_shares: expected "balanced", "weights" or a share for each label, got {class_shares!r}'
        )
    total = math.fsum(shares)
    if total == 0.0:
        raise InputError("class_shares: all are 0, so nothing can be drawn; give at least one class a share")
    return [round(share / total * 2**_SHARE_BITS) for share in shares]
