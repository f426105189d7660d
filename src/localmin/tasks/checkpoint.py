"""Progress of a long training on disk: nested state as JSON inside a safetensors file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from localmin.errors import RunFolderError
from localmin.tasks.storage import write_bytes

__all__ = ["CheckpointFile"]

_TENSOR = "__tensor__"
_PAIRS = "__pairs__"


class CheckpointFile:
    """Save nested state (dicts, lists, numbers, tensors) when it is due, and load it again.

    Nothing is pickled: a checkpoint from a stranger cannot run code.

    Args:
        path: Of the file.
        interval: Seconds between two saves; 0 saves at every opportunity.
    """

    def __init__(self, path: Path, *, interval: float = 60.0) -> None:
        self.path = path
        self.interval = interval
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Tell whether the interval has passed since the last save."""
        return time.monotonic() - self._last >= self.interval

    def save(self, state: dict[str, Any]) -> None:
        """Write the state atomically."""
        tensors: dict[str, Tensor] = {}
        tree = _flatten(state, tensors)
        write_bytes(self.path, save(tensors, metadata={"tree": json.dumps(tree)}))
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Read the state.

        Returns:
            The state, or None if there is no file.

        Raises:
            RunFolderError: If the file is damaged.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as stream:
                tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
                tree = json.loads(stream.metadata()["tree"])
        except Exception as error:
            raise RunFolderError(f"{self.path} is damaged ({error}); remove it and run again") from None
        state: dict[str, Any] = _unflatten(tree, tensors)
        return state

    def remove(self) -> None:
        """Delete the file, if it is there."""
        self.path.unlink(missing_ok=True)


def _flatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {_TENSOR: name}
    if isinstance(value, dict):
        # Optimiser states have integer keys, which JSON objects would turn into strings.
        return {_PAIRS: [[key, _flatten(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_flatten(item, tensors) for item in value]
    return value


def _unflatten(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, dict):
        if _TENSOR in tree:
            return torch.as_tensor(tensors[tree[_TENSOR]])
        return {key: _unflatten(item, tensors) for key, item in tree[_PAIRS]}
    if isinstance(tree, list):
        return [_unflatten(item, tensors) for item in tree]
    return tree
