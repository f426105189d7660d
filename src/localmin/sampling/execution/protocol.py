"""What runs trials, as the search sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.sampling.trial import TrialOutcome, TrialPlan
from localmin.tasks.task import Task

__all__ = ["TrialExecutor", "TrialRequest"]


@dataclass(frozen=True, eq=False)
class TrialRequest:
    """A trial that is to be run.

    Args:
        name: Tells it from the others that are under way.
        weights: Relative drawing weights, shape ``(n,)``.
        plan: Shared by all trials that are to be compared.
    """

    name: str
    weights: Float[Tensor, " n"]
    plan: TrialPlan


class TrialExecutor(Protocol):
    """Run trials somewhere.

    What a trial gives is a function of the task, the weights and the plan alone; where it runs, beside
    which others, and how often it had to be started again must not show. Executors keep no results: whoever
    submits a trial collects it once.
    """

    def use(self, task: Task, *, device: torch.device, on_draws: Callable[[int], None] | None = None) -> None:
        """Run the trials of this task from now on; none of another task is under way.

        Args:
            task: Sent to where trials run, once.
            device: Where networks are trained.
            on_draws: Hears of examples drawn, now and then.
        """

    def submit(self, request: TrialRequest) -> None:
        """Accept a trial; it runs when there is room."""

    def has_room(self) -> bool:
        """Tell whether one more trial would start at once, at least in part."""

    def collect(self, timeout: float | None = None) -> list[tuple[str, TrialOutcome]]:
        """Wait until a trial is done, and give those that are.

        Args:
            timeout: Seconds to wait at most; None waits for as long as it takes.

        Returns:
            Names and outcomes; nothing if the time is over or no trial is under way.
        """

    def close(self) -> None:
        """Give back what is held; trials under way are dropped."""
