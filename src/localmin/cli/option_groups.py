"""Options that belong together as one parameter of a command, instead of a list repeated in each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

__all__ = ["expand_groups"]

R = TypeVar("R")


def expand_groups(command: Callable[..., R]) -> Callable[..., R]:
    """Let a command take dataclasses of options.

    The command line sees each field of such a dataclass as an option of its own; the command gets one object.

    Args:
        command: Any parameter annotated with a dataclass is a group; its fields are annotated for typer and
            have defaults.

    Returns:
        The command with a flat signature.

    Raises:
        TypeError: If two parameters would give the same option.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Size:
        ...     width: int = 3
        ...     height: int = 4
        >>> @expand_groups
        ... def area(size: Size, times: int = 1) -> int:
        ...     return size.width * size.height * times
        >>> list(inspect.signature(area).parameters), area(height=5)
        (['width', 'height', 'times'], 15)
    """
    own = inspect.signature(command, eval_str=True).parameters
    groups: dict[str, Any] = {
        name: each.annotation for name, each in own.items() if is_dataclass(each.annotation)
    }
    flat = [part for name, each in own.items() for part in _parameters(each, groups.get(name))]
    names = [each.name for each in flat]
    if twice := {name for name in names if names.count(name) > 1}:
        raise TypeError(f"options given twice: {', '.join(sorted(twice))}")

    def flat_command(**given: Any) -> R:
        for name, group in groups.items():
            members = {field.name for field in fields(group)} & given.keys()
            given[name] = group(**{member: given.pop(member) for member in members})
        return command(**given)

    flat_command.__name__, flat_command.__doc__ = command.__name__, command.__doc__
    flat_command.__module__ = command.__module__
    flat_command.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    flat_command.__annotations__ = {each.name: each.annotation for each in flat}
    return flat_command


def _parameters(parameter: inspect.Parameter, group: Any) -> list[inspect.Parameter]:
    if group is None:
        return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
