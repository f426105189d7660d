"""`localmin compare A B`: do two networks compute the same function, and how far apart are they?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from localmin.cli import exit_codes, options
from localmin.cli.option_groups import expand_groups
from localmin.cli.printing import print_json

__all__ = ["compare"]


@expand_groups
def compare(
    a: Annotated[
        Path,
        typer.Argument(metavar="A", help="A run folder, or a checkpoint (.safetensors, .pt) with --data."),
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="Likewise.")],
    *,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="What checkpoints were trained on. Without it, .safetensors files are read as linear layers "
            "with ReLUs between, in the order of their names.",
        ),
    ] = None,
    reading: options.DataOptions,
    tolerance: Annotated[
        float | None,
        typer.Option(metavar="T", help="Relative; default 256 roundings of the dtype; 0: exact."),
    ] = None,
    max_work: Annotated[
        int, typer.Option(metavar="N", help="Most steps of the exact distance; beyond, bounds are given.")
    ] = 100_000_000,
    box: Annotated[
        str | None,
        typer.Option(metavar="LOW,HIGH", help="Bound the largest difference for inputs in this range too."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="SEED", help="Of the split and of sampled inputs.")] = 0,
    threads: options.Threads = None,
    out: options.Out = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Compare two trained networks: exit code 0 if they are the same function, 1 if that is not shown."""
    del debug  # read by the program before commands are
    from localmin.cli.session import typed_command, use_threads
    from localmin.cli.terminal_progress import stderr_console
    from localmin.realization.trained_comparison import compare_trained, parse_box
    from localmin.realization.trained_pairs import open_pair
    from localmin.reports.comparison_page import render_comparison, write_comparison
    from localmin.tasks.storage import check_writable

    use_threads(threads)
    limits = parse_box(box)
    pair = open_pair(a, b, request=reading.checkpoint_request(data, data_name="--data"), seed=seed)
    if out is not None:
        check_writable(out)
    console = stderr_console()
    result = compare_trained(
        pair,
        tolerance_relative=tolerance,
        max_work=max_work,
        box=limits,
        seed=seed,
        announce=lambda text: console.print(text, highlight=False),
    )
    page = None
    if out is not None:
        page = write_comparison(out, result, names=(str(a), str(b)), command=typed_command())
    if as_json:
        print_json(result.to_dict())
    else:
        render_comparison(result, names=(str(a), str(b)))
        if page is not None:
            print(f"report: {page}")
    return 0 if result.comparison.equality.verdict == "equal" else exit_codes.NO
