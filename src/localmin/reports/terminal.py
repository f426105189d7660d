"""The result as a compact table in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from localmin.reports import story
from localmin.reports.caveats import warnings
from localmin.reports.plots.comparison import ARMS
from localmin.reports.quantities import Result

__all__ = ["render_summary"]


def render_summary(summary: Mapping[str, Any], console: Console, *, report: Path | None = None) -> None:
    """Print what a search bought, what it cost and what is recommended.

    Args:
        summary: The content of ``result.json``.
        console: Where to; plain text where that is not a terminal.
        report: The page to name at the end.
    """
    result = Result(summary)
    seeds = ", ".join(str(seed) for seed in result["seeds"])
    many = "s" if len(result["seeds"]) > 1 else ""
    _print(
        console, f"{result['data']} · preset {result['settings.preset']} · seed{many} {seeds}", style="bold"
    )
    console.print(_table(result))
    _print(console, _policy_line(result))
    for sentence in (story.noise_sentence(result), story.cost_sentence(result)):
        if sentence is not None:
            _print(console, str(sentence))
    for warning in warnings(result):
        _print(console, f"note: {warning}", style="yellow")
    _print(console, str(story.recommendation_sentence(result)), style="bold")
    if report is not None:
        _print(console, f"report: {report}")


def _table(result: Result) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("drawn by")
    table.add_column(story.metric_words(result), justify="right")
    table.add_column("over uniform", justify="right")
    with_gap = result["gap_closed"] is not None
    if with_gap:
        table.add_column("gap closed", justify="right")
    for arm in ARMS:
        if result[arm] is None:
            continue
        cells = [arm, str(result.score_with_error(f"{arm}.test.mean", f"{arm}.test.se"))]
        if arm == "searched":
            cells.append(str(result.gain_with_error("gain.test.mean", "gain.test.se")))
            if with_gap:
                cells.append(str(result.with_error("gap_closed.mean", "gap_closed.se")))
        table.add_row(*cells, style="bold" if arm == "searched" else None)
    return table


def _policy_line(result: Result) -> str:
    policy = result["policy"]
    numbers = " ".join(f"{value:.3f}" for value in policy["z"])
    return f"policy: form {policy['form']}, {policy['transform']}, {len(policy['z'])} numbers: {numbers}"


def _print(console: Console, line: str, *, style: str = "") -> None:
    # As text, not as markup: names of data and classes may hold square brackets.
    console.print(Text(line, style=style), highlight=False)
