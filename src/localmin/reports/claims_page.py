"""The outcome of the experiments on the papers' claims as one HTML file and as a table in a terminal."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from localmin.experiments import PAPERS, ClaimCheck
from localmin.experiments.campaign import CheckedClaim, Reproduction
from localmin.reports.plots import draw_figure
from localmin.reports.quantities import duration
from localmin.reports.templating import page_assets, template_environment
from localmin.tasks.environment import versions
from localmin.tasks.storage import write_text

__all__ = ["VERDICT_WORDS", "render_claims", "write_claims_page"]

VERDICT_WORDS = {"holds": "holds here", "partly": "only partly", "does-not-hold": "does not hold here"}
_STYLES = {"holds": "green", "partly": "yellow", "does-not-hold": "bold red"}
_MAX_ROWS = 60
_NAME = "claims.html"


def write_claims_page(folder: Path, result: Reproduction, *, command: str) -> Path:
    """Write ``claims.html``: every claim with expected, measured, verdict, pictures and single rows.

    Args:
        folder: Where to.
        result: Of the experiments.
        command: What was typed.

    Returns:
        The page. It needs no network and no other file.
    """
    environment = template_environment()
    papers = [
        {"name": paper, "title": PAPERS[paper], "claims": [_claim(one) for one in group]}
        for paper, group in groupby(result.checked, key=lambda one: one.paper)
    ]
    counts = {
        words: sum(one.check.verdict == verdict for one in result.checked)
        for verdict, words in VERDICT_WORDS.items()
    }
    page = environment.get_template("claims.html").render(
        papers=papers,
        counts=[(words, count) for words, count in counts.items() if count],
        total=len(result.checked),
        scaled_down=sum(one.check.is_scaled_down for one in result.checked),
        quick=result.quick,
        seed=result.seed,
        command=command,
        seconds=duration(sum(one.seconds for one in result.checked)),
        versions=versions(),
        **page_assets(environment),
    )
    path = folder / _NAME
    write_text(path, page)
    return path


def render_claims(result: Reproduction, console: Console) -> None:
    """Print one line a claim.

    Args:
        result: Of the experiments.
        console: Where to; plain text where that is not a terminal.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("claim", "verdict", "measured", "seconds"):
        table.add_column(name, overflow="fold", justify="right" if name == "seconds" else "left")
    for one in result.checked:
        verdict = one.check.verdict
        words = VERDICT_WORDS[verdict] + (", scaled down" if one.check.is_scaled_down else "")
        measured = ", ".join(f"{name} {value}" for name, value in _measured(one.check)[:3])
        table.add_row(one.claim.name, f"[{_STYLES[verdict]}]{words}[/]", measured, f"{one.seconds:.1f}")
    console.print(table)


def _claim(one: CheckedClaim) -> dict[str, Any]:
    check = one.check
    columns = list(dict.fromkeys(name for row in check.rows for name in row))
    return {
        "name": one.claim.name,
        "statement": one.claim.statement,
        "verdict": check.verdict,
        "words": VERDICT_WORDS[check.verdict],
        "is_scaled_down": check.is_scaled_down,
        "expected": check.expected,
        "measured": _measured(check),
        "tolerance": check.tolerance,
        "remark": check.remark,
        "figures": [(draw_figure(figure), figure.title, figure.note) for figure in check.figures],
        "columns": [column.replace("_", " ") for column in columns],
        "rows": [[_text(row.get(column)) for column in columns] for row in check.rows[:_MAX_ROWS]],
        "num_rows": len(check.rows),
        "seconds": duration(one.seconds),
    }


def _measured(check: ClaimCheck) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), _text(value)) for name, value in check.measured.items()]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if value is None:
        return "\N{EN DASH}"
    return value if isinstance(value, str) else json.dumps(value)
