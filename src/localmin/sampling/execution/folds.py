"""Put trials together whose networks are trained apart."""

from __future__ import annotations

from localmin.sampling.execution.protocol import TrialRequest
from localmin.sampling.trial import FoldOutcome, TrialOutcome, is_supported, join_folds, untried
from localmin.tasks.task import Task

__all__ = ["FoldCollector"]


class FoldCollector:
    """Collect the networks of trials until each trial is whole.

    Args:
        task: Of the trials.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._open: dict[str, TrialRequest] = {}
        self._found: dict[str, dict[int, FoldOutcome]] = {}
        self._finished: list[tuple[str, TrialOutcome]] = []

    def open(self, request: TrialRequest) -> range:
        """Begin a trial.

        Args:
            request: Of the trial.

        Returns:
            Numbers of the networks that have to be trained; none for a candidate that is rejected.
        """
        if not is_supported(request.weights, request.plan):
            self._finished.append((request.name, untried(self._task)))
            return range(0)
        self._open[request.name], self._found[request.name] = request, {}
        return range(len(request.plan.folds))

    def is_open(self, name: str) -> bool:
        """Tell whether the trial still waits for networks."""
        return name in self._open

    def add(self, name: str, number: int, outcome: FoldOutcome) -> None:
        """Take a network in; one of a trial that is over is ignored."""
        if name not in self._open:
            return
        request, found = self._open[name], self._found[name]
        found[number] = outcome
        in_order = []
        for place in range(len(request.plan.folds)):
            if place not in found:
                return
            in_order.append(found[place])
            if found[place].diverged:
                break
        self._finished.append((name, join_folds(self._task, request.plan, in_order)))
        del self._open[name], self._found[name]

    def finished(self) -> list[tuple[str, TrialOutcome]]:
        """Give the trials that became whole since the last call."""
        found, self._finished = self._finished, []
        return found
