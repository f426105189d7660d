"""Memory that runs out: told from other failures, and named with what to lower."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from localmin.errors import OutOfMemoryError

__all__ = ["describe_shortage", "is_shortage", "naming_shortage"]

# Torch raises a plain RuntimeError on the CPU, and one with a class of its own on a GPU.
_SIGNS = ("you tried to allocate", "out of memory", "can't allocate memory")
_AMOUNT = re.compile(r"allocate ([0-9.]+) ?([A-Za-z]+)")


def is_shortage(error: BaseException) -> bool:
    """Tell whether an error of Python, NumPy or torch says that memory ran out.

    Args:
        error: Any.

    Returns:
        Whether it does.

    Example:
        >>> is_shortage(MemoryError()), is_shortage(RuntimeError("shapes do not fit"))
        (True, False)
    """
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def describe_shortage(error: BaseException) -> str:
    """Say how much was asked for, where the error tells.

    Args:
        error: One for which `is_shortage` holds.

    Returns:
        A phrase.

    Example:
        >>> describe_shortage(RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ..."))
        'memory ran out when 20.00 GiB more were asked for'
        >>> describe_shortage(RuntimeError("you tried to allocate 1600000000 bytes. Error code 12"))
        'memory ran out when 1526 MiB more were asked for'
    """
    found = _AMOUNT.search(str(error))
    if found is None:
        return "memory ran out"
    amount, unit = found[1], found[2]
    # Torch counts bytes on the CPU; nobody reads thirteen digits.
    if unit == "bytes":
        amount, unit = f"{float(amount) / 2**20:.0f}", "MiB"
    return f"memory ran out when {amount} {unit} more were asked for"


@contextmanager
def naming_shortage(doing: str, remedy: str) -> Iterator[None]:
    """Turn an error that says that memory ran out into one that says what to do; others pass.

    Args:
        doing: What is being done, as in "while training".
        remedy: What to lower.

    Raises:
        OutOfMemoryError: If memory runs out.
        Exception: Any other, as it came.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemoryError) or not is_shortage(error):
            raise
        raise OutOfMemoryError(f"{describe_shortage(error)} {doing}; {remedy}") from error
