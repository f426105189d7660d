"""Versions of the JSON files in a run folder, and how older ones become what this version reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from localmin.errors import RunFolderError
from localmin.tasks.storage import read_json, write_json

__all__ = ["SCHEMAS", "read_versioned", "write_versioned"]

# Current version of each kind of file. A change that an older reader would misunderstand raises it, and puts
# a step into `_STEPS`; a new entry that older readers may ignore does not.
SCHEMAS = {"task": 1, "model": 1, "ending": 1, "shrinking": 1}

_Step = Callable[[dict[str, Any]], dict[str, Any]]


def _unversioned(content: dict[str, Any]) -> dict[str, Any]:
    """Take files from before versions were written down: they have the shape of version 1."""
    return content


# From version k to k + 1.
_STEPS: dict[tuple[str, int], _Step] = {(kind, 0): _unversioned for kind in SCHEMAS}


def write_versioned(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write a JSON object with the version of its kind, atomically.

    Args:
        path: Where to.
        kind: A key of `SCHEMAS`.
        content: JSON types.
    """
    write_json(path, {"schema": SCHEMAS[kind], **content})


def read_versioned(path: Path, kind: str) -> dict[str, Any]:
    """Read a JSON object and bring it to the current version of its kind.

    Args:
        path: The file.
        kind: A key of `SCHEMAS`.

    Returns:
        The object without its version.

    Raises:
        RunFolderError: If the file is damaged, no object, or of a newer localmin.
    """
    stored = read_json(path)
    if not isinstance(stored, dict):
        raise RunFolderError(f"{path} is damaged (an object was expected); repeat the command of the run")
    content: dict[str, Any] = stored
    version = content.pop("schema", 0)
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise RunFolderError(f"{path} is damaged (schema {version!r:.40}); repeat the command of the run")
    if version > SCHEMAS[kind]:
        raise RunFolderError(f"{path} was written by a newer localmin (schema {version}); upgrade localmin")
    for step in range(version, SCHEMAS[kind]):
        content = _STEPS[kind, step](content)
    return content
