"""The style sheet tells the looks of series apart."""

import re
from importlib.resources import files

import pytest

LOOKS = ("accent", "muted", "dashed", "plain-0", "plain-1", "plain-2", "plain-3")
SHEET = files("localmin.reports").joinpath("templates", "page.css").read_text(encoding="utf-8")


def look_of(mark: str, look: str) -> tuple[tuple[str, str], ...]:
    """Collect what the rules for a mark in a look say, the later ones over the earlier."""
    found: dict[str, str] = {}
    for selectors, body in re.findall(r"^(svg [^{]*)\{([^}]*)\}", SHEET, re.MULTILINE):
        names = [selector.strip() for selector in selectors.split(",")]
        if f"svg .{mark}" in names or f"svg .{mark}.{look}" in names:
            found |= dict(re.findall(r"([\w-]+):\s*([^;]+);", body))
    return tuple(sorted(found.items()))


@pytest.mark.parametrize("mark", ["column", "series"])
def test_no_two_looks_are_the_same(mark: str) -> None:
    assert len({look_of(mark, look) for look in LOOKS}) == len(LOOKS)
