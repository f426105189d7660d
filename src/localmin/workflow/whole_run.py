"""Search a sampler, train with it under a chosen dynamics, certify where it ended, and shrink the network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from localmin.errors import DataError
from localmin.sampling.execution import Database, TrialExecutor
from localmin.sampling.progress import SearchProgress, Silent
from localmin.sampling.result import SearchResult
from localmin.sampling.seeds import search_seeds
from localmin.sampling.settings import SearchSettings
from localmin.sampling.summary import policy_seed
from localmin.sampling.transfer import train_run
from localmin.tasks.recipe import OptimizerFactory
from localmin.tasks.request import TaskRequest
from localmin.tasks.run_folder import RunFolder, Stage
from localmin.tasks.schemas import write_versioned
from localmin.tasks.storage import finite, write_tensors
from localmin.tasks.task import Task
from localmin.tasks.trained import TrainedModel
from localmin.workflow.ending import find_ending
from localmin.workflow.shrinking import shrink

__all__ = ["WholeRun", "run_everything"]


@dataclass(frozen=True)
class WholeRun:
    """All answers about one data set, in JSON types.

    Args:
        search: Summary of the search, as in ``result.json``.
        dynamics: The training under another optimiser, if one was asked for, as in ``dynamics.json``.
        ending: Where training ended, as in ``ending.json``.
        shrinking: How small the network gets, as in ``shrinking.json``.
    """

    search: dict[str, Any]
    dynamics: dict[str, Any] | None
    ending: dict[str, Any]
    shrinking: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Join the answers."""
        return {
            "search": self.search,
            "dynamics": self.dynamics,
            "ending": self.ending,
            "shrinking": self.shrinking,
        }


def run_everything(
    make_task: Callable[[int], Task],
    seeds: Sequence[int],
    *,
    settings: SearchSettings,
    out: Path,
    command: str,
    request: TaskRequest | None = None,
    optimizer: OptimizerFactory | str | None = None,
    limit: int | None = 2000,
    device: torch.device | str = "cpu",
    executor: TrialExecutor | None = None,
    together: int = 1,
    storage: str | Database | None = None,
    progress: SearchProgress | None = None,
) -> WholeRun:
    """Answer all questions about the network that a search trains; a run that was killed goes on.

    The network in question is that of the seed whose policy stands for all, trained as recommended.

    Args:
        make_task: Gives the task of a seed.
        seeds: At least one, distinct.
        settings: Of the search.
        out: Run folder.
        command: What was typed; recorded.
        request: How ``make_task`` was asked for; recorded.
        optimizer: Trains once more under the policy by this optimiser; None keeps the search's own training.
        limit: Training examples that certificate and reduction look at, at most.
        device: Where networks are trained.
        executor: Runs the trials; None runs them in this process.
        together: Networks of different trials trained at once, where that pays.
        storage: Database in which several launchers share the search.
        progress: Hears how far it is.

    Returns:
        The answers; the same stand in files of the run folder.

    Cost:
        The search, one more training with ``optimizer``, and `find_ending` and `shrink`.
    """
    progress = progress or Silent()
    summary, results = search_seeds(
        make_task, seeds, settings=settings, command=command, request=request, out=out, device=device,
        executor=executor, together=together, storage=storage, progress=progress,
    )  # fmt: skip
    result = results[policy_seed(results)]
    model, dynamics = result.model, None
    if optimizer is not None:
        model, dynamics = _train_again(result, optimizer, out, device, progress)
    trained = TrainedModel(model.cpu().eval(), result.task, out, result.weights)
    progress.begin(2.0, "questions")
    try:
        with RunFolder(
            out / "afterwards", {"job": "afterwards", "model": _digest(model), "limit": limit}
        ) as folder:
            ending = _ending(trained, limit, result.seed, folder, progress)
            shrinking = _shrinking(trained, limit, folder, progress)
    finally:
        progress.end()
    if dynamics is not None:
        write_versioned(out / "dynamics.json", "training", dynamics)
    for name, content in (("ending", ending), ("shrinking", shrinking)):
        write_versioned(out / f"{name}.json", name, content)
    return WholeRun(summary, dynamics, ending, shrinking)


def _train_again(
    result: SearchResult,
    optimizer: OptimizerFactory | str,
    out: Path,
    device: torch.device | str,
    progress: SearchProgress,
) -> tuple[nn.Module, dict[str, Any]]:
    drawn = result.weights if result.recommendation == "searched" else None
    trained = train_run(
        result.task,
        weights=drawn,
        optimizer=optimizer,
        seed=result.seed,
        out=out / "dynamics",
        device=device,
        progress=progress,
    )
    if trained.diverged:
        raise DataError(
            f"the training by the other optimiser diverged in epoch {len(trained.losses)} of "
            f"{result.task.epochs}; lower --lr or --temperature"
        )
    return trained.model, {
        "optimizer": optimizer if isinstance(optimizer, str) else repr(optimizer),
        "described": str(optimizer),
        "metric": result.task.metric,
        "test_by_search": result.arms[result.recommendation].test,
        **trained.to_dict(),
    }


def _ending(
    trained: TrainedModel, limit: int | None, seed: int, folder: RunFolder, progress: SearchProgress
) -> dict[str, Any]:
    def compute() -> Stage:
        progress.stage("where training ended")
        found = find_ending(trained, limit=limit, seed=seed)
        tensors = {"settled_point": found.settled_point}
        if found.trained.witness is not None:
            tensors["witness"] = found.trained.witness
        return found.to_dict(), tensors

    content, tensors = folder.once("ending", compute)
    assert folder.path is not None  # whole runs are kept on disk
    write_tensors(folder.path / "ending.safetensors", tensors)
    progress.advance(1.0)
    return content


def _shrinking(
    trained: TrainedModel, limit: int | None, folder: RunFolder, progress: SearchProgress
) -> dict[str, Any]:
    def compute() -> Stage:
        progress.stage("how small the network gets")
        found = shrink(trained, limit=limit, on_step=progress.stage)
        tensors = {} if found.network is None else dict(found.network.state_dict())
        return finite(found.to_dict()), tensors

    content, tensors = folder.once("shrinking", compute)
    assert folder.path is not None  # whole runs are kept on disk
    if tensors:
        write_tensors(folder.path / "smaller.safetensors", tensors)
    progress.advance(1.0)
    return content


def _digest(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()[:16]
