"""The `localmin` program: its commands, and how errors end it."""

from __future__ import annotations

import errno
import os
import sys
from importlib.metadata import version

import click
import typer

from localmin.cli.report import report
from localmin.cli.search import search
from localmin.cli.train import train
from localmin.errors import LocalminError

__all__ = ["application", "main"]

EXIT_NO, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 1, 2, 130

application = typer.Typer(
    name="localmin",
    help="Good local minima for PyTorch: choose the data, and know what it bought.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
application.command()(search)
application.command()(train)
application.command()(report)


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
        LocalminError: If ``--debug`` was given: with its traceback.
        OSError: If ``--debug`` was given.
    """
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    try:
        code = application(given, standalone_mode=False)
    except click.exceptions.Abort:
        _stop("interrupted", EXIT_INTERRUPTED)
    except click.ClickException as error:
        _stop(error.format_message(), EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        _stop("interrupted; the same command goes on where it stopped if it had --out", EXIT_INTERRUPTED)
    except LocalminError as error:
        if debug:
            raise
        _stop(str(error), EXIT_BAD_INPUT)
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_NO)
    except OSError as error:
        if debug:
            raise
        _stop(_describe(error), EXIT_BAD_INPUT)
    sys.exit(code if isinstance(code, int) else 0)


def _stop(message: str, code: int) -> None:
    line = " ".join(message.split())
    print(f"localmin: {line}", file=sys.stderr)
    sys.exit(code)


def _describe(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{place}; free some space and repeat the command, it goes on where it stopped"
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"cannot write or read{place}: {error.strerror}; choose another --out"
    return f"{error.strerror or error}{place}"
