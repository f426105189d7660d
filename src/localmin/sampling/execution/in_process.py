"""Trials in this process, one after another or several at once: the default."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch

from localmin.sampling.execution.joint_trials import run_folds_together
from localmin.sampling.execution.protocol import TrialRequest
from localmin.sampling.trial import FoldOutcome, TrialOutcome, is_supported, join_folds, run_trial
from localmin.tasks.task import Task

__all__ = ["InProcess"]


class InProcess:
    """Run each trial when it is collected.

    Args:
        max_together: Networks trained at once, see `joint_trials.probe`.
    """

    def __init__(self, *, max_together: int = 1) -> None:
        self.max_together = max_together
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
        """Run the first trial of the queue, or the first few at once, however long it takes."""
        if not self._waiting:
            return []
        assert self._task is not None  # nothing is submitted before a task is there
        request = self._waiting.popleft()
        group = [request, *self._companions(request)]
        if len(group) > 1:
            return self._run_together(group)
        outcome = run_trial(
            self._task, request.weights, request.plan, device=self._device, on_draws=self._on_draws
        )
        return [(request.name, outcome)]

    def _companions(self, request: TrialRequest) -> list[TrialRequest]:
        """Take trials from the front of the queue that can be run at once with this one."""
        found: list[TrialRequest] = []
        plan = request.plan
        if self.max_together < 2 or not is_supported(request.weights, plan):
            return found
        while self._waiting and len(found) + 1 < self.max_together:
            other = self._waiting[0]
            if other.plan is not plan or not is_supported(other.weights, plan):
                break
            found.append(self._waiting.popleft())
        return found

    def _run_together(self, group: list[TrialRequest]) -> list[tuple[str, TrialOutcome]]:
        assert self._task is not None
        plan = group[0].plan
        found: dict[str, list[FoldOutcome]] = {request.name: [] for request in group}
        for number in range(len(plan.folds)):
            # A trial whose network diverged is over, as it is when its networks are trained in turn.
            left = [r for r in group if not any(fold.diverged for fold in found[r.name])]
            if not left:
                break
            outcomes = run_folds_together(
                self._task,
                [request.weights for request in left],
                plan,
                number,
                device=self._device,
                on_draws=self._on_draws,
            )
            for request, outcome in zip(left, outcomes, strict=True):
                found[request.name].append(outcome)
        return [(name, join_folds(self._task, plan, folds)) for name, folds in found.items()]

    def close(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
