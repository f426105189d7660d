"""`localmin run DATA`: search, train, certify, shrink; one page tells the whole story."""

from __future__ import annotations

from typing import Annotated

import typer

from localmin.cli import options
from localmin.cli.execution import ExecutionOptions, open_executor
from localmin.cli.optimizers import DynamicsOptions, optimizer_for
from localmin.cli.option_groups import expand_groups
from localmin.cli.printing import print_json

__all__ = ["run"]


@expand_groups
def run(
    data: options.Data = "digits",
    *,
    points: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Training examples that certificate and reduction look at."),
    ] = 2000,
    seeds: options.Seeds = "0",
    preset: options.Preset = "quick",
    reading: options.DataOptions,
    recipe: options.RecipeOptions,
    changes: options.SearchOptions,
    dynamics: DynamicsOptions,
    execution: ExecutionOptions,
    device: options.Device = "cpu",
    threads: options.Threads = None,
    out: options.Out = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Search a sampler for DATA, train with it, say where training ended and how small the network gets.

    With --optimizer the recommended way is trained once more by that dynamics; without it the search's own
    training is looked at.
    """
    del debug  # read by the program before commands are
    from localmin.cli.session import choose_device, default_folder, open_request, typed_command, use_threads
    from localmin.cli.terminal_progress import TerminalProgress, stderr_console
    from localmin.tasks.data_parallel import data_parallel
    from localmin.tasks.seed_lists import parse_seeds
    from localmin.workflow import run_everything

    chosen_seeds = parse_seeds(seeds)
    settings = changes.settings(preset)
    use_threads(threads)
    console = stderr_console()
    request = reading.request(data, recipe)
    with data_parallel(device=choose_device(device)) as leads:
        if not leads:
            return
        make_task = open_request(request, console)
        optimizer = optimizer_for(dynamics, make_task(chosen_seeds[0]), lr=recipe.lr, seed=chosen_seeds[0])
        folder = out or default_folder(
            data, preset, "run", request, settings, chosen_seeds, optimizer, points
        )
        with open_executor(execution, threads=threads) as executor:
            found = run_everything(
                make_task,
                chosen_seeds,
                settings=settings,
                out=folder,
                command=typed_command(execution.storage),
                request=request,
                optimizer=optimizer,
                limit=points,
                device=choose_device(device),
                executor=executor,
                together=execution.together,
                storage=execution.storage,
                progress=TerminalProgress(console, data),
            )
    if as_json:
        print_json(found.to_dict())
        return
    from rich.console import Console

    from localmin.reports import render_summary, write_report
    from localmin.reports.afterwards import render_afterwards

    page = write_report(folder)
    terminal = Console()
    render_summary(found.search, terminal)
    render_afterwards(found.to_dict(), terminal)
    print(f"report: {page}")
