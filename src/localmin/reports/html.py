"""The report of a run as one HTML file."""

from __future__ import annotations

from pathlib import Path

from localmin.reports.page import render_page
from localmin.reports.run_data import load_run
from localmin.tasks.storage import write_text

__all__ = ["write_report"]

_NAME = "report.html"


def write_report(run: str | Path) -> Path:
    """Write ``report.html`` into a run folder, from the files there alone.

    The page needs no network, no framework and no other file but ``dropped.csv``, to which it links. The
    same files give the same bytes. Every number is marked with its key in ``result.json``.

    Args:
        run: Folder of a finished search.

    Returns:
        The page.

    Raises:
        RunFolderError: If the folder holds no finished search or cannot be written.
    """
    folder = Path(run)
    page = folder / _NAME
    write_text(page, render_page(load_run(folder)))
    return page
