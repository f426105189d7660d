"""Long-tailed training sets: classes whose sizes fall geometrically."""

from __future__ import annotations

import math

import torch
from jaxtyping import Int64
from torch import Tensor

from localmin.errors import InputError

__all__ = ["imbalanced_subset"]


def imbalanced_subset(
    labels: Int64[Tensor, " n"], factor: float, *, num_classes: int, seed: int
) -> Int64[Tensor, " m"]:
    """Thin classes out so that class c keeps ``n_max * factor^(-c / (C - 1))`` examples.

    Args:
        labels: Shape ``(n,)``, in ``[0, num_classes)``.
        factor: Largest class over smallest, at least 1.
        num_classes: C, at least 2.
        seed: Of the choice within a class.

    Returns:
        Sorted indices of what is kept; at least one example of every class that had one.

    Raises:
        InputError: If the factor is below 1 or not finite, or there are fewer than two classes.

    Example:
        >>> labels = torch.arange(300) % 3
        >>> labels[imbalanced_subset(labels, 4, num_classes=3, seed=0)].bincount().tolist()
        [100, 50, 25]
    """
    if not (math.isfinite(factor) and factor >= 1):
        raise InputError(
            f"imbalance is the largest class over the smallest and must be at least 1, got {factor}"
        )
    if num_classes < 2:
        raise InputError(f"imbalance needs at least 2 classes, got {num_classes}")
    counts = labels.bincount(minlength=num_classes)
    largest = int(counts.max())
    generator = torch.Generator().manual_seed(seed)
    kept = []
    for label in range(num_classes):
        members = torch.nonzero(labels == label).flatten()
        size = min(len(members), max(1, round(largest * factor ** (-label / (num_classes - 1)))))
        kept.append(members[torch.randperm(len(members), generator=generator)[:size]])
    return torch.cat(kept).sort().values
