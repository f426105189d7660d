"""Frozen dataclasses from JSON that may have been damaged or written by a newer version."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from localmin.errors import RunFolderError

__all__ = ["from_stored"]

T = TypeVar("T")


def from_stored(kind: type[T], stored: Any, path: Path) -> T:
    """Build a dataclass from a JSON object whose values have the types that the fields ask for.

    Args:
        kind: A dataclass of JSON types; nested objects stay dictionaries.
        stored: What the file holds.
        path: Of the file, for the message.

    Returns:
        An instance.

    Raises:
        RunFolderError: If the object is none, has unknown fields, or a value of another type.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Pair:
        ...     name: str
        ...     size: float | None = None
        >>> from_stored(Pair, {"name": "a", "size": 2}, Path("pair.json"))
        Pair(name='a', size=2)
    """
    if not isinstance(stored, dict):
        raise RunFolderError(f"{path} is damaged (an object was expected); repeat the command of the run")
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(stored) - known)
    if unknown:
        raise RunFolderError(
            f"{path} was written by a newer localmin ({', '.join(unknown)}); upgrade localmin"
        )
    hints = get_type_hints(kind)
    for name, value in stored.items():
        if not _fits(value, hints[name]):
            raise RunFolderError(
                f"{path} is damaged ({name} is {value!r:.60}); repeat the command of the run"
            )
    try:
        return kind(**stored)
    except TypeError as error:
        raise RunFolderError(f"{path} is damaged ({error}); repeat the command of the run") from None


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if origin is Literal:
        return any(value is option or value == option for option in get_args(hint))
    if hint is Any:
        return True
    if hint in (None, NoneType):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)
