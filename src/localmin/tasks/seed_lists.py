"""Lists of seeds as people type them."""

from __future__ import annotations

from localmin.errors import InputError

__all__ = ["parse_seeds"]


def parse_seeds(text: str) -> list[int]:
    """Read seeds: ``"3"``, ``"0-4"``, ``"0,2,5-7"``.

    Args:
        text: As typed.

    Returns:
        The seeds in order.

    Raises:
        InputError: If the text is not of that form.

    Example:
        >>> parse_seeds("0-2,7")
        [0, 1, 2, 7]
    """
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.strip().partition("-")
            seeds += range(int(first), int(last) + 1) if dash else [int(first)]
    except ValueError:
        seeds = []
    if not seeds:
        raise InputError(f"--seeds expects numbers and ranges such as 0-4 or 0,3,7, got {text!r}")
    return seeds
