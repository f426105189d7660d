"""The policy as a curve: how often an example is drawn, over the place its features give it."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from markupsafe import Markup
from torch import Tensor

from localmin.reports.plots.scales import Scale
from localmin.reports.plots.svg import Canvas, both_widths, text_width
from localmin.reports.run_data import RunData
from localmin.sampling.forms import piecewise_linear

__all__ = ["FEATURE_WORDS", "curve_figure"]

FEATURE_WORDS = {"loss": "loss", "renormed-entropy": "entropy of the wrong classes"}
_BINS = 24
_DENSITY_HEIGHT = 0.5  # of the plot
_LABEL_BINS = 6
_Curve = tuple[str, Float[Tensor, " m"], Float[Tensor, " n"], float]


def curve_figure(data: RunData) -> Markup:
    """Draw the curve of forms a and d, or the two factors of form b.

    Args:
        data: Of a run whose policy has another form than e, which is a map.

    Returns:
        The figure for wide and narrow pages.
    """
    return both_widths(lambda width: _draw(data, width))


def _draw(data: RunData, width: int) -> Canvas:
    curves = _curves(data)
    side_by_side = len(curves) > 1 and width > 500
    height = 330
    canvas = Canvas(
        width,
        height if side_by_side else height * len(curves),
        name="policy",
        title="How often an example is drawn",
        description=" ".join(_describe(name, nodes, scale) for name, nodes, _, scale in curves),
    )
    share = width / len(curves) if side_by_side else width
    for position, curve in enumerate(curves):
        left = position * share if side_by_side else 0
        top = 0 if side_by_side else position * height
        _Panel(canvas, data, curve, left=left, top=top, width=share, height=height).draw()
    return canvas


def _curves(data: RunData) -> list[_Curve]:
    """List (what it is over, node values, places of the examples, factor that turns nodes into draws)."""
    form, z = data.form, data.z
    if form.name == "b":
        cut = form.nodes[0]
        parts = (z[:cut], z[cut : cut + form.nodes[1]])
        return [
            (FEATURE_WORDS[name], nodes, data.places[:, i], 1.0)
            for i, (name, nodes) in enumerate(zip(form.features, parts, strict=True))
        ]
    start = 1 if form.has_angle else 0
    nodes = z[start : start + form.nodes[0]]
    tau = form.feature_weights(z, data.places)
    # Under a class prior the examples of one place differ in probability: the curve is their mean.
    factor = float(data.draws.sum() / tau.sum())
    return [("mixture" if form.has_angle else "loss", nodes, data.places[:, 0], factor)]


def _describe(name: str, nodes: Float[Tensor, " m"], factor: float) -> str:
    values = ", ".join(f"{factor * float(value):.2f}" for value in nodes)
    return f"Height of the curve over the rank of the {name}, from lowest to highest: {values}."


class _Panel:
    """One curve with the density of the examples behind it."""

    def __init__(
        self,
        canvas: Canvas,
        data: RunData,
        curve: _Curve,
        *,
        left: float,
        top: float,
        width: float,
        height: float,
    ) -> None:
        self.canvas, self.data = canvas, data
        self.name, self.nodes, self.places, self.factor = curve
        self.is_factor = data.form.name == "b"
        highest = self.factor * float(self.nodes.max())
        self.x = Scale(0, 1, left + 40, left + width - 14)
        self.y = Scale(0, max(1.0, highest) * 1.12, top + height - 70, top + 30)

    def draw(self) -> None:
        """Draw from back to front."""
        self._density()
        self._axes()
        self._curve()

    def _density(self) -> None:
        wrong = self.data.wrong
        everything = self._counts(torch.ones_like(self.places, dtype=torch.bool))
        upper = self._counts(wrong) if wrong is not None else np.zeros_like(everything)
        # Below the line of uniform drawing, so that its name stays legible.
        unit = min(_DENSITY_HEIGHT * (self.y.start - self.y.end), 0.86 * (self.y.start - self.y(1))) / max(
            1.0, float(everything.max())
        )
        bar = (self.x.end - self.x.start) / _BINS
        for i, (count, bad) in enumerate(zip(everything, upper, strict=True)):
            x, good = self.x.start + i * bar, (count - bad) * unit
            if count > bad:
                self.canvas.rect(x + 0.5, self.y.start - good, bar - 1, good, "density")
            if bad:
                self.canvas.rect(
                    x + 0.5, self.y.start - good - bad * unit, bar - 1, bad * unit, "density-wrong"
                )
        self._density_labels(everything, upper, unit, bar)

    def _density_labels(self, everything: np.ndarray, wrong: np.ndarray, unit: float, bar: float) -> None:
        if not wrong.any():
            self.canvas.text(self.x.start + 6, self.y.start - 8, "examples", "in-density")
            return
        right = everything - wrong
        near_best, near_worst = (np.convolve(c, np.ones(_LABEL_BINS), "valid") for c in (right, wrong))
        # Low places are on the left, where the curve is high and out of the way.
        best = int(np.argmax(near_best >= 0.85 * near_best.max())) + (_LABEL_BINS - 1) / 2
        worst = int(np.nonzero(near_worst >= 0.85 * near_worst.max())[0][-1]) + (_LABEL_BINS - 1) / 2
        self._inside(best, "right labels", self.y.start - 8, bar, "in-density")
        around = slice(int(worst), int(worst) + 2)
        base = float(right[around].max()) * unit
        self._inside(worst, "wrong labels", self.y.start - base - 8, bar, "in-density-wrong")

    def _inside(self, bin_: float, content: str, y: float, bar: float, kind: str) -> None:
        half = text_width(content) / 2
        middle = self.x.start + (bin_ + 0.5) * bar
        self.canvas.text(
            min(max(middle, self.x.start + half), self.x.end - half), y, content, kind, anchor="middle"
        )

    def _counts(self, chosen: Tensor) -> np.ndarray:
        counts, _ = np.histogram(self.places[chosen].numpy(), bins=_BINS, range=(0, 1))
        return counts.astype(np.float64)

    def _axes(self) -> None:
        canvas, x, y = self.canvas, self.x, self.y
        for tick in y.ticks(4):
            canvas.line(x.start, y(tick), x.end, y(tick), "grid")
            canvas.text(x.start - 7, y(tick) + 4, f"{tick:g}", "tick", anchor="end")
        canvas.line(x.start, y.start, x.end, y.start, "axis")
        for tick in (0, 0.25, 0.5, 0.75, 1):
            anchor = "start" if tick == 0 else "end" if tick == 1 else "middle"
            canvas.text(x(tick), y.start + 16, f"{tick:g}", "tick", anchor=anchor)
            canvas.text(x(tick), y.start + 32, self._near(tick), "tick faint", anchor=anchor)
        canvas.text((x.start + x.end) / 2, y.start + 52, self._axis_words(), "caption", anchor="middle")
        self.canvas.text(x.start, y.end - 14, self._title(), "caption")

    def _title(self) -> str:
        return f"factor for the {self.name}" if self.is_factor else "expected draws per epoch"

    def _axis_words(self) -> str:
        feature = "E\N{MODIFIER LETTER SMALL R}" if self.name == FEATURE_WORDS["renormed-entropy"] else "loss"
        place = "in the mixture" if self.name == "mixture" else f"by {feature}"
        return f"place {place}, and the median {feature} there"

    def _near(self, place: float) -> str:
        """Write the median feature of the nearest examples: ranks alone mean little to a reader."""
        name = "renormed-entropy" if self.name == FEATURE_WORDS["renormed-entropy"] else "loss"
        values = self.data.features.column(name)
        nearest = torch.topk((self.places - place).abs(), max(1, len(values) // 50), largest=False).indices
        return _short(float(values[nearest].median()))

    def _curve(self) -> None:
        canvas, x, y = self.canvas, self.x, self.y
        if not self.is_factor:
            canvas.line(x.start, y(1), x.end, y(1), "uniform-line")
            canvas.text(x.end, y(1) - 6, "uniform", "tick halo", anchor="end")
        grid = torch.linspace(0, 1, 1 + 8 * (len(self.nodes) - 1), dtype=torch.float64)
        heights = self.factor * piecewise_linear(grid, self.nodes)
        canvas.path(((x(float(u)), y(float(h))) for u, h in zip(grid, heights, strict=True)), "curve")
        for j, value in enumerate(self.nodes.tolist()):
            place = j / (len(self.nodes) - 1)
            canvas.circle(x(place), y(self.factor * value), 3.6, "node", hint=f"node {j}: {value:.3f}")


def _short(value: float) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return (
        f"{value:.1e}".replace("e-0", "e-")
        if abs(value) < 0.001
        else f"{value:.2g}"
        if abs(value) < 10
        else f"{value:.0f}"
    )
