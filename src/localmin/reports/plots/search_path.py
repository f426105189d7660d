"""How the search went: every trial with its error, and the best estimate so far."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from markupsafe import Markup

from localmin.reports.plots.scales import Scale
from localmin.reports.plots.svg import Canvas, both_widths, text_width
from localmin.reports.quantities import percent

__all__ = ["best_so_far", "search_figure"]

_KIND_WORDS = {
    "uniform": "uniform",
    "cut": "cuts",
    "class-prior": "class prior",
    "carried": "carried over",
    "search": "search",
}
_TOP = 44


def best_so_far(trials: list[dict[str, Any]]) -> list[int | None]:
    """Find after each trial the one with the largest posterior mean until then.

    Args:
        trials: In order, with ``posterior_mean`` (None where the trial failed).

    Returns:
        Positions; None while no trial has succeeded.

    Example:
        >>> best_so_far([{"posterior_mean": 0.2}, {"posterior_mean": None}, {"posterior_mean": 0.3}])
        [0, 0, 2]
    """
    best: int | None = None
    path = []
    for i, trial in enumerate(trials):
        mean = trial["posterior_mean"]
        if mean is not None and (best is None or mean > trials[best]["posterior_mean"]):
            best = i
        path.append(best)
    return path


def search_figure(trials: list[dict[str, Any]]) -> Markup | None:
    """Draw scores over trials.

    Args:
        trials: As in ``per_seed.0.trials`` of a result.

    Returns:
        The figure for wide and narrow pages; None if no trial succeeded.
    """
    if not any(trial["status"] == "done" for trial in trials):
        return None
    return both_widths(lambda width: _Figure(trials, width).draw())


class _Figure:
    """One drawing of the search."""

    def __init__(self, trials: list[dict[str, Any]], width: int) -> None:
        self.trials, self.path = trials, best_so_far(trials)
        done = [trial for trial in trials if trial["status"] == "done"]
        low = min(trial["score"] - trial["standard_error"] for trial in done)
        high = max(trial["score"] + trial["standard_error"] for trial in done)
        room = max(0.005, 0.1 * (high - low))
        best = self.path[-1]
        assert best is not None  # some trial is done
        self.best = trials[best]
        self.canvas = Canvas(
            width,
            340 if width > 500 else 370,
            name="search",
            title="Score of every trial",
            description=f"{len(trials)} trials, {len(trials) - len(done)} of them failed. The best by "
            f"estimated true score is trial {self.best['number']} with "
            f"{percent(self.best['posterior_mean'])}; uniform, trial 0, has {percent(trials[0]['score'])}.",
        )
        self.x = Scale(-0.6, len(trials) - 0.4, 44, width - 12)
        self.y = Scale(low - room, high + room, 272, _TOP)

    def draw(self) -> Canvas:
        """Draw from back to front."""
        self._axes()
        self._refreshes()
        self._groups()
        self._best()
        for i, trial in enumerate(self.trials):
            self._trial(i, trial)
        self._name_best()
        return self.canvas

    def _axes(self) -> None:
        canvas, x, y = self.canvas, self.x, self.y
        canvas.text(x.start, 14, "score of a trial, %", "caption")
        for tick in y.ticks(5):
            canvas.line(x.start, y(tick), x.end, y(tick), "grid")
            canvas.text(x.start - 7, y(tick) + 4, f"{100 * tick:g}", "tick", anchor="end")
        canvas.line(x.start, y.start, x.end, y.start, "axis")
        if self.trials[0]["status"] == "done":
            level = y(self.trials[0]["score"])
            canvas.line(x.start, level, x.end, level, "uniform-line")
            # The name of the lower line goes below it, so that two close lines keep their names apart.
            below = level > y(self.best["posterior_mean"])
            canvas.text(x.end, level + (15 if below else -6), "uniform", "tick halo", anchor="end")

    def _refreshes(self) -> None:
        for i in range(1, len(self.trials)):
            if self.trials[i]["round"] != self.trials[i - 1]["round"]:
                at = self.x(i - 0.5)
                self.canvas.line(at, _TOP - 14, at, self.y.start + 36, "refresh")
                words = (
                    "features anew"
                    if self.canvas.is_narrow
                    else "refresh: features anew, under the best so far"
                )
                fits = at + 6 + text_width(words, size=11) < self.x.end
                self.canvas.text(
                    at + (5 if fits else -5), _TOP - 6, words, "tick", anchor="start" if fits else "end"
                )

    def _groups(self) -> None:
        first, used = 0, [0.0, 0.0, 0.0]
        for (_, kind), members in groupby(self.trials, key=lambda trial: (trial["round"], trial["kind"])):
            count = len(list(members))
            left, right = self.x(first - 0.35), self.x(first + count - 0.65)
            words = _KIND_WORDS.get(kind, kind)
            half = text_width(words) / 2
            middle = min(max((left + right) / 2, self.x.start - 10 + half), self.x.end - half)
            row = next((r for r, end in enumerate(used) if middle - half > end + 4), len(used) - 1)
            used[row] = middle + half
            self.canvas.line(left, self.y.start + 9, right, self.y.start + 9, "bracket")
            self.canvas.text(middle, self.y.start + 25 + 14 * row, words, "tick", anchor="middle")
            first += count
        self.canvas.text(
            (self.x.start + self.x.end) / 2,
            self.canvas.height - 8,
            f"{len(self.trials)} trials in order",
            "caption",
            anchor="middle",
        )

    def _best(self) -> None:
        points: list[tuple[float, float]] = []
        for i, best in enumerate(self.path):
            if best is not None:
                level = self.y(self.trials[best]["posterior_mean"])
                points += [(self.x(i - 0.5), level), (self.x(i + 0.5), level)]
        self.canvas.path(points, "best")

    def _name_best(self) -> None:
        level = self.y(self.best["posterior_mean"])
        below = self.trials[0]["status"] == "done" and level > self.y(self.trials[0]["score"])
        at = (self.x(len(self.trials) - 0.5), level + (18 if below else -9))
        self.canvas.text(*at, "best so far", "label strong halo", anchor="end")

    def _trial(self, i: int, trial: dict[str, Any]) -> None:
        canvas, x = self.canvas, self.x(i)
        if trial["status"] != "done":
            canvas.cross(x, self.y.start - 10, 4, "failed")
            canvas.text(x, self.y.start - 20, trial["status"], "tick", anchor="middle")
            return
        score, error = trial["score"], trial["standard_error"]
        canvas.line(x, self.y(score - error), x, self.y(score + error), "error")
        hint = f"trial {trial['number']}, {trial['kind']}: {percent(score)} ± {100 * error:.1f}"
        canvas.circle(x, self.y(score), 3.6, "trial", hint=hint)
        mean = trial["posterior_mean"]
        if mean is not None:
            canvas.line(x - 6, self.y(mean), x + 6, self.y(mean), "posterior")
