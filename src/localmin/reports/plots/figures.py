"""Draw any figure that was described as data."""

from __future__ import annotations

from markupsafe import Markup

from localmin.charts import Chart, Figure
from localmin.reports.plots.chart import chart_figure
from localmin.reports.plots.heat_map import heat_map_figure

__all__ = ["draw_figure"]


def draw_figure(figure: Figure) -> Markup:
    """Draw a chart or a heat map for wide and for narrow pages.

    Args:
        figure: What to show.

    Returns:
        SVG; the style sheet of the page has its colours.
    """
    return chart_figure(figure) if isinstance(figure, Chart) else heat_map_figure(figure)
