from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from localmin.reports import render_summary


def rendered(summary: dict[str, Any], width: int = 100, **options: Any) -> str:
    stream = io.StringIO()
    render_summary(summary, Console(file=stream, width=width), **options)
    return stream.getvalue()


def test_table_holds_every_arm_with_its_error(summary: dict[str, Any]) -> None:
    for arm, mean in (("uniform", 0.819), ("searched", 0.941), ("oracle", 0.964)):
        summary[arm] = {"test": {"mean": mean, "se": 0.004, "values": [mean] * 3}}
    summary["gain"]["test"] |= {"mean": 0.122, "se": 0.007}
    summary["gap_closed"] = {"mean": 0.841, "se": 0.01, "values": []}
    lines = rendered(summary).splitlines()
    assert [" ".join(line.split()) for line in lines[1:5]] == [
        "drawn by test accuracy over uniform gap closed",
        "uniform 81.9 ± 0.4 %",
        "searched 94.1 ± 0.4 % +12.2 ± 0.7 points 84.1 ± 1.0 %",
        "oracle 96.4 ± 0.4 %",
    ]


def test_ten_numbers_with_their_count(summary: dict[str, Any]) -> None:
    text = rendered(summary)
    line = next(line for line in text.splitlines() if line.startswith("policy:"))
    assert "10 numbers" in line
    assert line.endswith(" ".join(f"{value:.3f}" for value in summary["policy"]["z"]))
    assert "Recommended: " in text


def test_missing_parts_are_left_out(one_seed: dict[str, Any]) -> None:
    one_seed["oracle"] = one_seed["gap_closed"] = one_seed["noise"] = None
    text = rendered(one_seed)
    assert "oracle" not in text
    assert "gap closed" not in text
    assert "on purpose" not in text
    assert "±" not in text


def test_plain_text_without_a_terminal_and_no_markup_in_names(one_seed: dict[str, Any]) -> None:
    one_seed["data"] = "[red]data[/red]"
    text = rendered(one_seed, report=Path("runs/[x]/report.html"))
    assert "\x1b" not in text
    assert "[red]data[/red] · preset quick · seed 0" in text
    assert "report: runs/[x]/report.html" in text


@pytest.mark.parametrize("width", [40, 60, 100])
def test_no_line_is_wider_than_the_console(summary: dict[str, Any], width: int) -> None:
    assert max(len(line) for line in rendered(summary, width).splitlines()) <= width
