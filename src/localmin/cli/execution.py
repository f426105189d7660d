"""From options to what runs the trials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from localmin.errors import InputError

if TYPE_CHECKING:
    from localmin.sampling.execution import TrialExecutor

__all__ = ["ExecutionOptions", "open_executor"]


@dataclass(frozen=True)
class ExecutionOptions:
    """Where the trials of a search run."""

    workers: Annotated[
        int | None,
        typer.Option(metavar="W", help="Run trials in W processes, of --threads threads each (default 1)."),
    ] = None
    together: Annotated[
        int,
        typer.Option(
            metavar="K", help="Train K networks of trials at once (torch.func), if measuring favours it."
        ),
    ] = 1
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run trials on a Ray cluster: auto, local, or host:port."),
    ] = None
    gpu_share: Annotated[
        float | None,
        typer.Option(metavar="G", help="Share of a GPU for one network under --ray, such as 0.25."),
    ] = None
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="LOCALMIN_STORAGE",
            help="Database in which several launchers share this search, such as "
            "postgresql://user@host/name.",
        ),
    ] = None


@contextmanager
def open_executor(options: ExecutionOptions, *, threads: int | None) -> Iterator[TrialExecutor | None]:
    """Open what runs the trials, and close it at the end.

    Args:
        options: Where trials run.
        threads: Of torch, for one network; None is one with workers or a cluster, however many there are,
            because the number of threads shows in the last digits of a result.

    Yields:
        The executor, or None.

    Raises:
        InputError: If the options exclude each other.
    """
    from localmin.tasks.data_parallel import is_launched

    workers, ray, gpu_share = options.workers, options.ray, options.gpu_share
    if gpu_share is not None and ray is None:
        raise InputError("--gpu-share is the share of a network on a Ray cluster; give --ray too")
    if (workers is not None or ray is not None) and is_launched():
        raise InputError("torchrun divides each training among its processes; leave --workers and --ray out")
    if workers is not None and ray is not None:
        raise InputError("--workers uses this machine and --ray a cluster; give one of them")
    if ray is not None:
        from localmin.integrations.ray import RayTrials

        count = threads or 1
        with RayTrials(ray, cpus=count, gpus=gpu_share, threads=count) as trials:
            yield trials
    elif workers is not None:
        from localmin.sampling.execution import ProcessPool

        with ProcessPool(workers, threads=threads or 1) as pool:
            yield pool
    else:
        yield None
