"""Where to write the names of single points, so that they hide neither each other nor the curves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from localmin.reports.plots.svg import text_width

__all__ = ["Box", "Label", "place_labels"]

_SIZE = 13.0
_ASCENT, _DESCENT = 10.0, 3.0
# Offsets of the baseline from the point, nearest and most usual first.
_OFFSETS = (
    (9.0, 4.5, "start"),
    (-9.0, 4.5, "end"),
    (0.0, -9.0, "middle"),
    (0.0, 19.0, "middle"),
    (8.0, -7.0, "start"),
    (8.0, 17.0, "start"),
    (-8.0, -7.0, "end"),
    (-8.0, 17.0, "end"),
    (9.0, -16.0, "start"),
    (9.0, 27.0, "start"),
    (-9.0, -16.0, "end"),
    (-9.0, 27.0, "end"),
)


@dataclass(frozen=True)
class Box:
    """A rectangle with ``left < right`` and ``top < bottom``, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """Compute the area that two rectangles share."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, down)


@dataclass(frozen=True)
class Label:
    """Where a name is written: position of its baseline, and its anchor."""

    x: float
    y: float
    anchor: str
    box: Box


def place_labels(
    spots: Sequence[tuple[float, float, str]], occupied: Iterable[Box], bounds: Box
) -> list[Label]:
    """Place one name beside each point, greedily, where it covers least.

    Args:
        spots: Points and their names.
        occupied: What should stay visible.
        bounds: The names lie inside.

    Returns:
        A label for each spot, in the same order.

    Example:
        >>> [label.anchor for label in place_labels([(50.0, 50.0, "a")], [], Box(0, 0, 100, 100))]
        ['start']
    """
    taken = [*occupied, *(Box(x - 4, y - 4, x + 4, y + 4) for x, y, _ in spots)]
    placed = []
    for x, y, name in spots:
        best = min(
            (_at(x, y, name, offset) for offset in _OFFSETS), key=lambda one: _cost(one, taken, bounds)
        )
        placed.append(best)
        taken.append(best.box)
    return placed


def _at(x: float, y: float, name: str, offset: tuple[float, float, str]) -> Label:
    across, down, anchor = offset
    width = text_width(name, size=_SIZE)
    start, baseline = x + across, y + down
    left = start - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
    return Label(start, baseline, anchor, Box(left, baseline - _ASCENT, left + width, baseline + _DESCENT))


def _cost(label: Label, taken: Sequence[Box], bounds: Box) -> float:
    box = label.box
    area = (box.right - box.left) * (box.bottom - box.top)
    outside = area - box.overlap(bounds)
    return 10 * outside + sum(box.overlap(other) for other in taken)
