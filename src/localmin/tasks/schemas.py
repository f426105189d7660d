"""Versions of the JSON files that localmin writes, and how older ones become what this version reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from localmin.errors import RunFolderError
from localmin.tasks.storage import read_json, write_json

__all__ = ["SCHEMAS", "current", "read_versioned", "versioned", "write_versioned"]

# Current version of each kind of file. A change that an older reader would misunderstand raises it, and puts
# a step into `_STEPS`; a new entry that older readers may ignore does not.
SCHEMAS = dict.fromkeys(
    (
        "certificate", "claims", "comparison", "ending", "figures", "model", "policy", "reduction", "search",
        "shrinking", "split", "task", "training",
    ),
    1,
)  # fmt: skip

_Step = Callable[[dict[str, Any]], dict[str, Any]]


def _unversioned(content: dict[str, Any]) -> dict[str, Any]:
    """Take files from before versions were written down: they have the shape of version 1."""
    return content


# Written with a version from the start.
_ALWAYS_VERSIONED = ("claims", "policy", "search")
# From version k to k + 1.
_STEPS: dict[tuple[str, int], _Step] = {
    (kind, 0): _unversioned for kind in SCHEMAS if kind not in _ALWAYS_VERSIONED
}


def versioned(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """Put the version of its kind in front of a JSON object.

    Args:
        kind: A key of `SCHEMAS`.
        content: JSON types.

    Returns:
        The object with ``"schema"``.
    """
    return {"schema": SCHEMAS[kind], **content}


def current(stored: object, kind: str, *, name: str) -> dict[str, Any]:
    """Bring a JSON object to the current version of its kind.

    Args:
        stored: What was read.
        kind: A key of `SCHEMAS`.
        name: Where it was read from, for messages.

    Returns:
        The object without its version; ``stored`` is not changed.

    Raises:
        RunFolderError: If it is no object, has no version that can be, or one of a newer localmin.
    """
    if not isinstance(stored, dict):
        raise RunFolderError(f"{name} is damaged (an object was expected); repeat the command that wrote it")
    content: dict[str, Any] = dict(stored)
    version = content.pop("schema", 0)
    first = 1 if kind in _ALWAYS_VERSIONED else 0
    if not isinstance(version, int) or isinstance(version, bool) or version < first:
        raise RunFolderError(f"{name} is damaged (schema {version!r:.40}); repeat the command that wrote it")
    if version > SCHEMAS[kind]:
        raise RunFolderError(f"{name} was written by a newer localmin (schema {version}); upgrade localmin")
    for step in range(version, SCHEMAS[kind]):
        content = _STEPS[kind, step](content)
    return content


def write_versioned(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Write a JSON object with the version of its kind, atomically.

    Args:
        path: Where to.
        kind: A key of `SCHEMAS`.
        content: JSON types.
    """
    write_json(path, versioned(kind, content))


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
    return current(read_json(path), kind, name=str(path))
