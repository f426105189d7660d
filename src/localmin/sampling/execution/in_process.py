"""Trials one after another, in this process: the default."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch

from localmin.sampling.execution.protocol import TrialRequest
from localmin.sampling.trial import TrialOutcome, run_trial
from localmin.tasks.task import Task

__all__ = ["InProcess"]


class InProcess:
    """Run each trial when it is collected."""

    def __init__(self) -> None:
        self._waiting: deque[TrialRequest] = deque()
        self._task: Task | None = None
        self._device = torch.device("cpu")
        self._on_draws: Callable[[int], None] | None = None

    def use(self, task: Task, *, device: torch.device, on_draws: Callable[[int], None] | None = None) -> None:
        """Run the trials of this task from now on."""
        self._waiting.clear()
        self._task, self._device, self._on_draws = task, device, on_draws

    def submit(self, request: TrialRequest) -> None:
        """Put a trial at the end of the queue."""
        self._waiting.append(request)

    def has_room(self) -> bool:
        """Tell whether nothing waits."""
        return not self._waiting

    def collect(self, timeout: float | None = None) -> list[tuple[str, TrialOutcome]]:
        """Run the first trial of the queue, however long it takes."""
        if not self._waiting:
            return []
        assert self._task is not None  # nothing is submitted before a task is there
        request = self._waiting.popleft()
        outcome = run_trial(
            self._task, request.weights, request.plan, device=self._device, on_draws=self._on_draws
        )
        return [(request.name, outcome)]

    def close(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
