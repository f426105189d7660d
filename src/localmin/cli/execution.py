"""From options to what runs the trials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from localmin.errors import InputError

if TYPE_CHECKING:
    from localmin.sampling.execution import TrialExecutor

__all__ = ["open_executor"]


@contextmanager
def open_executor(
    workers: int | None, ray: str | None, *, gpu_share: float | None, threads: int | None
) -> Iterator[TrialExecutor | None]:
    """Open what runs the trials, and close it at the end.

    Args:
        workers: Processes; None runs trials in this one.
        ray: Address of a cluster, in place of ``workers``.
        gpu_share: Share of a GPU for one network on the cluster.
        threads: Of torch, for one network; None is one with ``workers`` or ``ray``, however many there are,
            because the number of threads shows in the last digits of a result.

    Yields:
        The executor, or None.

    Raises:
        InputError: If the options exclude each other.
    """
    from localmin.tasks.data_parallel import is_launched

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
