from __future__ import annotations

from typing import Any

from localmin.reports import render_markdown


def test_scores_and_numbers_are_tables(summary: dict[str, Any]) -> None:
    text = render_markdown(summary)
    assert text.startswith("# points\n\n")
    mean = summary["searched"]["test"]["mean"]
    assert f"| searched | {100 * mean:.1f} % |" in text
    assert "| seed 0 | seed 1 | seed 4 |" in text
    assert "| angle | node 0 |" in text
    assert text.endswith("\n")


def test_names_cannot_make_markup(one_seed: dict[str, Any]) -> None:
    one_seed["data"] = "a|b*<script>"
    one_seed["command"] = "localmin search `x`"
    text = render_markdown(one_seed)
    assert "# a\\|b\\*\\<script\\>" in text
    assert "`localmin search x`" in text


def test_notes_appear(one_seed: dict[str, Any]) -> None:
    one_seed["per_seed"][0]["notes"] = ["mostly noise"]
    assert "* Note: mostly noise" in render_markdown(one_seed)
