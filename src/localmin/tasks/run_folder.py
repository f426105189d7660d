"""A folder that holds a job's finished stages, so that a killed job goes on where it was."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from localmin.errors import RunFolderError
from localmin.tasks.checkpoint import CheckpointFile
from localmin.tasks.examples import Examples
from localmin.tasks.storage import (
    finite,
    naming_write_errors,
    read_json,
    read_tensors,
    remove_partial_files,
    write_json,
    write_tensors,
)
from localmin.tasks.task import Task

__all__ = ["RunFolder", "Stage", "fingerprint", "task_identity"]

Stage = tuple[dict[str, Any], dict[str, Tensor]]

_IDENTITY = "run.json"
_MAX_HASHED_BYTES = 2**26


class RunFolder:
    """Compute each named stage once; later calls, in this process or the next, read what was written.

    A stage is a pair of JSON content and named tensors. It counts as done when its JSON file is there,
    which is written last. Without a path nothing is stored and every stage is computed.

    Args:
        path: The folder, created if needed; None stores nothing.
        identity: What job this is; a folder made for another job is refused.

    Raises:
        RunFolderError: If the folder belongs to another job, or another process works in it.
    """

    def __init__(self, path: Path | None, identity: dict[str, Any]) -> None:
        self.path = path
        self._lock: TextIO | None = None
        if path is None:
            return
        with naming_write_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(path)
            # Nobody else works here now, so what is half-written is from a process that was killed.
            remove_partial_files(path)
            remove_partial_files(path / "stages")
        try:
            self._identify(path, identity)
        except BaseException:
            self.close()
            raise

    def _identify(self, path: Path, identity: dict[str, Any]) -> None:
        """Write down what job this is, or compare with what stands there."""
        stored = path / _IDENTITY
        # Compare what JSON keeps: tuples become lists.
        wanted = json.loads(json.dumps(identity))
        if not stored.exists():
            write_json(stored, wanted)
            return
        found = read_json(stored)
        if found != wanted:
            raise RunFolderError(
                f"{path} holds the run of another job ({_difference(found, wanted)}); give another "
                "--out, or remove the folder"
            )

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes work in the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def once(self, name: str, compute: Callable[[], Stage]) -> Stage:
        """Give a stage, computing it only if it is not stored.

        Args:
            name: Of the stage; a file name.
            compute: Gives JSON content and tensors; must be deterministic.

        Returns:
            The stage; its JSON content as it is after a round trip, so that a resumed job sees the same.
        """
        kept = self.stored(name)
        return self.keep(name, compute()) if kept is None else kept

    def stored(self, name: str) -> Stage | None:
        """Read a stage; None if it is not there."""
        if self.path is None:
            return None
        stem = self.path / "stages" / name
        if not stem.with_suffix(".json").exists():
            return None
        found = read_json(stem.with_suffix(".json"))
        kept = read_tensors(stem.with_suffix(".safetensors")) if found["has_tensors"] else {}
        return found["content"], kept

    def keep(self, name: str, stage: Stage) -> Stage:
        """Store a stage that was computed, and give it as a resumed job will see it."""
        content, tensors = stage
        if self.path is None:
            # As it would come back from a file, so that a search in memory equals one in a folder.
            return json.loads(json.dumps(finite(content))), tensors
        stem = self.path / "stages" / name
        if tensors:
            write_tensors(stem.with_suffix(".safetensors"), tensors)
        write_json(stem.with_suffix(".json"), {"content": content, "has_tensors": bool(tensors)})
        self.checkpoint(name, remove=True)
        kept = self.stored(name)
        assert kept is not None  # it was just written
        return kept

    def checkpoint(self, name: str, *, remove: bool = False) -> CheckpointFile | None:
        """Give the file in which a stage may save its progress; None if nothing is stored."""
        if self.path is None:
            return None
        file = CheckpointFile(self.path / "stages" / f"{name}.progress.safetensors")
        if remove:
            file.remove()
        return file


def fingerprint(examples: Examples) -> str:
    """Hash examples, so that a folder can tell its own data from others.

    At most 64 MiB of the inputs are read, evenly spaced.

    Args:
        examples: Any.

    Returns:
        16 hexadecimal digits.

    Example:
        >>> examples = Examples(torch.zeros(2, 1), torch.tensor([0, 1]))
        >>> fingerprint(examples) == fingerprint(examples.with_labels(torch.tensor([1, 1])))
        False
    """
    digest = hashlib.sha256()
    digest.update(str((tuple(examples.inputs.shape), str(examples.inputs.dtype))).encode())
    size = examples.inputs[:1].numel() * examples.inputs.element_size() * len(examples)
    step = max(1, -(-size // _MAX_HASHED_BYTES))
    digest.update(examples.inputs[::step].contiguous().cpu().view(torch.uint8).numpy().tobytes())
    digest.update(examples.labels.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def task_identity(task: Task) -> dict[str, Any]:
    """Describe a task so that another one is recognised: settings, data, clean labels, network, loss.

    Args:
        task: Any.

    Returns:
        JSON types.
    """
    # A factory's name says little about one's own network; its parameters' names and shapes say more.
    network = [(name, list(value.shape)) for name, value in task.build_model(0).state_dict().items()]
    clean = task.clean_train_labels
    return task.to_dict() | {
        "data": {part: fingerprint(examples) for part, examples in task.parts().items()},
        "clean labels": None if clean is None else _digest(clean.cpu().numpy().tobytes()),
        "network": _digest(json.dumps(network).encode()),
        "loss": getattr(task.loss, "__qualname__", type(task.loss).__qualname__),
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _locked(path: Path) -> TextIO:
    stream = (path / ".lock").open("w")
    try:
        # The system releases the lock when the process ends, however it ends.
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        raise RunFolderError(
            f"another process is working in {path}; wait for it or give another --out"
        ) from None
    return stream


def _difference(found: Any, wanted: dict[str, Any]) -> str:
    if not isinstance(found, dict):
        return "its run.json is damaged"
    for key, value in wanted.items():
        if found.get(key) != value:
            old, new = found.get(key), value
            if isinstance(old, dict) and isinstance(new, dict):
                return f"{key}: {_difference(old, new)}"
            return f"{key} is {old!r} there and {new!r} here"
    return "it has other settings"
