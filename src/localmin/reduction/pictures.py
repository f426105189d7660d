"""Pictures of a hidden layer: its points and its neurons, with the forces that act on them."""

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.charts import Chart, Series
from localmin.errors import InputError
from localmin.reduction.forces import attraction_repulsion
from localmin.reduction.layer_representations import representations
from localmin.reduction.model_reading import ModelT

__all__ = ["layer_pictures"]

_ARROW_OF_SPREAD = 0.25


def layer_pictures(
    model: ModelT,
    x: Float[Tensor, "n inputs"],
    layer: int,
    *,
    labels: Tensor | None = None,
    smoothing_relative: float = 1e-3,
) -> tuple[Chart, Chart]:
    """Draw the points and the neurons of a hidden layer in their two principal components, with forces.

    Points that the network treats alike come together; in trained networks with homogeneous activations
    neurons gather on rays. Attraction (to what the layer below gives cheaply) and repulsion (to what the
    layer above wants) are drawn as lines from each dot, all at one scale.

    Args:
        model: As in `read_model`.
        x: Points, shape ``(n, n_0)``.
        layer: Number of the hidden layer, 1 is the first.
        labels: Class of each point, shape ``(n,)``; one series a class.
        smoothing_relative: As in `attraction_repulsion`.

    Returns:
        Picture of the points (rows of ``Z_l``) and of the neurons (columns of ``Z_l``).

    Raises:
        InputError: If there is no such hidden layer, or the labels do not fit.

    Source:
        Jacot et al. 2022, Figure 1 (three classes of digits, two hidden layers of 50).

    Example:
        >>> from localmin.networks import ReLUNetwork
        >>> network = ReLUNetwork([torch.randn(9, 3), torch.randn(2, 9)])
        >>> points, neurons = layer_pictures(network, torch.randn(7, 3), 1)
        >>> len(points.series[0].x), len(neurons.series[0].x)
        (7, 9)
    """
    layers = representations(model, x).layers
    if not 1 <= layer < len(layers) - 1:
        raise InputError(f"expected a hidden layer from 1 to {len(layers) - 2}, got {layer}")
    values = layers[layer].preactivations
    if labels is not None and labels.shape != (len(values),):
        raise InputError(f"expected one label for each of {len(values)} points, got {tuple(labels.shape)}")
    forces = attraction_repulsion(model, x, smoothing_relative=smoothing_relative)[layer - 1]
    pulls, pushes = -forces.attraction, -forces.repulsion
    groups = {"points": torch.arange(len(values))}
    if labels is not None:
        groups = {f"class {int(c)}": torch.nonzero(labels == c).flatten() for c in torch.unique(labels)}
    everything = {"neurons": torch.arange(values.shape[1])}
    return (
        _picture(f"points-{layer}", f"Points in hidden layer {layer}", values, pulls, pushes, groups),
        _picture(
            f"neurons-{layer}", f"Neurons of hidden layer {layer}", values.T, pulls.T, pushes.T, everything
        ),
    )


def _picture(
    name: str, title: str, rows: Tensor, pulls: Tensor, pushes: Tensor, groups: dict[str, Tensor]
) -> Chart:
    # Neurons are compared from the origin: rays would not be seen from their mean.
    axes = torch.linalg.svd(rows, full_matrices=False)[2][:2]
    if len(axes) < 2:
        axes = torch.cat([axes, torch.zeros_like(axes)])
    dots = rows @ axes.T
    arrows = torch.stack([pulls @ axes.T, pushes @ axes.T])
    spread = float(dots.abs().max())
    scale = _ARROW_OF_SPREAD * spread / max(float(arrows.norm(dim=2).max()), 1e-300)
    series = [
        Series(label, tuple(dots[which, 0].tolist()), tuple(dots[which, 1].tolist()), kind="points")
        for label, which in groups.items()
    ]
    series.append(_arrows("attraction", dots, scale * arrows[0], "accent"))
    series.append(_arrows("repulsion", dots, scale * arrows[1], "muted"))
    note = (
        "Principal components about the origin; lines show where attraction and repulsion push each dot, the "
        "longest a quarter of the picture."
    )
    return Chart(
        name, title, "first principal component", "second principal component", tuple(series), note=note
    )


def _arrows(name: str, dots: Tensor, arrows: Tensor, emphasis: str) -> Series:
    # One series of short lines: a value that is not a number lifts the pen.
    ends = torch.stack([dots, dots + arrows, torch.full_like(dots, float("nan"))], dim=1)
    x = torch.where(ends[..., 0].isnan(), dots[:, None, 0], ends[..., 0])
    return Series(
        name,
        tuple(x.flatten().tolist()),
        tuple(ends[..., 1].flatten().tolist()),
        kind="line",
        emphasis=emphasis,  # type: ignore[arg-type]
    )
