"""`localmin search DATA`: the main job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from localmin.cli import options

__all__ = ["search"]


def search(
    data: options.Data = "digits",
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
        str, typer.Option(metavar="NAME", help="standard (11 trainings), quick (2 to 3) or paper (3).")
    ] = "standard",
    form: options.Form = None,
    transform: Annotated[str | None, typer.Option(metavar="NAME", help="cdf or cgf.")] = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="sampler-process, optuna-gp, tpe, random or policy-gradient."),
    ] = None,
    guard: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, halves, four-fifths or none.")
    ] = None,
    trials: Annotated[int | None, typer.Option(metavar="K", help="Trials in all, uniform included.")] = None,
    start: Annotated[
        list[Path] | None,
        typer.Option(metavar="POLICY", help="Try this policy of an earlier search too; may be repeated."),
    ] = None,
    rounds: Annotated[int | None, typer.Option(metavar="R", help="Rounds; features are new in each.")] = None,
    device: options.Device = "cpu",
    threads: options.Threads = None,
    workers: options.Workers = None,
    together: options.Together = 1,
    ray: options.Ray = None,
    gpu_share: options.GpuShare = None,
    storage: options.Storage = None,
    out: options.Out = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Search a data sampler for DATA, train with it, and show what it bought."""
    del debug  # read by the program before commands are
    from localmin.cli.execution import open_executor
    from localmin.cli.session import choose_device, default_folder, open_request, use_threads
    from localmin.cli.terminal_progress import TerminalProgress, stderr_console
    from localmin.sampling.seeds import search_seeds
    from localmin.sampling.settings import preset_settings
    from localmin.sampling.starts import with_starts
    from localmin.tasks.data_parallel import data_parallel
    from localmin.tasks.request import TaskRequest

    chosen_seeds = options.parse_seeds(seeds)
    settings = preset_settings(
        preset, form=form, transform=transform, engine=engine, guard=guard, trials=trials, rounds=rounds
    )
    settings = with_starts(settings, start or [])
    use_threads(threads)
    console = stderr_console()
    request = TaskRequest(
        data, test, label, model, noise, noise_kind, clean_validation, imbalance, limit, metric,  # type: ignore[arg-type]
        {"epochs": epochs, "batch_size": batch_size, "lr": lr}, image_size,
        kind, clean_label,
    )  # fmt: skip
    with data_parallel(device=choose_device(device)) as leads:
        if not leads:
            return
        make_task = open_request(request, console)
        folder = out or default_folder(data, preset, request, settings, chosen_seeds)
        with open_executor(workers, ray, gpu_share=gpu_share, threads=threads) as executor:
            summary, _ = search_seeds(
                make_task,
                chosen_seeds,
                settings=settings,
                command=options.typed_command(storage),
                request=request,
                out=folder,
                device=choose_device(device),
                executor=executor,
                together=together,
                storage=storage,
                progress=TerminalProgress(console, data),
            )
    if as_json:
        print(json.dumps(summary, allow_nan=False))
        return
    from rich.console import Console

    from localmin.reports import render_summary, write_report

    page = write_report(folder)
    render_summary(summary, Console())
    print(f"report: {page}")
