"""Stages of a search: stored ones are read, trials are run wherever the executor runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from localmin.sampling.execution.protocol import TrialExecutor, TrialRequest
from localmin.sampling.trial import TrialOutcome
from localmin.tasks.run_folder import RunFolder, Stage

__all__ = ["Stages", "TrialStage"]


@dataclass(frozen=True, eq=False)
class TrialStage:
    """A stage that is made of trials.

    Args:
        name: Of the stage.
        requests: Its trials; none if nothing has to be trained.
        assemble: Makes the stage from the outcomes, in the order of the requests.
    """

    name: str
    requests: tuple[TrialRequest, ...]
    assemble: Callable[[list[TrialOutcome]], Stage]


class Stages:
    """Compute each stage of a search once.

    Args:
        folder: Keeps finished stages.
        executor: Runs trials.
    """

    def __init__(self, folder: RunFolder, executor: TrialExecutor) -> None:
        self.folder = folder
        self.executor = executor

    def once(self, name: str, compute: Callable[[], Stage]) -> Stage:
        """Give a stage that is computed in this process, computing it only if it is not stored."""
        return self.folder.once(name, compute)

    def trials(self, wanted: Sequence[TrialStage]) -> list[Stage]:
        """Give stages whose trials do not depend on each other; those not stored run at once.

        Each is stored as soon as it is done, so a search that is killed repeats what was under way, no more.

        Args:
            wanted: The stages.

        Returns:
            Their contents, in order.
        """
        found = {stage.name: self.folder.stored(stage.name) for stage in wanted}
        under_way = [_UnderWay(stage) for stage in wanted if found[stage.name] is None]
        for stage in under_way:
            for request in stage.missing():
                self.executor.submit(request)
        while under_way:
            for done in [stage for stage in under_way if stage.is_done]:
                found[done.name] = self.folder.keep(done.name, done.assemble())
                under_way.remove(done)
            if under_way:
                for name, outcome in self.executor.collect():
                    next(stage for stage in under_way if name in stage.requests).outcomes[name] = outcome
        return [kept for stage in wanted if (kept := found[stage.name]) is not None]


class _UnderWay:
    """A stage whose trials are being run."""

    def __init__(self, stage: TrialStage) -> None:
        self.stage = stage
        self.name = stage.name
        self.requests = {request.name: request for request in stage.requests}
        self.outcomes: dict[str, TrialOutcome] = {}

    @property
    def is_done(self) -> bool:
        return len(self.outcomes) == len(self.requests)

    def missing(self) -> list[TrialRequest]:
        return [request for name, request in self.requests.items() if name not in self.outcomes]

    def assemble(self) -> Stage:
        return self.stage.assemble([self.outcomes[name] for name in self.requests])
