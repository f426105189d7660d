"""A sampler's state as files in a framework's checkpoint folder: JSON, with the weights as safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from localmin.errors import RunFolderError
from localmin.tasks.storage import write_json, write_tensors

__all__ = ["read_state", "write_state"]

_NUMBERS = "weighted_sampler.json"
_WEIGHTS = "weighted_sampler.safetensors"


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write a sampler's state into a folder.

    Args:
        folder: An existing folder.
        state: What a sampler's ``checkpoint`` gave.
    """
    tensors = {key: value.clone() for key, value in state.items() if isinstance(value, Tensor)}
    if tensors:
        write_tensors(folder / _WEIGHTS, tensors)
    numbers = {key: value for key, value in state.items() if key not in tensors}
    write_json(folder / _NUMBERS, numbers)


def read_state(folder: Path) -> dict[str, Any]:
    """Read what `write_state` wrote.

    Args:
        folder: The folder.

    Returns:
        The state, for a sampler's ``load_state_dict``.

    Raises:
        RunFolderError: If the folder holds no such state.
    """
    try:
        state: dict[str, Any] = json.loads((folder / _NUMBERS).read_text())
        if (folder / _WEIGHTS).exists():
            state |= load_file(folder / _WEIGHTS)
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"{folder}: no state of a weighted sampler ({error}); resume from a checkpoint that has one"
        ) from error
    return state
