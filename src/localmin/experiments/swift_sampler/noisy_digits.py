"""The task of these experiments: the bundled digits with wrong labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from localmin.tasks import Task, digits
from localmin.tasks.models import build_mlp

__all__ = ["noisy_digits"]


def noisy_digits(
    seed: int,
    *,
    noise: float = 0.4,
    widths: Sequence[int] | None = None,
    limit: int | None = None,
    **options: Any,
) -> Task:
    """Make the task: 1,000 training examples, 40 epochs, long enough for wrong labels to be memorised.

    Args:
        seed: Of split and noise.
        noise: Share of wrong labels, in training and validation.
        widths: Of the hidden layers; None is 256 and 256.
        limit: Examples for training and validation; None is all.
        **options: As for `localmin.tasks.digits`.

    Returns:
        The task.
    """
    task = digits(seed=seed, noise=noise, limit=limit, **options)
    if widths is None:
        return task
    return replace(task, model=partial(build_mlp, 64, 10, widths=tuple(widths)))
