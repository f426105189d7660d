"""From options to what runs the trials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localmin.sampling.execution import TrialExecutor

__all__ = ["open_executor"]


@contextmanager
def open_executor(workers: int | None, *, threads: int | None) -> Iterator[TrialExecutor | None]:
    """Open what runs the trials, and close it at the end.

    Args:
        workers: Processes; None runs trials in this one.
        threads: Of torch in each worker; None is one, whatever the number of workers, because the number of
            threads shows in the last digits of a result.

    Yields:
        The executor, or None.
    """
    if workers is None:
        yield None
        return
    from localmin.sampling.execution import ProcessPool

    with ProcessPool(workers, threads=threads or 1) as pool:
        yield pool
