"""Stratified splits and subsets, reproducible by seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from localmin.errors import DataError

__all__ = ["stratified_split", "stratified_subset"]


def stratified_split(
    labels: Int64[Tensor, " n"], sizes: Sequence[int], *, seed: int
) -> tuple[Int64[Tensor, " m"], ...]:
    """Deal examples into parts of exact sizes, each with the class mix of the whole.

    Part by part, every class gives its share of what is left, rounded down; the places still open go to
    the classes with the largest remainders, ties at random. So no class of the first part is off its exact
    share by a whole example, nor of the second when the two use everything. A class with fewer examples
    than there are parts is missing from some of them.

    Args:
        labels: Shape ``(n,)``.
        sizes: Of the parts; their sum is at most n, what is left over belongs to no part.
        seed: Of the shuffle within the classes and of ties.

    Returns:
        One sorted index tensor per part, disjoint.

    Raises:
        DataError: If the sizes ask for more examples than there are.

    Example:
        >>> labels = torch.tensor([0] * 60 + [1] * 30)
        >>> first, second = stratified_split(labels, [60, 30], seed=0)
        >>> labels[first].bincount().tolist(), labels[second].bincount().tolist()
        ([40, 20], [20, 10])
    """
    if min(sizes, default=0) < 0 or sum(sizes) > len(labels):
        raise DataError(f"cannot take parts of {list(sizes)} from {len(labels)} examples")
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(labels), generator=generator)
    # Class after class, in random order within each; `place` numbers the examples of a class from 0.
    grouped = shuffled[torch.argsort(labels[shuffled], stable=True)]
    _, kind, counts = torch.unique_consecutive(labels[grouped], return_inverse=True, return_counts=True)
    place = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[kind]
    used = torch.zeros_like(counts)
    parts = []
    for size in sizes:
        taken = _apportion(counts - used, size, generator)
        chosen = (place >= used[kind]) & (place < (used + taken)[kind])
        parts.append(grouped[chosen].sort().values)
        used += taken
    return tuple(parts)


def stratified_subset(labels: Int64[Tensor, " n"], size: int, *, seed: int) -> Int64[Tensor, " m"]:
    """Draw ``size`` examples with the class mix of the whole; all of them when there are fewer."""
    if size >= len(labels):
        return torch.arange(len(labels))
    return stratified_split(labels, [size], seed=seed)[0]


def _apportion(
    available: Int64[Tensor, " classes"], size: int, generator: torch.Generator
) -> Int64[Tensor, " classes"]:
    """Share ``size`` places among classes in proportion, by largest remainders, in whole numbers."""
    total = int(available.sum())
    if total == 0:
        return torch.zeros_like(available)
    # Integer arithmetic: a quota of exactly 3 must not come out as 2.999.
    share = available * size // total
    remainder = available * size % total
    order = torch.randperm(len(available), generator=generator)
    order = order[torch.argsort(remainder[order], descending=True, stable=True)]
    share[order[: size - int(share.sum())]] += 1
    return share
