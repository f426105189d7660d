"""`localmin track RUN --to TRACKER`: send a finished run to an experiment tracker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from localmin.cli import options
from localmin.cli.printing import print_json

__all__ = ["track"]


def track(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of a search.")],
    to: Annotated[
        str, typer.Option(metavar="TRACKER", help="jsonl, tensorboard, wandb (offline) or mlflow (local).")
    ] = "jsonl",
    directory: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Where the tracker keeps its files.")
    ] = Path("tracking"),
    project: Annotated[str, typer.Option(metavar="NAME", help="Project or experiment.")] = "localmin",
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Send trials, losses, scores and files of a finished run to a tracker; nothing goes over a network."""
    del debug  # read by the program before commands are
    from localmin.integrations.trackers import export_run

    count = export_run(run, to, directory=directory, project=project)
    if as_json:
        print_json({"tracker": to, "directory": str(directory), "num_measurements": count})
    else:
        print(f"{count} measurements sent to {to} in {directory}")
