"""Find out which sampler a framework really reads, and whether training saw all of it.

Frameworks wrap or replace samplers without a word. The checks here turn that into an error at the first step.
"""

from __future__ import annotations

from typing import Any

from localmin.errors import InputError
from localmin.sampling.epoch_sampler import AbstractEpochSampler

__all__ = ["batch_entries", "require_all_seen", "require_live", "samplers_of"]


def samplers_of(loader: Any) -> list[Any]:
    """List every sampler and batch sampler that a loader reads through, from the outside in.

    Args:
        loader: A `torch.utils.data.DataLoader`, or a framework's wrapper around one.

    Returns:
        The objects, outermost first.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> [type(sampler).__name__ for sampler in samplers_of(DataLoader([1, 2, 3]))]
        ['BatchSampler', 'SequentialSampler']
    """
    found: list[Any] = []
    inner = getattr(loader, "batch_sampler", None) or getattr(loader, "sampler", None)
    while inner is not None and all(inner is not seen for seen in found):
        found.append(inner)
        inner = getattr(inner, "batch_sampler", None) or getattr(inner, "sampler", None)
    return found


def require_live(
    loader: Any,
    sampler: AbstractEpochSampler[Any, Any],
    framework: str,
    remedy: str,
    *,
    replica: tuple[int, int] = (1, 0),
    num_shards: int = 1,
) -> None:
    """Check that a loader reads this very sampler, and that its entries are dealt out once.

    Args:
        loader: The loader that training iterates over.
        sampler: The sampler that it should read.
        framework: Name for the message.
        remedy: What to do if it does not.
        replica: Ranks that the sampler is to deal its entries out to, and which of them this one is.
        num_shards: Processes that the framework is to deal its batches out to.

    Raises:
        InputError: If the sampler is another one, or is dealt out twice or not at all.
    """
    chain = samplers_of(loader)
    if all(link is not sampler for link in chain):
        names = ", ".join(type(link).__name__ for link in chain) or "none"
        raise InputError(
            f"{framework} does not read your {type(sampler).__name__}: its loader reads {names}; {remedy}"
        )
    num_dealt = max(int(getattr(link, "num_processes", 1)) for link in chain)
    if num_dealt != num_shards or sampler.replica != replica:
        num_replicas, rank = sampler.replica
        raise InputError(
            f"{framework} deals batches out to {num_dealt} processes, and your {type(sampler).__name__} is "
            f"rank {rank} of {num_replicas}, so examples would be left out or repeated; {remedy}"
        )


def require_all_seen(num_seen: int, num_due: int, framework: str, remedy: str) -> None:
    """Check, at the end of an epoch, that training consumed all that was due.

    Args:
        num_seen: Entries of the sampler that training consumed.
        num_due: Entries that this iteration had to give.
        framework: Name for the message.
        remedy: What to do if they differ.

    Raises:
        InputError: If fewer were seen than were due.
    """
    if num_seen < num_due:
        raise InputError(
            f"{framework} ended an epoch after {num_seen} of {num_due} entries of the sampler; {remedy}"
        )


def batch_entries(loader: Any, sampler: AbstractEpochSampler[Any, Any]) -> int:
    """Tell how many of the sampler's entries make a full batch: 1 for a sampler of batches.

    Args:
        loader: A loader that reads the sampler.
        sampler: The sampler.

    Returns:
        The batch size in entries of the sampler.
    """
    chain = samplers_of(loader)
    place = next(number for number, link in enumerate(chain) if link is sampler)
    return int(chain[place - 1].batch_size) if place > 0 and not hasattr(sampler, "batch_size") else 1
