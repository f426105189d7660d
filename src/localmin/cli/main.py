"""The `localmin` program: its commands, and how errors end it."""

from __future__ import annotations

import errno
import os
import sys
from importlib.metadata import version

import typer

from localmin.cli import exit_codes
from localmin.cli.certify import certify
from localmin.cli.compare import compare
from localmin.cli.reduce import reduce
from localmin.cli.report import report
from localmin.cli.reproduce import reproduce
from localmin.cli.run import run
from localmin.cli.search import search
from localmin.cli.selfcheck import selfcheck
from localmin.cli.track import track
from localmin.cli.train import train
from localmin.errors import LocalminError

__all__ = ["application", "main"]

# What the command-line parser raises for an unknown option or a missing value; typer does not name it.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]

# What to lower when memory runs out; what a training says of itself comes first.
_MORE_MEMORY = "close other programs, or use a machine with more memory"
_SMALLER_RUN = "start another run with a lower --batch-size, --limit or --image-size, or a smaller --model"
_REMEDIES = {
    "search": _SMALLER_RUN,
    "train": _SMALLER_RUN,
    "run": f"lower --points, or {_SMALLER_RUN}",
    "certify": "lower --examples",
    "reduce": "lower --points",
    "compare": "lower --max-work",
    "reproduce": "use --quick, or close other programs",
}

application = typer.Typer(
    name="localmin",
    help="Good local minima for PyTorch: choose the data, and know what it bought.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
application.command()(search)
application.command()(run)
application.command()(train)
application.command()(certify)
application.command()(reduce)
application.command()(report)
application.command()(track)
application.command()(compare)
application.command()(reproduce)
application.command()(selfcheck)


@application.callback(invoke_without_command=True)
def options(
    show_version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Good local minima for PyTorch: choose the data, and know what it bought."""
    if show_version:
        typer.echo(f"localmin {version('localmin')}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> None:
    """Run the program: one clear line and exit code 2 for what a user can mend.

    Args:
        arguments: Without the program's name; None takes those of the process.

    Raises:
        SystemExit: Always, with the exit code.
        Exception: What no user can mend, and with ``--debug`` everything.
    """
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    try:
        code = application(given, standalone_mode=False)
        # Here, where it can be reported: at exit it would be too late.
        sys.stdout.flush()
    except typer.Abort:
        _stop("interrupted", exit_codes.INTERRUPTED)
    except KeyboardInterrupt:
        _stop("interrupted; repeat the same command to go on where it stopped", exit_codes.INTERRUPTED)
    except BrokenPipeError:
        _drop_output()
        sys.exit(exit_codes.NO)
    except Exception as error:
        message = _message(error, given)
        if message is None or (debug and not isinstance(error, _USAGE_ERROR)):
            raise
        if isinstance(error, OSError):
            _drop_output()
        _stop(message, exit_codes.BAD_INPUT)
    sys.exit(code if isinstance(code, int) else 0)


def _drop_output() -> None:
    """Throw away output that cannot be written; Python would try again at exit, and complain once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(message: str, code: int) -> None:
    # Names from data may hold what a terminal would obey.
    line = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
    print(f"localmin: {line}", file=sys.stderr)
    sys.exit(code)


def _message(error: Exception, given: list[str]) -> str | None:
    """Say in one line what a user can mend; None for what only a developer can."""
    if isinstance(error, LocalminError):
        return str(error)
    if isinstance(error, _USAGE_ERROR):
        return str(error.format_message())  # type: ignore[attr-defined]
    if isinstance(error, OSError):
        return _describe(error)
    if isinstance(error, MemoryError | RuntimeError):
        from localmin.tasks.memory import describe_shortage, is_shortage

        command = next((word for word in given if word in _REMEDIES), "")
        if is_shortage(error):
            return f"{describe_shortage(error)}; {_REMEDIES.get(command, _MORE_MEMORY)}"
    return None


def _describe(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{place}; free some space and repeat the command, it goes on where it stopped"
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"cannot write or read{place}: {error.strerror}; choose another --out"
    return f"{error.strerror or error}{place}"
