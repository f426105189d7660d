"""What the search bought: uniform, searched and oracle, with standard errors and every seed."""

from __future__ import annotations

from markupsafe import Markup

from localmin.reports.plots.scales import Scale
from localmin.reports.plots.svg import Canvas, both_widths
from localmin.reports.quantities import MINUS, Result

__all__ = ["ARMS", "comparison_figure"]

ARMS = ("uniform", "searched", "oracle")
_ROW, _BAR = 46, 20


def comparison_figure(result: Result, *, metric: str) -> Markup:
    """Draw bars from zero with the numbers beside them, and the same magnified.

    Args:
        result: Of a search.
        metric: Its name in words.

    Returns:
        The figure for wide and narrow pages.
    """
    arms = [arm for arm in ARMS if result[arm] is not None]
    return both_widths(lambda width: _draw(result, arms, metric, width))


def _draw(result: Result, arms: list[str], metric: str, width: int) -> Canvas:
    narrow = width < 500
    panel = 26 + _ROW * len(arms) + 30
    means = ", ".join(f"{arm} {result.score_text(result[f'{arm}.test.mean'])}" for arm in arms)
    canvas = Canvas(
        width,
        2 * panel + 14 if narrow else panel,
        name="comparison",
        title=f"{metric.capitalize()} of each way to draw",
        description=f"Mean over the seeds: {means}.",
    )
    bars_end = width - 62 if narrow else 0.56 * width - 62
    _bars(canvas, result, arms, start=78, end=bars_end, metric=metric)
    left, top = (78.0, panel + 14.0) if narrow else (0.66 * width, 0.0)
    _magnified(canvas, result, arms, start=left, end=width - 14, top=top)
    return canvas


def _bars(canvas: Canvas, result: Result, arms: list[str], *, start: float, end: float, metric: str) -> None:
    share = result.metric.is_share
    scale = Scale(0, 1, start, end) if share else Scale(*_around_zero(result, arms), start, end)
    canvas.text(start, 14, f"{metric}, %" if share else metric, "caption")
    bottom = 26 + _ROW * len(arms)
    for tick in (0, 0.25, 0.5, 0.75, 1) if share else scale.ticks(4):
        canvas.line(scale(tick), 26, scale(tick), bottom, "grid")
        canvas.text(scale(tick), bottom + 17, _tick(result, tick), "tick", anchor="middle")
    for row, arm in enumerate(arms):
        mean, error = result[f"{arm}.test.mean"], result[f"{arm}.test.se"]
        middle = 26 + _ROW * (row + 0.5)
        canvas.text(start - 10, middle + 4, arm, _label(arm), anchor="end")
        left, right = sorted((scale(0), scale(mean)))
        canvas.rect(left, middle - _BAR / 2, right - left, _BAR, f"bar {arm}", round_by=2)
        _whisker(canvas, scale, mean, error, middle)
        canvas.text(end + 8, middle + 4, result.score_text(mean), f"value {_label(arm)}")
    canvas.line(scale(0), 26, scale(0), bottom, "axis")


def _around_zero(result: Result, arms: list[str]) -> tuple[float, float]:
    """Choose an axis that holds zero and all means with their errors."""
    ends = [0.0]
    for arm in arms:
        mean, error = result[f"{arm}.test.mean"], result[f"{arm}.test.se"] or 0.0
        ends += [mean - error, mean + error]
    low, high = min(ends), max(ends)
    return (low, high) if high > low else (0.0, 1.0)


def _tick(result: Result, value: float) -> str:
    return f"{100 * value:g}" if result.metric.is_share else f"{value:g}".replace("-", MINUS)


def _magnified(
    canvas: Canvas, result: Result, arms: list[str], *, start: float, end: float, top: float
) -> None:
    scale = Scale(*_range(result, arms), start, end)
    bottom = top + 26 + _ROW * len(arms)
    seeds = len(result["seeds"])
    canvas.text(start, top + 14, "magnified" if seeds == 1 else "magnified, every seed a dot", "caption")
    for tick in scale.ticks(4):
        canvas.line(scale(tick), top + 26, scale(tick), bottom, "grid")
        canvas.text(scale(tick), bottom + 17, _tick(result, tick), "tick", anchor="middle")
    for row, arm in enumerate(arms):
        middle = top + 26 + _ROW * (row + 0.5)
        mean, error = result[f"{arm}.test.mean"], result[f"{arm}.test.se"]
        if canvas.is_narrow:
            canvas.text(start - 10, middle + 4, arm, _label(arm), anchor="end")
        if seeds > 1:
            for value, seed in zip(result[f"{arm}.test.values"], result["seeds"], strict=True):
                canvas.circle(
                    scale(value),
                    middle + 9,
                    3.2,
                    f"seed {arm}",
                    hint=f"seed {seed}: {result.score_text(value)}",
                )
        _whisker(canvas, scale, mean, error, middle - 5)
        canvas.circle(scale(mean), middle - 5, 5, f"mean {arm}", hint=f"{arm}: {result.score_text(mean)}")
    canvas.line(start, bottom, end, bottom, "axis")


def _whisker(canvas: Canvas, scale: Scale, mean: float, error: float | None, middle: float) -> None:
    if error:
        low, high = scale(mean - error), scale(mean + error)
        canvas.line(low, middle, high, middle, "whisker")
        for end in (low, high):
            canvas.line(end, middle - 4, end, middle + 4, "whisker")


def _range(result: Result, arms: list[str]) -> tuple[float, float]:
    values = [value for arm in arms for value in result[f"{arm}.test.values"]]
    errors = [result[f"{arm}.test.se"] or 0.0 for arm in arms]
    means = [result[f"{arm}.test.mean"] for arm in arms]
    low = min([*values, *(mean - error for mean, error in zip(means, errors, strict=True))])
    high = max([*values, *(mean + error for mean, error in zip(means, errors, strict=True))])
    if not result.metric.is_share:
        room = 0.12 * (high - low) or 0.1 * abs(high) or 0.1
        return low - room, high + room
    room = max(0.01, 0.12 * (high - low))
    return max(0.0, low - room), min(1.0, high + room)


def _label(arm: str) -> str:
    return "label strong" if arm == "searched" else "label"
