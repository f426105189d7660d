"""The same search on several seeds: other splits, other noise, other weights each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from localmin.errors import InputError
from localmin.sampling.execution import Database, TrialExecutor
from localmin.sampling.progress import SearchProgress
from localmin.sampling.result import SearchResult
from localmin.sampling.search import search
from localmin.sampling.settings import SearchSettings
from localmin.sampling.summary import policy_seed, summarize, write_summary
from localmin.tasks.request import TaskRequest
from localmin.tasks.run_folder import RunFolder
from localmin.tasks.storage import write_bytes
from localmin.tasks.task import Task
from localmin.tasks.trained import write_request

__all__ = ["search_seeds"]

_COPIED = (
    "policy.json",
    "candidate.json",
    "model.safetensors",
    "model.json",
    "features.safetensors",
    "dropped.csv",
    "dropped.md",
    "split.json",
    "trials.log",
    "task.json",
)


def search_seeds(
    make_task: Callable[[int], Task],
    seeds: Sequence[int],
    *,
    settings: SearchSettings,
    command: str,
    request: TaskRequest | None = None,
    out: Path | None = None,
    device: torch.device | str = "cpu",
    executor: TrialExecutor | None = None,
    together: int = 1,
    storage: str | Database | None = None,
    progress: SearchProgress | None = None,
) -> tuple[dict[str, Any], list[SearchResult]]:
    """Search on each seed and join the results.

    With one seed the run folder is ``out`` itself; with several, each has a folder ``seed-K`` inside, and
    ``out`` gets a copy of the files of the seed whose policy stands for all.

    Args:
        make_task: Gives the task of a seed.
        seeds: At least one, distinct.
        settings: Of the search.
        command: What was typed; recorded.
        request: How ``make_task`` was asked for; recorded, so that other commands can open the run.
        out: Folder for everything; None keeps nothing on disk.
        device: Where networks are trained.
        executor: Runs the trials of all seeds; None runs them in this process.
        together: Networks of different trials trained at once, where that pays.
        storage: Database in which several launchers share each of the searches.
        progress: Hears how far each search is.

    Returns:
        The summary as JSON types, and the result of each seed.

    Raises:
        InputError: If there is no seed, or one is repeated.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise InputError(f"seeds must be distinct and at least one, got {list(seeds)}")
    several = out is not None and len(seeds) > 1
    identity = {"job": "searches on several seeds", "settings": settings.to_dict()}
    with RunFolder(out if several else None, identity):
        return _search_all(
            make_task, seeds, settings, command, request, out, device, executor, together, storage, progress
        )


def _search_all(
    make_task: Callable[[int], Task],
    seeds: Sequence[int],
    settings: SearchSettings,
    command: str,
    request: TaskRequest | None,
    out: Path | None,
    device: torch.device | str,
    executor: TrialExecutor | None,
    together: int,
    storage: str | Database | None,
    progress: SearchProgress | None,
) -> tuple[dict[str, Any], list[SearchResult]]:
    results = []
    for seed in seeds:
        folder = None if out is None else out if len(seeds) == 1 else out / f"seed-{seed}"
        task = make_task(seed)
        result = search(
            task,
            seed=seed,
            settings=settings,
            out=folder,
            device=device,
            executor=executor,
            together=together,
            storage=storage,
            progress=progress,
        )
        results.append(result)
        if folder is not None:
            if request is not None:
                write_request(folder, request, seed)
            write_summary(folder, summarize([result], command=command, device=str(device)))
    summary = summarize(results, command=command, device=str(device))
    if out is not None and len(seeds) > 1:
        chosen = out / f"seed-{seeds[policy_seed(results)]}"
        for name in _COPIED:
            if (chosen / name).exists():
                write_bytes(out / name, (chosen / name).read_bytes())
        write_summary(out, summary)
    return summary, results
