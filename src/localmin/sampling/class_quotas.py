"""How many examples of each class every batch gets, in whole numbers that are right at every scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from localmin.sampling.epoch_sampler import seeded_generator

__all__ = ["ClassQuotas", "whole_shares"]

# Batches that are worked out together, and numbers (batches times classes) that this may take.
_LONGEST_GROUP = 64
_GROUP_NUMBERS = 65_536


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
    meet in a batch is random. Batches come in groups of neighbours, worked out together; a group is found
    by following its halves, without the groups before it.

    Args:
        totals: Slots of each class in the epoch, shape ``(C,)``, int64, >= 0, in all a multiple of
            ``num_batches``.
        num_batches: Number T of batches.
        key: Whole numbers >= 0 that decide everything random.

    Source:
        Derived here.

    Cost:
        About two cuts a batch when groups are asked for in order; a cut works on C numbers. Memory: about
        65,000 numbers, more if C is larger.

    Example:
        >>> quotas = ClassQuotas(torch.tensor([6, 3, 3]), 3, 0)
        >>> quotas.group(0)[0]
        tensor([[2, 1, 1],
                [2, 1, 1],
                [2, 1, 1]])
    """

    def __init__(self, totals: Int64[Tensor, " c"], num_batches: int, *key: int) -> None:
        self.group_length = max(1, min(_LONGEST_GROUP, _GROUP_NUMBERS // len(totals)))
        self._key = key
        # Parts of the epoch, each a piece of the one before: first batch, length, slots in it, slots before.
        self._path = [(0, num_batches, totals, torch.zeros_like(totals))]

    def group(self, number: int) -> tuple[Int64[Tensor, "g c"], Int64[Tensor, " c"]]:
        """Find the slots of the batches from ``number * group_length`` on, up to the next group.

        Args:
            number: Group, from 0.

        Returns:
            Slots of each class in each batch of the group, and in all batches before the group; shapes
            ``(g, C)`` and ``(C,)``, int64.
        """
        wanted = number * self.group_length
        while not self._path[-1][0] <= wanted < self._path[-1][0] + self._path[-1][1]:
            self._path.pop()
        while self._path[-1][1] > self.group_length:
            first, length, slots, before = self._path[-1]
            half = self.group_length * max(1, length // (2 * self.group_length))
            lengths, halves = torch.tensor([length]), torch.tensor([half])
            left = _split(slots[None], halves, lengths, seeded_generator(*self._key, first, length))[0]
            if wanted < first + half:
                self._path.append((first, half, left, before))
            else:
                self._path.append((first + half, length - half, slots - left, before + left))
        first, length, slots, before = self._path[-1]
        generator = seeded_generator(*self._key, first, length, 1)
        parts, lengths = slots[None], torch.tensor([length])
        while int(lengths.max()) > 1:
            halves = lengths // 2
            left = _split(parts, halves, lengths, generator)
            parts = torch.stack([left, parts - left], dim=1).flatten(0, 1)
            lengths = torch.stack([halves, lengths - halves], dim=1).flatten()
            parts, lengths = parts[lengths > 0], lengths[lengths > 0]
        return parts, before


def _split(
    slots: Int64[Tensor, "r c"], halves: Tensor, lengths: Tensor, generator: torch.Generator
) -> Int64[Tensor, "r c"]:
    """Give the first ``halves[i]`` of ``lengths[i]`` batches their part of the slots, for each row i."""
    shares, lengths = slots * halves[:, None], lengths[:, None]
    left = torch.div(shares, lengths, rounding_mode="floor")
    fractions = shares - left * lengths
    order = torch.rand(slots.shape, generator=generator).argsort(dim=1)
    offsets = (torch.rand(lengths.shape, generator=generator, dtype=torch.float64) * lengths).long()
    # Fractions add up to a multiple of the length, so the parts add up exactly.
    ends = torch.div(fractions.gather(1, order).cumsum(1) + offsets, lengths, rounding_mode="floor")
    return left.scatter_add(1, order, torch.diff(ends, dim=1, prepend=torch.zeros_like(offsets)))
