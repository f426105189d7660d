"""`localmin train DATA --policy policy.json`: train with a policy that was found before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from localmin.cli import options
from localmin.cli.optimizers import DynamicsOptions, optimizer_for
from localmin.cli.option_groups import expand_groups
from localmin.cli.printing import print_json

__all__ = ["train"]


@expand_groups
def train(
    data: options.Data = "digits",
    *,
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
    reading: options.DataOptions,
    recipe: options.RecipeOptions,
    dynamics: DynamicsOptions,
    seed: Annotated[int, typer.Option(metavar="SEED", help="Of split, noise, weights and order.")] = 0,
    device: options.Device = "cpu",
    threads: options.Threads = None,
    out: options.Out = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Train on DATA, drawing examples by a policy; on the same network or another one."""
    del debug  # read by the program before commands are
    from localmin.cli.session import choose_device, open_request, use_threads
    from localmin.cli.terminal_progress import TerminalProgress, stderr_console
    from localmin.sampling.transfer import carried_weights, train_run
    from localmin.sampling.transfer_files import write_training
    from localmin.tasks.data_parallel import data_parallel
    from localmin.tasks.trained import write_request

    use_threads(threads)
    console = stderr_console()
    request = reading.request(data, recipe)
    with data_parallel(device=choose_device(device)) as leads:
        if not leads:
            return
        task = open_request(request, console)(seed)
        optimizer = optimizer_for(dynamics, task, lr=recipe.lr, seed=seed)
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
            optimizer=optimizer,
            seed=seed,
            out=out,
            device=choose_device(device),
            progress=TerminalProgress(console, data),
        )
    if out is not None:
        write_request(out, request, seed)
        write_training(out, task, result)
    if as_json:
        print_json(result.to_dict())
        return
    drawn = "uniformly" if result.weights is None else "by the policy"
    print(f"{task.name}, {task.model_name}, drawn {drawn}: test {task.metric} {result.scores['test']:.4f}")
    if result.diverged:
        print(
            f"note: training diverged in epoch {len(result.losses)}, the score means nothing; "
            "lower the learning rate (--lr)"
        )
    if out is not None:
        print(f"model: {out / 'model.safetensors'}")
