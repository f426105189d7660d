"""Files that are either whole or absent: JSON and safetensors, written atomically."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from localmin.errors import RunFolderError

__all__ = [
    "check_writable",
    "finite",
    "naming_write_errors",
    "one_writer",
    "read_json",
    "read_tensors",
    "remove_partial_files",
    "write_bytes",
    "write_json",
    "write_tensors",
    "write_text",
]

_PARTIAL = ".part"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part.

    Args:
        path: Where to; its folder is created.
        content: The whole file.

    Raises:
        RunFolderError: If the file cannot be written: a full disk, a folder without permission.
    """
    with naming_write_errors(path):
        _replace(path, content)


@contextmanager
def naming_write_errors(path: Path) -> Iterator[None]:
    """Turn what the system says when a file cannot be written into an error that names it and the remedy.

    Args:
        path: Of the file or folder that is written.

    Raises:
        RunFolderError: In place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "the disk is full: free some space and repeat the command, it goes on where it stopped"
        else:
            advice = f"{error.strerror or error}: choose another --out"
        raise RunFolderError(f"{path} cannot be written; {advice}") from error


def check_writable(folder: Path) -> None:
    """Refuse a folder in which nothing can be written, before hours are spent on what should go there.

    Args:
        folder: Need not exist; then the folder in which it would be made is tried. Nothing is left behind.

    Raises:
        RunFolderError: If no file can be made in it.
    """
    place = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    with naming_write_errors(folder), tempfile.TemporaryFile(dir=place):
        pass


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Write files that belong together: a second process waits, so that all are of one process.

    Args:
        folder: Created if needed.

    Raises:
        RunFolderError: If the folder cannot be written.
    """
    with naming_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".writing").open("w")
    with stream:
        # Not the lock of run folders: a search may work here for hours, and is not in the way.
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def remove_partial_files(folder: Path) -> None:
    """Delete what a killed process was writing in a folder; its caller must be the only writer there."""
    for path in folder.glob(f".*{_PARTIAL}"):
        path.unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PARTIAL)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN and infinity become null, which every reader understands."""
    write_text(path, json.dumps(finite(content), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Args:
        path: The file.

    Returns:
        What it holds.

    Raises:
        RunFolderError: If the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunFolderError(f"{path} does not exist") from None
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read ({error.strerror or error})") from None
    except RecursionError:
        raise RunFolderError(f"{path} is nested too deeply to be one of our files") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path} is not JSON ({error}); remove it and run again") from None


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write named tensors as safetensors, atomically; tied tensors are written once each."""
    seen: set[int] = set()
    kept: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        # The format refuses tensors that share memory.
        if value.untyped_storage().data_ptr() in seen:
            value = value.clone()
        seen.add(value.untyped_storage().data_ptr())
        kept[name] = value
    write_bytes(path, save(kept))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors.

    Args:
        path: A safetensors file.

    Returns:
        The tensors by name.

    Raises:
        RunFolderError: If the file is missing or damaged.
    """
    if not path.exists():
        raise RunFolderError(f"{path} does not exist")
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except Exception as error:
        raise RunFolderError(f"{path} is not a safetensors file ({error}); remove it and run again") from None
    return {name: torch.as_tensor(value) for name, value in tensors.items()}


def finite(content: Any) -> Any:
    """Replace NaN and infinity in nested content by None, which is what JSON can hold."""
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, dict):
        return {str(key): finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return content
