"""Sphinx settings: strict, offline."""

from importlib import metadata

project = "localmin"
author = "the localmin developers"
copyright = "2026, the localmin developers"
release = version = metadata.version("localmin")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autosummary_generate = True
napoleon_google_docstring = True
napoleon_custom_sections = ["Source", "Cost"]
default_role = "code"
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "localmin"
# Nothing is fetched while building: no intersphinx, no remote fonts.
suppress_warnings = ["autosummary.import_cycle"]
