"""`localmin search DATA`: the main job."""

from __future__ import annotations

from localmin.cli import options
from localmin.cli.execution import ExecutionOptions, open_executor
from localmin.cli.option_groups import expand_groups
from localmin.cli.printing import print_json

__all__ = ["search"]


@expand_groups
def search(
    data: options.Data = "digits",
    *,
    seeds: options.Seeds = "0",
    preset: options.Preset = "standard",
    reading: options.DataOptions,
    recipe: options.RecipeOptions,
    changes: options.SearchOptions,
    execution: ExecutionOptions,
    device: options.Device = "cpu",
    threads: options.Threads = None,
    out: options.Out = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Search a data sampler for DATA, train with it, and show what it bought."""
    del debug  # read by the program before commands are
    from localmin.cli.session import choose_device, default_folder, open_request, typed_command, use_threads
    from localmin.cli.terminal_progress import TerminalProgress, stderr_console
    from localmin.sampling.seeds import search_seeds
    from localmin.tasks.data_parallel import data_parallel
    from localmin.tasks.seed_lists import parse_seeds

    chosen_seeds = parse_seeds(seeds)
    settings = changes.settings(preset)
    use_threads(threads)
    console = stderr_console()
    request = reading.request(data, recipe)
    with data_parallel(device=choose_device(device)) as leads:
        if not leads:
            return
        make_task = open_request(request, console)
        folder = out or default_folder(data, preset, request, settings, chosen_seeds)
        with open_executor(execution, threads=threads) as executor:
            summary, _ = search_seeds(
                make_task,
                chosen_seeds,
                settings=settings,
                command=typed_command(execution.storage),
                request=request,
                out=folder,
                device=choose_device(device),
                executor=executor,
                together=execution.together,
                storage=execution.storage,
                progress=TerminalProgress(console, data),
            )
    if as_json:
        print_json(summary)
        return
    from rich.console import Console

    from localmin.reports import render_summary, write_report

    page = write_report(folder)
    render_summary(summary, Console())
    print(f"report: {page}")
