"""The report of a run as one HTML file."""

from __future__ import annotations

from pathlib import Path

from localmin.errors import LocalminError, RunFolderError
from localmin.reports.page import render_page
from localmin.reports.run_data import load_run
from localmin.tasks.storage import write_text

__all__ = ["write_report"]

_NAME = "report.html"
# What values of a wrong kind in files that were damaged or edited by hand lead to; --debug shows where.
_UNFIT = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError)


def write_report(run: str | Path) -> Path:
    """Write ``report.html`` into a run folder, from the files there alone.

    The page needs no network, no framework and no other file but ``dropped.csv``, to which it links. The
    same files give the same bytes. Every number is marked with its key in ``result.json``.

    Args:
        run: Folder of a finished search.

    Returns:
        The page.

    Raises:
        RunFolderError: If the folder holds no finished search, its files do not fit together, or it cannot
            be written.
        LocalminError: What else reading the files can raise.
    """
    folder = Path(run)
    try:
        content = render_page(load_run(folder))
    except LocalminError:
        raise
    except _UNFIT as error:
        raise RunFolderError(
            f"the files of {folder} do not fit together ({type(error).__name__}: {error}); repeat the run's "
            "command to write them anew"
        ) from error
    page = folder / _NAME
    write_text(page, content)
    return page
