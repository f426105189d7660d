"""Stages of a search: stored ones are read, trials are run wherever the executor runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from localmin.errors import RunFolderError
from localmin.sampling.execution.protocol import TrialExecutor, TrialRequest
from localmin.sampling.execution.shared_stages import SharedStages
from localmin.sampling.trial import TrialOutcome
from localmin.tasks.run_folder import RunFolder, Stage

__all__ = ["Stages", "TrialStage"]

_POLL = 0.25


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
    """Compute each stage of a search once, here or, with a shared study, once among all who work on it.

    Args:
        folder: Keeps finished stages of this launcher.
        executor: Runs trials.
        shared: Stages of all launchers of the search; None works alone.
    """

    def __init__(
        self, folder: RunFolder, executor: TrialExecutor, shared: SharedStages | None = None
    ) -> None:
        self.folder = folder
        self.executor = executor
        self.shared = shared

    def once(self, name: str, compute: Callable[[], Stage], *, is_shared: bool = True) -> Stage:
        """Give a stage that is computed in this process, computing it only if it is not stored.

        Args:
            name: Of the stage.
            compute: Gives JSON content and tensors; must be deterministic.
            is_shared: Whether launchers of the same search must agree on it to the last digit.

        Returns:
            The stage, as a resumed job will see it.
        """
        if self.shared is None or not is_shared:
            return self.folder.once(name, compute)
        found = self._stored(name)
        while found is None:
            if self.shared.claim(name):
                found = self._keep(name, compute())
            elif (others := self.shared.finished([name])).get(name) is not None:
                found = self.folder.keep(name, others[name])
            else:
                time.sleep(_POLL)
        return found

    def trials(self, wanted: Sequence[TrialStage]) -> list[Stage]:
        """Give stages whose trials do not depend on each other; those not stored run at once.

        Each is stored as soon as it is done, so a search that is killed repeats what was under way, no more.

        Args:
            wanted: The stages.

        Returns:
            Their contents, in order.
        """
        found = {stage.name: kept for stage in wanted if (kept := self._stored(stage.name)) is not None}
        waiting = {stage.name: stage for stage in wanted if stage.name not in found}
        under_way: dict[str, _UnderWay] = {}
        while waiting or under_way:
            found |= self._taken_from_others(waiting)
            for name in [name for name in waiting if self._is_ours(name)]:
                under_way[name] = _UnderWay(waiting.pop(name))
                for request in under_way[name].stage.requests:
                    self.executor.submit(request)
            for name in [name for name, made in under_way.items() if made.is_done]:
                found[name] = self._keep(name, under_way.pop(name).assemble())
            if under_way:
                for name, outcome in self.executor.collect(_POLL if waiting else None):
                    stage = next(stage for stage in under_way.values() if name in stage.names)
                    stage.outcomes[name] = outcome
            elif waiting:
                time.sleep(_POLL)
        return [found[stage.name] for stage in wanted]

    def _is_ours(self, name: str) -> bool:
        if self.shared is None:
            return True
        # No more is claimed than can be begun: the rest is for others.
        return self.executor.has_room() and self.shared.claim(name)

    def _taken_from_others(self, waiting: dict[str, TrialStage]) -> dict[str, Stage]:
        if self.shared is None:
            return {}
        others = self.shared.finished(waiting)
        for name in others:
            del waiting[name]
        return {name: self.folder.keep(name, stage) for name, stage in others.items()}

    def _keep(self, name: str, stage: Stage) -> Stage:
        """Store a stage; first where all see it, so that the folder never holds another than counts."""
        return self.folder.keep(name, stage if self.shared is None else self.shared.publish(name, stage))

    def _stored(self, name: str) -> Stage | None:
        kept = self.folder.stored(name)
        if kept is None or self.shared is None:
            return kept
        shared = self.shared.publish(name, kept)
        if not _same(kept, shared):
            raise RunFolderError(
                f"{self.folder.path} holds a {name} that differs from the shared one: it was computed on "
                "another kind of machine or before the study was shared; give another --out"
            )
        return kept


class _UnderWay:
    """A stage whose trials are being run."""

    def __init__(self, stage: TrialStage) -> None:
        self.stage = stage
        self.names = [request.name for request in stage.requests]
        self.outcomes: dict[str, TrialOutcome] = {}

    @property
    def is_done(self) -> bool:
        return len(self.outcomes) == len(self.names)

    def assemble(self) -> Stage:
        return self.stage.assemble([self.outcomes[name] for name in self.names])


def _same(first: Stage, second: Stage) -> bool:
    (content, tensors), (other_content, other_tensors) = first, second
    return (
        content == other_content
        and tensors.keys() == other_tensors.keys()
        and all(torch.equal(value, other_tensors[name]) for name, value in tensors.items())
    )
