"""Set-up that commands share: threads, device, reading data with a progress bar."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from localmin.errors import InputError

if TYPE_CHECKING:
    from localmin.tasks.request import TaskRequest
    from localmin.tasks.task import Task

__all__ = ["choose_device", "default_folder", "open_request", "typed_command", "use_threads"]


def choose_device(name: str) -> str:
    """Turn ``"auto"`` into what is there, and refuse what is not.

    Args:
        name: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"auto"``.

    Returns:
        A torch device name.

    Raises:
        InputError: If the device is unknown or not there.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}; choose cpu, cuda or auto") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device {name!r} is not supported; choose cpu, cuda or auto")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is available here; choose --device cpu")
    return name


def default_folder(data: str, preset: str, *job: object) -> Path:
    """Name a run folder after the data and the job, so that repeating a command finds its own run again.

    Args:
        data: As typed.
        preset: Of the search.
        *job: Everything else that tells this job from others; described by its ``repr``.

    Returns:
        A folder below ``runs``.
    """
    stem = Path(data.partition(".py:")[0]).stem or "data"
    digest = hashlib.sha256(repr((data, preset, job)).encode()).hexdigest()[:8]
    return Path("runs") / f"{stem}-{preset}-{digest}"


def typed_command(storage: str | None = None) -> str:
    """Write the command as it was typed, for records, without the password of a database.

    Args:
        storage: URL of the database, if there is one.

    Returns:
        One line that a shell reads as it was typed.
    """
    words = ["localmin", *sys.argv[1:]]
    if storage is not None and "://" in storage:
        from localmin.sampling.execution import Database

        shown = Database(storage).without_password()
        words = [word.replace(storage, shown) for word in words]
    return shlex.join(words)


def use_threads(count: int | None) -> None:
    """Set the number of threads of torch, if one was given.

    Args:
        count: At least 1, or None to leave it.

    Raises:
        InputError: If it is below 1.
    """
    if count is None:
        return
    if count < 1:
        raise InputError(f"--threads must be at least 1, got {count}")
    import torch

    torch.set_num_threads(count)


def open_request(request: TaskRequest, console: Console) -> Callable[[int], Task]:
    """Read the data of a request, with a bar on standard error while images are decoded."""
    if not console.is_terminal:
        return request.open()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading images", total=None, visible=False)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=True)

        return request.open(progress)
