"""The policy of form e as a map over the ranks of its two features."""

from __future__ import annotations

import numpy as np
import torch
from markupsafe import Markup

from localmin.reports.plots.feature_plane import LEVELS
from localmin.reports.plots.scales import Scale
from localmin.reports.plots.svg import Canvas, both_widths
from localmin.reports.run_data import RunData

__all__ = ["map_figure"]

_CELLS = 32


def map_figure(data: RunData) -> Markup:
    """Draw expected draws per epoch over (rank of the loss, rank of E^r), with the node values.

    Args:
        data: Of a run whose policy has form e.

    Returns:
        The figure for wide and narrow pages.
    """
    return both_widths(lambda width: _draw(data, width))


def _draw(data: RunData, width: int) -> Canvas:
    form = data.form
    factor = float(data.draws.sum() / form.feature_weights(data.z, data.places).sum())
    nodes = data.z[: form.nodes[0] * form.nodes[1]].view(form.nodes).numpy() * factor
    # Whole numbers of units a cell leave no seams between neighbours.
    side = _CELLS * (min(width - 80, 420) // _CELLS)
    tall = side if width < 500 else _CELLS * (side * 5 // 8 // _CELLS)
    canvas = Canvas(
        width,
        tall + 96,
        name="policy",
        title="Expected draws per epoch over the ranks of loss and entropy of the wrong classes",
        description="Values at the nodes, loss by entropy: "
        + "; ".join(", ".join(f"{value:.2f}" for value in row) for row in nodes)
        + ".",
    )
    x, y = Scale(0, 1, 44, 44 + side), Scale(0, 1, 36 + tall, 36)
    _cells(canvas, data, x, y)
    canvas.text(x.start, 18, "expected draws per epoch, at the nodes", "caption")
    for i, j in np.ndindex(*nodes.shape):
        at_x, at_y = x(i / (nodes.shape[0] - 1)), y(j / (nodes.shape[1] - 1))
        canvas.circle(at_x, at_y, 3.6, "node")
        anchor = "start" if i == 0 else "end" if i == nodes.shape[0] - 1 else "middle"
        canvas.text(at_x, at_y + (16 if at_y < 60 else -9), f"{nodes[i, j]:.2f}", "value halo", anchor=anchor)
    for tick in (0, 0.25, 0.5, 0.75, 1):
        canvas.text(x(tick), y.start + 18, f"{tick:g}", "tick", anchor="middle")
        canvas.text(x.start - 8, y(tick) + 4, f"{tick:g}", "tick", anchor="end")
    canvas.text((x.start + x.end) / 2, y.start + 40, "rank of the loss", "caption", anchor="middle")
    canvas.vertical_text(12, (y.start + y.end) / 2, "rank of E\N{MODIFIER LETTER SMALL R}", "caption")
    return canvas


def _cells(canvas: Canvas, data: RunData, x: Scale, y: Scale) -> None:
    middle = (torch.arange(_CELLS, dtype=torch.float64) + 0.5) / _CELLS
    values = data.form.feature_weights(data.z, torch.cartesian_prod(middle, middle)).view(_CELLS, _CELLS)
    levels = (values / values.max() * LEVELS).ceil().clamp(0, LEVELS).int().numpy()
    width, height = (x.end - x.start) / _CELLS, (y.start - y.end) / _CELLS
    for level in range(1, LEVELS + 1):
        corners = [(x.start + i * width, y.start - (j + 1) * height) for i, j in np.argwhere(levels == level)]
        canvas.squares(corners, width, height, f"accent-{level}")
    canvas.rect(x.start, y.end, x.end - x.start, y.start - y.end, "frame")
