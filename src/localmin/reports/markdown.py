"""The result as Markdown, for a notebook, a merge request or a log book."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localmin.reports import story
from localmin.reports.caveats import caveats, warnings
from localmin.reports.plots.comparison import ARMS
from localmin.reports.quantities import Result

__all__ = ["render_markdown"]


def render_markdown(summary: Mapping[str, Any]) -> str:
    """Write what a search bought, what it cost, the ten numbers and what the figures do not show.

    Args:
        summary: The content of ``result.json``.

    Returns:
        Markdown with tables, ending in a line break.
    """
    result = Result(summary)
    paragraphs: list[str] = [
        f"# {_escaped(result['data'])}",
        str(story.headline(result)),
        _scores(result),
        str(story.recommendation_sentence(result)),
        str(story.cost_sentence(result)),
    ]
    for sentence in (story.gap_sentence(result), story.noise_sentence(result)):
        if sentence is not None:
            paragraphs.append(str(sentence))
    found = warnings(result)
    if found:
        paragraphs.append("\n".join(f"* Note: {_escaped(note)}" for note in found))
    paragraphs += ["## The ten numbers", _numbers(result), "## What the figures do not show"]
    paragraphs.append("\n".join(f"* {caveat}" for caveat in caveats(result)))
    paragraphs.append(f"Made by `{result['command'].replace('`', '')}` on {_escaped(result['device'])}.")
    return "\n\n".join(paragraphs) + "\n"


def _scores(result: Result) -> str:
    seeds = result["seeds"]
    rows = [["drawn by", story.metric_words(result), "± se", *(f"seed {seed}" for seed in seeds)]]
    for arm in ARMS:
        if result[arm] is None:
            continue
        error = "" if result[f"{arm}.test.se"] is None else str(result.score_error(f"{arm}.test.se"))
        values = [str(result.score(f"{arm}.test.values.{i}")) for i in range(len(seeds))]
        rows.append([arm, str(result.score(f"{arm}.test.mean")), error, *values])
    return _table(rows)


def _numbers(result: Result) -> str:
    parameters = result["policy.parameters"]
    head = f"Form {result['policy.form']}, transform {result['policy.transform']}, {len(parameters)} numbers."
    return f"{head}\n\n" + _table([list(parameters), [f"{value:.3f}" for value in parameters.values()]])


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)


def _escaped(text: str) -> str:
    for mark in "\\`*_{}[]<>#|":
        text = text.replace(mark, f"\\{mark}")
    return text
