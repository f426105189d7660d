"""A small canvas that writes SVG, drawn once for wide and once for narrow pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from markupsafe import Markup, escape

__all__ = ["NARROW", "WIDE", "Canvas", "both_widths"]

WIDE, NARROW = 720, 340


class Canvas:
    """Collect shapes; colours and fonts come from the page's style sheet by class name.

    Args:
        width: In user units; text of 12 units is legible when the drawing is shown at this many pixels.
        height: In user units.
        name: Unique on the page; the width is added to it.
        title: What the figure is.
        description: What it shows, for those who cannot see it.
    """

    def __init__(self, width: float, height: float, *, name: str, title: str, description: str) -> None:
        self.width, self.height = width, height
        self.name, self.title, self.description = f"{name}-{width:.0f}", title, description
        self._parts: list[str] = []

    @property
    def is_narrow(self) -> bool:
        """Whether this is the drawing for telephones."""
        return self.width <= NARROW

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """Draw a straight line."""
        self._parts.append(f'<line class="{kind}" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>')

    def rect(
        self, x: float, y: float, width: float, height: float, kind: str, *, round_by: float = 0
    ) -> None:
        """Draw a rectangle."""
        corner = f' rx="{_n(round_by)}"' if round_by else ""
        size = f'width="{_n(width)}" height="{_n(height)}"'
        self._parts.append(f'<rect class="{kind}" x="{_n(x)}" y="{_n(y)}" {size}{corner}/>')

    def circle(self, x: float, y: float, radius: float, kind: str, *, hint: str = "") -> None:
        """Draw a disc; the hint appears under a resting pointer."""
        inside = f"<title>{escape(hint)}</title>" if hint else ""
        self._parts.append(
            f'<circle class="{kind}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}">{inside}</circle>'
        )

    def path(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """Draw a polygonal line."""
        steps = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._parts.append(f'<polyline class="{kind}" points="{steps}"/>')

    def squares(self, corners: Iterable[tuple[float, float]], width: float, height: float, kind: str) -> None:
        """Draw equal rectangles as one shape, for maps of many cells."""
        steps = "".join(f"M{_n(x)} {_n(y)}h{_n(width)}v{_n(height)}h-{_n(width)}z" for x, y in corners)
        if steps:
            self._parts.append(f'<path class="{kind}" d="{steps}"/>')

    def cross(self, x: float, y: float, radius: float, kind: str) -> None:
        """Draw a diagonal cross."""
        self.line(x - radius, y - radius, x + radius, y + radius, kind)
        self.line(x - radius, y + radius, x + radius, y - radius, kind)

    def image(self, x: float, y: float, side: float, source: str, *, label: str) -> None:
        """Place a square image given as a data URI; enlarged pixels stay squares."""
        self._parts.append(
            f'<image class="pixels" x="{_n(x)}" y="{_n(y)}" width="{_n(side)}" height="{_n(side)}" '
            f'href="{escape(source)}"><title>{escape(label)}</title></image>'
        )

    def text(self, x: float, y: float, content: str, kind: str = "", *, anchor: str = "start") -> None:
        """Write text with its baseline at ``y``; the anchor is ``start``, ``middle`` or ``end``."""
        named = f' class="{kind}"' if kind else ""
        self._parts.append(
            f'<text{named} x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{escape(content)}</text>'
        )

    def vertical_text(self, x: float, y: float, content: str, kind: str = "") -> None:
        """Write text that reads upwards, centred on ``y``."""
        self._parts.append(
            f'<text class="{kind}" transform="translate({_n(x)} {_n(y)}) rotate(-90)" '
            f'text-anchor="middle">{escape(content)}</text>'
        )

    def markup(self, *, kind: str) -> Markup:
        """Join everything into one element."""
        head = (
            f'<svg class="{kind}" viewBox="0 0 {_n(self.width)} {_n(self.height)}" role="img" '
            f'aria-labelledby="{self.name}-title {self.name}-description">'
            f'<title id="{self.name}-title">{escape(self.title)}</title>'
            f'<desc id="{self.name}-description">{escape(self.description)}</desc>'
        )
        return Markup(head + "".join(self._parts) + "</svg>")


def both_widths(draw: Callable[[int], Canvas]) -> Markup:
    """Draw a figure for wide and for narrow pages; the style sheet shows one of them."""
    return draw(WIDE).markup(kind="wide") + draw(NARROW).markup(kind="narrow")


def text_width(content: str, *, size: float = 12) -> float:
    """Estimate how wide text will be; used to keep labels apart."""
    return 0.56 * size * len(content)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
