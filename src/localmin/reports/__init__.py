"""From a result to something a person reads: terminal table, Markdown, one-file HTML page.

Nothing here computes results: every number comes from ``result.json``, and remembers under which name.
"""

from localmin.reports.html import write_report
from localmin.reports.markdown import render_markdown
from localmin.reports.terminal import render_summary

__all__ = ["render_markdown", "render_summary", "write_report"]
