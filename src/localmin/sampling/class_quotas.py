"""How many examples of each class every batch gets, in whole numbers that are right at every scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from localmin.sampling.epoch_sampler import seeded_generator

__all__ = ["ClassQuotas", "whole_shares"]


def whole_shares(shares: Sequence[int], total: int, generator: torch.Generator) -> list[int]:
    """Share out a whole number in proportion, each part rounded down or up: ``E[part_c] = total q_c``.

    Args:
        shares: Whole numbers >= 0, not all zero; ``q = shares / sum``.
        total: What is shared out, >= 0.
        generator: Source of the roundings.

    Returns:
        Parts that add up to ``total``; a share of zero gets nothing.

    Source:
        Systematic rounding in random order, in exact arithmetic; derived here.

    Example:
        >>> whole_shares([1, 1, 2, 0], 8, torch.Generator())
        [2, 2, 4, 0]
    """
    whole = sum(shares)
    parts, position = [0] * len(shares), int(torch.randint(2**62, (), generator=generator)) * whole >> 62
    for place in torch.randperm(len(shares), generator=generator).tolist():
        end = position + shares[place] * total
        parts[place] = end // whole - position // whole
        position = end
    return parts


class ClassQuotas:
    """Deal the slots of an epoch out to batches, class by class, as evenly as whole numbers allow.

    The epoch is halved again and again, down to single batches; at every cut each class is split in
    proportion, rounded down or up, in a random order of the classes. Hence a class that has ``n_c`` slots
    in T batches gets ``floor(n_c / T)`` or ``ceil(n_c / T)`` of them in every batch, and which classes
    meet in a batch is random. A batch is found by following its halves, without the batches before it.

    Args:
        totals: Slots of each class in the epoch, shape ``(C,)``, int64, >= 0, in all a multiple of
            ``num_batches``.
        num_batches: Number T of batches.
        key: Whole numbers >= 0 that decide everything random.

    Source:
        Derived here.

    Cost:
        About two cuts a batch when batches are asked for in order, ``log2 T`` for one anywhere; a cut works
        on C numbers. Memory: ``log2 T`` tables of C numbers.

    Example:
        >>> quotas = ClassQuotas(torch.tensor([6, 3, 3]), 3, 0)
        >>> [quotas.batch(k)[0].tolist() for k in range(3)]
        [[2, 1, 1], [2, 1, 1], [2, 1, 1]]
    """

    def __init__(self, totals: Int64[Tensor, " c"], num_batches: int, *key: int) -> None:
        self._key = key
        # Parts of the epoch, each the half of the one before: first batch, length, slots in it, slots before.
        self._path = [(0, num_batches, totals, torch.zeros_like(totals))]

    def batch(self, number: int) -> tuple[Int64[Tensor, " c"], Int64[Tensor, " c"]]:
        """Find the slots of one batch.

        Args:
            number: Batch, from 0 to ``num_batches - 1``.

        Returns:
            Slots of each class in this batch, and in all batches before it; shapes ``(C,)``, int64.
        """
        while not self._path[-1][0] <= number < self._path[-1][0] + self._path[-1][1]:
            self._path.pop()
        while self._path[-1][1] > 1:
            first, length, slots, before = self._path[-1]
            half = length // 2
            left = self._split(slots, half, first, length)
            if number < first + half:
                self._path.append((first, half, left, before))
            else:
                self._path.append((first + half, length - half, slots - left, before + left))
        return self._path[-1][2], self._path[-1][3]

    def _split(self, slots: Tensor, half: int, first: int, length: int) -> Tensor:
        """Give the first ``half`` of ``length`` batches their part of the slots."""
        generator = seeded_generator(*self._key, first, length)
        left = torch.div(slots * half, length, rounding_mode="floor")
        fractions = slots * half - left * length
        order = torch.randperm(len(slots), generator=generator)
        # Fractions add up to a multiple of `length`, so the parts add up exactly.
        ends = fractions[order].cumsum(0) + torch.randint(length, (), generator=generator)
        ends = torch.div(ends, length, rounding_mode="floor")
        left[order] += torch.diff(ends, prepend=torch.zeros(1, dtype=ends.dtype))
        return left
