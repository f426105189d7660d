"""`localmin selfcheck`: known answers of every package, on this machine."""

from __future__ import annotations

from localmin.cli import exit_codes, options
from localmin.cli.printing import print_json

__all__ = ["selfcheck"]


def selfcheck(
    device: options.Device = "auto",
    threads: options.Threads = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Compute known answers with every package, in seconds; exit code 1 if one is wrong here."""
    del debug  # read by the program before commands are
    from localmin.cli.session import choose_device, use_threads
    from localmin.experiments.known_answers import selfcheck as check

    use_threads(threads)
    result = check(choose_device(device))
    if as_json:
        print_json(result.to_dict())
    else:
        from rich.console import Console

        from localmin.reports.selfcheck_table import render_selfcheck

        render_selfcheck(result, Console())
    return exit_codes.NO if result.num_wrong else 0
