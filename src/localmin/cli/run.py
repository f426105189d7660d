"""`localmin run DATA`: search, train, certify, shrink; one page tells the whole story."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from localmin.cli import options

__all__ = ["run"]


def run(
    data: options.Data = "digits",
    optimizer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Train the recommended way once more by sgd, adam, adamw, langevin, underdamped or "
            "non-reversible; without it the search's own training is looked at.",
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option(metavar="T", help="Of the Langevin dynamics; 0 draws no noise.")
    ] = 0.0,
    points: Annotated[
        int, typer.Option(metavar="N", help="Training examples that certificate and reduction look at.")
    ] = 2000,
    test: options.Test = None,
    label: options.Label = None,
    clean_label: options.CleanLabel = None,
    kind: options.Kind = None,
    model: options.Model = None,
    noise: options.Noise = 0.0,
    noise_kind: options.NoiseKind = None,
    clean_validation: options.CleanValidation = False,
    imbalance: options.Imbalance = 1.0,
    limit: options.Limit = None,
    image_size: options.ImageSize = None,
    metric: options.MetricName = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    seeds: Annotated[str, typer.Option(metavar="SEEDS", help="Such as 0-4 or 0,3,7.")] = "0",
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="quick (2 to 3 trainings), standard (11) or paper (3).")
    ] = "quick",
    device: options.Device = "cpu",
    threads: options.Threads = None,
    out: options.Out = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Search a sampler for DATA, train with it, say where training ended and how small the network gets."""
    del debug  # read by the program before commands are
    from localmin.cli.optimizers import choose_optimizer
    from localmin.cli.session import choose_device, default_folder, open_request, use_threads
    from localmin.cli.terminal_progress import TerminalProgress, stderr_console
    from localmin.errors import InputError
    from localmin.sampling.settings import preset_settings
    from localmin.tasks.request import TaskRequest
    from localmin.workflow import run_everything

    chosen_seeds = options.parse_seeds(seeds)
    settings = preset_settings(preset)
    if points < 1:
        raise InputError(f"--points must be at least 1, got {points}")
    use_threads(threads)
    console = stderr_console()
    request = TaskRequest(
        data, test, label, model, noise, noise_kind, clean_validation, imbalance, limit, metric,  # type: ignore[arg-type]
        {"epochs": epochs, "batch_size": batch_size, "lr": lr}, image_size,
        kind, clean_label,
    )  # fmt: skip
    make_task = open_request(request, console)
    recipe = make_task(chosen_seeds[0]).recipe
    chosen = choose_optimizer(
        optimizer,
        lr=lr,
        temperature=temperature,
        momentum=recipe.momentum,
        seed=chosen_seeds[0],
        weight_decay=recipe.weight_decay,
    )
    folder = out or default_folder(data, preset, "run", request, settings, chosen_seeds, chosen, points)
    found = run_everything(
        make_task,
        chosen_seeds,
        settings=settings,
        out=folder,
        command=" ".join(["localmin", *sys.argv[1:]]),
        request=request,
        optimizer=chosen,
        limit=points,
        device=choose_device(device),
        progress=TerminalProgress(console, data),
    )
    if as_json:
        print(json.dumps(found.to_dict(), allow_nan=False))
        return
    from rich.console import Console

    from localmin.reports import render_summary, write_report
    from localmin.reports.afterwards import render_afterwards

    page = write_report(folder)
    terminal = Console()
    render_summary(found.search, terminal)
    render_afterwards(found.to_dict(), terminal)
    print(f"report: {page}")
