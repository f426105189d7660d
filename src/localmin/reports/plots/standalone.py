"""A figure as a file of its own: an SVG that brings its colours along, for light and for dark pages."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from localmin.charts import Chart, Figure, HeatMap
from localmin.errors import InputError
from localmin.reports.plots.figures import draw_figure
from localmin.tasks.storage import write_text

__all__ = ["standalone_svg", "write_svg"]

# Around the drawing, so that it stands on its own paper in pages of any colour.
_PADDING = 16


def standalone_svg(figure: Figure | Markup) -> str:
    """Make a picture that needs no page: its colours, light and dark, are inside, its text stays text.

    Args:
        figure: A chart, a heat map, or what `localmin.reports.plots` drew for wide and narrow pages; the wide
            drawing is taken.

    Returns:
        An SVG document; equal figures give equal bytes.

    Raises:
        InputError: If there is no wide drawing in it.

    Example:
        >>> from localmin.charts import Series
        >>> chart = Chart("decay", "Loss", "step", "loss", (Series("", (0, 1), (1.0, 0.5)),))
        >>> standalone_svg(chart).startswith('<svg xmlns="http://www.w3.org/2000/svg"')
        True
    """
    drawn = draw_figure(figure) if isinstance(figure, Chart | HeatMap) else figure
    found = re.search(r'<svg class="wide" viewBox="0 0 ([\d.]+) ([\d.]+)"(.*?)>(.*?)</svg>', drawn, re.DOTALL)
    if found is None:
        raise InputError("expected a figure drawn for wide and narrow pages, found no drawing for wide ones")
    width, height = float(found[1]), float(found[2])
    box = f"{-_PADDING} {-_PADDING} {width + 2 * _PADDING:g} {height + 2 * _PADDING:g}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="wide" viewBox="{box}"{found[3]}>'
    return f"{head}<style>{_style()}</style>{found[4]}</svg>\n"


def write_svg(figure: Figure | Markup, path: str | Path) -> Path:
    """Write `standalone_svg` into a file.

    Args:
        figure: As there.
        path: Of the file; its folder exists.

    Returns:
        The path.
    """
    place = Path(path)
    write_text(place, standalone_svg(figure))
    return place


def _style() -> str:
    """Take the colours and the rules of figures from the style sheet of reports."""
    sheet = files("localmin.reports").joinpath("templates", "page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)[:2]
    rules = [line for line in sheet.splitlines() if line.startswith("svg ")]
    return "\n".join(
        [
            f":root {{{light}}}",
            f"@media (prefers-color-scheme: dark) {{ :root {{{dark}}} }}",
            "svg { font-family: var(--sans); background: var(--paper); font-variant-numeric: tabular-nums; }",
            *rules,
        ]
    )
