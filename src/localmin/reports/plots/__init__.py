"""Figures as SVG: text stays text, colours are classes of the page, equal input gives equal bytes."""

from localmin.reports.plots.comparison import comparison_figure
from localmin.reports.plots.feature_plane import plane_figure
from localmin.reports.plots.figures import draw_figure
from localmin.reports.plots.image_sheet import image_sheet
from localmin.reports.plots.policy_curve import curve_figure
from localmin.reports.plots.policy_map import map_figure
from localmin.reports.plots.search_path import search_figure
from localmin.reports.plots.standalone import standalone_svg, write_svg

__all__ = [
    "comparison_figure",
    "curve_figure",
    "draw_figure",
    "image_sheet",
    "map_figure",
    "plane_figure",
    "search_figure",
    "standalone_svg",
    "write_svg",
]
