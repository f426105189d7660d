"""`localmin report RUN`: write the page of a finished run anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from localmin.cli import options

__all__ = ["report"]


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of a search.")],
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Rebuild the HTML report of a run."""
    del debug  # read by the program before commands are
    from localmin.reports import write_report

    page = write_report(run)
    print(json.dumps({"report": str(page)}) if as_json else f"report: {page}")
