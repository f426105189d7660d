"""The plane of loss and renormed entropy: where the examples lie, and where the policy draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from localmin.reports.plots.scales import Scale
from localmin.reports.plots.svg import Canvas, both_widths
from localmin.reports.run_data import RunData

__all__ = ["LEVELS", "plane_figure"]

LEVELS = 9
_MIN_BINS, _MAX_BINS = 14, 28
_WIDE_RATIO = 30.0
_NEVER = 0.05


@dataclass(frozen=True)
class _Panel:
    """A map: values per cell, where there is anything to show, and the ramp of colours."""

    title: str
    note: str
    values: np.ndarray
    present: np.ndarray
    ramp: str


@dataclass(frozen=True)
class _Plane:
    """Axes that all panels share, and the cell of every example."""

    x: Scale
    y: Scale
    columns: np.ndarray
    rows: np.ndarray
    bins: int

    def total(self, weights: np.ndarray) -> np.ndarray:
        """Add up weights by cell, shape ``(bins, bins)``."""
        result = np.zeros((self.bins, self.bins))
        np.add.at(result, (self.columns, self.rows), weights)
        return result


def plane_figure(data: RunData) -> Markup | None:
    """Draw the density of examples and the drawing probability side by side.

    With known noise the density is split into right and wrong labels.

    Args:
        data: Of a run.

    Returns:
        The figure for wide and narrow pages; None for two classes, where E^r is zero everywhere.
    """
    entropy = data.features.column("renormed-entropy")
    if float(entropy.max() - entropy.min()) < 1e-9:
        return None
    plane = _plane(data)
    panels = _panels(data, plane)
    return both_widths(lambda width: _draw(plane, panels, width))


def _plane(data: RunData) -> _Plane:
    loss, entropy = (data.features.column(name).numpy() for name in ("loss", "renormed-entropy"))
    bins = int(np.clip(np.sqrt(len(loss)) / 2, _MIN_BINS, _MAX_BINS))
    low, middle, high = (float(q) for q in np.quantile(loss, [0.01, 0.1, 0.995]))
    logarithmic = low > 0 and high / middle > _WIDE_RATIO
    x = _scale(low if logarithmic else float(loss.min()), high, bins, logarithmic=logarithmic)
    bottom, top = (float(q) for q in np.quantile(entropy, [0.005, 0.995]))
    y = _scale(bottom if bottom > top / 2 else 0.0, top, bins)
    columns, rows = (
        np.array([min(int(scale(value)), bins - 1) for value in values])
        for scale, values in ((x, loss), (y, entropy))
    )
    return _Plane(x, y, columns, rows, bins)


def _scale(low: float, high: float, bins: int, *, logarithmic: bool = False) -> Scale:
    return Scale(low, high if high > low else low + 1, 0, bins, logarithmic)


def _panels(data: RunData, plane: _Plane) -> list[_Panel]:
    counts = plane.total(np.ones(len(data.labels)))
    groups: list[tuple[str, np.ndarray]] = [("examples", counts)]
    if data.wrong is not None:
        wrong = plane.total(data.wrong.double().numpy())
        groups = [("right labels", counts - wrong), ("wrong labels", wrong)]
    panels = [
        _Panel(
            f"where {name} lie", f"at most {values.max():.0f} in a cell", np.sqrt(values), values > 0, "grey"
        )
        for name, values in groups
    ]
    draws = plane.total(data.draws.numpy()) / np.maximum(counts, 1)
    note = f"at most {draws.max():.1f} an epoch"
    panels.append(_Panel("how often they are drawn", note, draws, counts > 0, "accent"))
    return panels


def _draw(plane: _Plane, panels: list[_Panel], width: int) -> Canvas:
    narrow = width < 500
    gap, left, bottom = 18, 40, 46
    size = width - left - 30 if narrow else (width - left - gap * (len(panels) - 1)) / max(2.5, len(panels))
    # Whole numbers of units a cell leave no seams between neighbours.
    size = plane.bins * int(size / plane.bins)
    tall = size + (64 if narrow else 44)
    canvas = Canvas(
        width,
        tall * len(panels) + bottom if narrow else tall + bottom,
        name="plane",
        title="Examples and drawing probability over loss and entropy of the wrong classes",
        description=_describe(panels),
    )
    for i, panel in enumerate(panels):
        at_x, at_y = (left, 36 + i * tall) if narrow else (left + i * (size + gap), 36)
        _draw_panel(canvas, panel, at_x, at_y, size)
        _ticks(
            canvas, plane, at_x, at_y, size, first=narrow or i == 0, last=not narrow or i == len(panels) - 1
        )
    end = left + size if narrow else left + len(panels) * (size + gap) - gap
    words = "loss, nats (logarithmic)" if plane.x.logarithmic else "loss, nats"
    canvas.text((left + end) / 2, canvas.height - 8, words, "caption", anchor="middle")
    return canvas


def _describe(panels: list[_Panel]) -> str:
    return (
        "Panels from left to right: " + "; ".join(f"{panel.title} ({panel.note})" for panel in panels) + "."
    )


def _draw_panel(canvas: Canvas, panel: _Panel, x: float, y: float, size: float) -> None:
    canvas.text(x, y - 22, panel.title, "label strong" if panel.ramp == "accent" else "label")
    canvas.text(x, y - 7, panel.note, "tick")
    cell = size / len(panel.values)
    highest = float(panel.values.max()) or 1.0
    level = np.ceil(panel.values / highest * LEVELS).clip(1, LEVELS).astype(int)
    never = panel.present & (panel.values < _NEVER) & (panel.ramp == "accent")

    def corners(where: np.ndarray) -> list[tuple[float, float]]:
        return [(x + i * cell, y + size - (j + 1) * cell) for i, j in np.argwhere(where)]

    canvas.squares([(a + 0.5, b + 0.5) for a, b in corners(never)], cell - 1, cell - 1, "never")
    for k in range(1, LEVELS + 1):
        canvas.squares(corners(panel.present & ~never & (level == k)), cell, cell, f"{panel.ramp}-{k}")
    canvas.rect(x, y, size, size, "frame")


def _ticks(
    canvas: Canvas, plane: _Plane, x: float, y: float, size: float, *, first: bool, last: bool
) -> None:
    across = Scale(plane.x.low, plane.x.high, x, x + size, plane.x.logarithmic)
    up = Scale(plane.y.low, plane.y.high, y + size, y)
    if last:
        for tick in across.ticks(4):
            canvas.line(across(tick), y + size, across(tick), y + size + 4, "axis")
            canvas.text(across(tick), y + size + 17, f"{tick:g}", "tick", anchor="middle")
    if first:
        for tick in up.ticks(4):
            canvas.line(x - 4, up(tick), x, up(tick), "axis")
            canvas.text(x - 7, up(tick) + 4, f"{tick:g}", "tick", anchor="end")
        canvas.vertical_text(x - 30, y + size / 2, "E\N{MODIFIER LETTER SMALL R}, nats", "caption")
