from __future__ import annotations

from typing import Any

from localmin.reports.plots.search_path import best_so_far, search_figure


def trial(number: int, mean: float | None, *, round_: int = 1, kind: str = "cut") -> dict[str, Any]:
    return {
        "number": number, "round": round_, "kind": kind, "score": mean or 0.0, "standard_error": 0.01,
        "status": "diverged" if mean is None else "done", "posterior_mean": mean,
    }  # fmt: skip


def test_best_follows_the_estimate_and_not_the_score() -> None:
    trials = [trial(0, 0.5), trial(1, 0.4), trial(2, 0.6)]
    trials[1]["score"] = 0.9
    assert best_so_far(trials) == [0, 0, 2]
    assert best_so_far([trial(0, None), trial(1, 0.4)]) == [None, 1]


def test_refresh_and_kinds_are_named() -> None:
    trials = [trial(0, 0.5, kind="uniform"), trial(1, 0.6), trial(2, 0.7, round_=2, kind="search")]
    figure = str(search_figure(trials))
    for words in ("refresh: features anew", ">uniform<", ">cuts<", ">search<", "best so far"):
        assert words in figure
    assert figure.count('class="refresh"') == 2  # wide and narrow
    assert str(search_figure(trials[:2])).count('class="refresh"') == 0


def test_first_trial_may_fail() -> None:
    figure = str(search_figure([trial(0, None, kind="uniform"), trial(1, 0.6)]))
    assert "uniform-line" not in figure
    assert ">diverged<" in figure


def test_no_success_no_figure() -> None:
    assert search_figure([trial(0, None)]) is None
