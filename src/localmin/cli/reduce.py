"""`localmin reduce RUN`, or a checkpoint and DATA: the smaller network, and what it costs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localmin.cli import exit_codes, options
from localmin.cli.option_groups import expand_groups
from localmin.cli.printing import print_json
from localmin.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from localmin.reduction import ReductionPlan, TrainedReduction

__all__ = ["reduce"]

_SECONDS_BETWEEN_LINES = 10.0


@expand_groups
def reduce(
    source: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder, or a checkpoint (.safetensors, .pt).")
    ],
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="What a checkpoint was trained on; a run folder knows."),
    ] = None,
    *,
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="Exact: design, vertex-b, vertex-c, pair. Approximate: coreset, truncated-ranks, "
            "ridge-refit.",
        ),
    ] = "design",
    points: Annotated[
        int | None,
        typer.Option(metavar="N", help="Keep the outputs on N training examples; all by default."),
    ] = None,
    extra_points: Annotated[
        int,
        typer.Option(metavar="M", help="Keep them on M validation inputs too, whose labels are not used."),
    ] = 0,
    widths: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Hidden widths to reach with ridge-refit.")
    ] = None,
    reading: options.DataOptions,
    seed: Annotated[int, typer.Option(metavar="SEED", help="Of the split, with DATA.")] = 0,
    threads: options.Threads = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the smaller network goes; beside the source by default."),
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Make a trained network smaller, with the same outputs on its training data; exit code 1 if it stays."""
    del debug  # read by the program before commands are
    from localmin.cli.session import use_threads
    from localmin.cli.terminal_progress import stderr_console
    from localmin.reduction import plan_trained, reduce_trained
    from localmin.tasks.storage import check_writable, one_writer
    from localmin.tasks.trained import open_trained

    use_threads(threads)
    console = stderr_console()
    trained = open_trained(source, request=reading.checkpoint_request(data), seed=seed)
    folder = out or (source / "reduced" if source.is_dir() else source.with_name(f"{source.stem}-reduced"))
    check_writable(folder)
    if mode in ("design", "vertex-b", "vertex-c", "pair"):
        plan = plan_trained(trained, mode=mode, num_points=points, num_extra_points=extra_points)  # type: ignore[arg-type]
        _say_plan(console, plan)
    with _Steps(console) as steps:
        result = reduce_trained(
            trained,
            mode=mode,
            num_points=points,
            num_extra_points=extra_points,
            hidden_widths=None if widths is None else _parse_widths(widths),
            progress=steps,
        )
    with one_writer(folder):
        result.save(folder)
    before, after = result.num_neurons
    if as_json:
        print_json({"command": "reduce", "folder": str(folder), **result.to_dict()})
    else:
        _print_table(result)
        print(f"network: {folder / 'network.safetensors'}")
    return exit_codes.NO if result.is_exact and after >= before else 0


def _parse_widths(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--widths expects numbers such as 60,40, got {text!r}") from None


def _say_plan(console: Console, plan: ReductionPlan) -> None:
    layers = ", ".join(
        f"layer {layer.layer} has {layer.width} neurons, {layer.bound} suffice in any case"
        for layer in plan.layers
    )
    memory = max(plan.memory_bytes / 2**20, 1)
    console.print(f"{plan.num_points} points; {layers}; memory about {memory:.0f} MiB", highlight=False)


class _Steps:
    """Show the steps on standard error: a bar in a terminal, now and then a line elsewhere."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.console = console
        self._last_line = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("reducing", total=None)

    def __enter__(self) -> _Steps:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, operation: str, layer: int, done: int, total: int) -> None:
        text = f"{operation}, layer {layer}" if layer else operation
        self._bar.update(self._task, description=text, completed=done, total=total or None)
        if not self.console.is_terminal and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            share = f": {done} of {total}" if total else ""
            self.console.print(f"{text}{share}", highlight=False)


def _print_table(result: TrainedReduction) -> None:
    reduction = result.reduction
    before, after = (" ".join(map(str, w[1:-1])) for w in (reduction.widths_before, reduction.widths_after))
    num_before, num_after = result.num_neurons
    rows: list[tuple[str, str, str]] = [
        ("hidden widths", before, after),
        ("neurons", str(num_before), str(num_after)),
        ("parameters", str(reduction.num_parameters_before), str(reduction.num_parameters_after)),
        ("squared norm", f"{reduction.norm_before:.6g}", f"{reduction.norm_after:.6g}"),
    ]
    if reduction.loss_before is not None and reduction.loss_after is not None:
        rows.append(("loss with penalty", f"{reduction.loss_before:.6g}", f"{reduction.loss_after:.6g}"))
    rows.append((f"test {result.metric}", f"{result.test_before:.4f}", f"{result.test_after:.4f}"))
    kind = "exact" if result.is_exact else "approximate"
    extra = f" and {result.num_extra_points} extra inputs" if result.num_extra_points else ""
    used = f"{result.num_train_points} of {result.num_train_examples} training examples{extra}"
    print(f"{result.mode} ({kind}), on {used}")
    print(f"{'':18}{'before':>14}{'after':>14}")
    for name, before, after in rows:
        print(f"{name:18}{before:>14}{after:>14}")
    drift = reduction.drift_relative
    measured = "not measured" if drift is None else f"{drift:.2%} on {result.num_held_out} test inputs"
    change = reduction.max_output_change_relative
    print(f"largest output change on the points: {change:.1e} of the largest output")
    print(f"held-out drift: {measured}")
    print(f"seconds: {reduction.seconds:.1f}")
    for remark in result.remarks:
        print(f"note: {remark}")
