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
    explain: Annotated[
        int | None,
        typer.Option(
            metavar="INDEX", help="Say why this training example is drawn as it is; writes no page."
        ),
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Rebuild the HTML report of a run, or explain the probability of one example."""
    del debug  # read by the program before commands are
    if explain is not None:
        _explain(run, explain, as_json=as_json)
        return
    from localmin.reports import write_report

    page = write_report(run)
    print(json.dumps({"report": str(page)}) if as_json else f"report: {page}")


def _explain(run: Path, index: int, *, as_json: bool) -> None:
    from localmin.reports.explanation_text import explanation_lines
    from localmin.sampling.explanation import explain

    found = explain(run, index)
    print(json.dumps(found.to_dict(), allow_nan=False) if as_json else "\n".join(explanation_lines(found)))
