"""`localmin report RUN`: write the page of a finished run anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from localmin.cli import options
from localmin.cli.printing import print_json

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
    if as_json:
        print_json({"report": str(page)})
    else:
        print(f"report: {page}")


def _explain(run: Path, index: int, *, as_json: bool) -> None:
    from localmin.reports.explanation_text import explanation_lines
    from localmin.sampling.explanation import explain

    found = explain(run, index)
    if as_json:
        print_json(found.to_dict())
    else:
        print("\n".join(explanation_lines(found)))
