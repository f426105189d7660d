"""`localmin train DATA --policy policy.json`: train with a policy that was found before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from localmin.cli import options

__all__ = ["train"]


def train(
    data: options.Data = "digits",
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="policy.json, or the run folder of a search.")
    ] = None,
    transfer: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="recompute (the ten numbers), tables (the knots too), probabilities (of a run folder).",
        ),
    ] = "recompute",
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Place examples anew after each epoch, by this very training."),
    ] = False,
    optimizer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="sgd, adam, adamw, langevin, underdamped or non-reversible."),
    ] = None,
    temperature: Annotated[
        float, typer.Option(metavar="T", help="Of the Langevin dynamics; 0 draws no noise.")
    ] = 0.0,
    cooling: Annotated[
        str,
        typer.Option(metavar="HOW", help="Of the temperature: constant, exponential, logarithmic, cyclical."),
    ] = "constant",
    friction: Annotated[
        str | None,
        typer.Option(metavar="G", help="Of underdamped, per time, or critical; else the recipe's momentum."),
    ] = None,
    curvature: Annotated[
        float | None, typer.Option(metavar="M", help="For --friction critical: the smallest to damp.")
    ] = None,
    scheme: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of underdamped: baoab, baoa, obabo, symplectic_euler, exponential, euler_maruyama.",
        ),
    ] = None,
    skew_strength: Annotated[
        float | None, typer.Option(metavar="A", help="Of non-reversible; default 1.")
    ] = None,
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
    seed: Annotated[int, typer.Option(metavar="SEED", help="Of split, noise, weights and order.")] = 0,
    device: options.Device = "cpu",
    threads: options.Threads = None,
    out: options.Out = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Train on DATA, drawing examples by a policy; on the same network or another one."""
    del debug  # read by the program before commands are
    from localmin.cli.optimizers import LangevinOptions, choose_optimizer
    from localmin.cli.session import choose_device, open_request, use_threads
    from localmin.cli.terminal_progress import TerminalProgress, stderr_console
    from localmin.sampling.transfer import carried_weights, train_run
    from localmin.sampling.transfer_files import write_training
    from localmin.tasks.data_parallel import data_parallel
    from localmin.tasks.request import TaskRequest
    from localmin.tasks.trained import write_request

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
        task = open_request(request, console)(seed)
        chosen = choose_optimizer(
            optimizer,
            lr=lr,
            temperature=temperature,
            momentum=task.recipe.momentum,
            seed=seed,
            weight_decay=task.recipe.weight_decay,
            num_steps=task.recipe.epochs * -(-len(task.train) // task.recipe.batch_size),
            options=LangevinOptions(friction, curvature, scheme, skew_strength, cooling),
        )
        file = policy / "policy.json" if policy is not None and policy.is_dir() else policy
        carried = (
            carried_weights(policy, task) if policy is not None and transfer == "probabilities" else None
        )
        result = train_run(
            task,
            policy=None if carried is not None else file,
            transfer=transfer,  # type: ignore[arg-type]
            weights=carried,
            follow=follow,
            optimizer=chosen,
            seed=seed,
            out=out,
            device=choose_device(device),
            progress=TerminalProgress(console, data),
        )
    if out is not None:
        write_request(out, request, seed)
        write_training(out, task, result)
    if as_json:
        print(json.dumps(result.to_dict(), allow_nan=False))
        return
    drawn = "uniformly" if result.weights is None else "by the policy"
    print(f"{task.name}, {task.model_name}, drawn {drawn}: test {task.metric} {result.scores['test']:.4f}")
    if out is not None:
        print(f"model: {out / 'model.safetensors'}")
