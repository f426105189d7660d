"""The outcome of the self-check as a table in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from localmin.experiments.known_answers import SelfCheck

__all__ = ["render_selfcheck"]


def render_selfcheck(result: SelfCheck, console: Console) -> None:
    """Print one line an answer, the device and the versions.

    Args:
        result: Of the self-check.
        console: Where to; plain text where that is not a terminal.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("package")
    table.add_column("known answer", overflow="fold")
    for name in ("expected", "here", ""):
        table.add_column(name, justify="right" if name else "left")
    for answer in result.answers:
        verdict = Text("right", style="green") if answer.is_right else Text("WRONG", style="bold red")
        here = answer.error or f"{answer.measured:.8g}"
        table.add_row(answer.package, answer.question, f"{answer.expected:.8g}", here, verdict)
    console.print(table)
    made_with = result.to_dict()["versions"]
    console.print(
        f"{result.device}; " + ", ".join(f"{name} {number}" for name, number in made_with.items()),
        highlight=False,
        soft_wrap=True,
    )
    total = len(result.answers)
    words = (
        f"all {total} answers are right"
        if not result.num_wrong
        else f"{result.num_wrong} of {total} are WRONG"
    )
    console.print(words, style="bold", highlight=False)
