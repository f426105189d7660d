"""The caller's random state, left as it was; also while other threads of the process use torch."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

__all__ = ["keeping_random_state", "seed_default_generator", "seeded"]

# torch has one default generator for all threads: what one thread seeds, another would draw from.
_LOCK = threading.RLock()


@contextmanager
def seeded(seed: int | None = None) -> Iterator[None]:
    """Draw from the default generator of the CPU in this block, alone, and put its state back.

    Args:
        seed: Of the generator; None goes on from where it is.

    Example:
        >>> before = torch.random.get_rng_state()
        >>> with seeded(3):
        ...     first = torch.rand(2)
        >>> with seeded(3):
        ...     print(torch.equal(torch.rand(2), first))
        True
        >>> torch.equal(torch.random.get_rng_state(), before)
        True
    """
    with _LOCK, torch.random.fork_rng(devices=[]):
        if seed is not None:
            # Not torch.manual_seed, which would seed every GPU of the caller too.
            torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def keeping_random_state(devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Put the state of the default generators back after a block that other threads may interleave with.

    For long blocks, such as a training: only taking and putting back the state is done alone. Networks that
    draw in the forward pass (dropout) still share one generator with other threads.

    Args:
        devices: GPUs whose generators are kept too.
    """
    kept = torch.random.fork_rng(devices=list(devices))
    with _LOCK:
        kept.__enter__()
    try:
        yield
    finally:
        with _LOCK:
            kept.__exit__(None, None, None)


def seed_default_generator(seed: int, device: torch.device) -> None:
    """Seed the default generator of the CPU and of one device, while no other thread draws initial weights.

    Args:
        seed: Of both.
        device: ``cpu`` or one GPU; others are left alone.
    """
    with _LOCK:
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
