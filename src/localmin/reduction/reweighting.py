"""Re-weighting of the neurons of every layer, without removing vertices: the design step on its own."""

from dataclasses import dataclass
from typing import Generic

from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.reduction.design import DesignResult
from localmin.reduction.model_reading import ModelT, read_model, read_points
from localmin.reduction.neuron_selection import apply_selection, design_selection, view_layer
from localmin.reduction.projection import projected

__all__ = ["Reweighting", "reweight"]


@dataclass(frozen=True)
class Reweighting(Generic[ModelT]):
    """Result of `reweight`.

    Attributes:
        network: Model of the kind that was given.
        design: Weights, value, certified lower bound and history of the layer's design.
        norm_before: Squared norm of the projected network.
        norm_after: Squared norm after.
    """

    network: ModelT
    design: DesignResult
    norm_before: float
    norm_after: float


def reweight(
    model: ModelT,
    x: Float[Tensor, "n inputs"],
    layer: int,
    *,
    max_steps: int = 1000,
    gap_tolerance_relative: float = 1e-4,
    drop_below_relative: float = 1e-6,
) -> Reweighting[ModelT]:
    """Give the neurons of one hidden layer the best weights for their directions.

    Args:
        model: As in `read_model`; it is projected first.
        x: Points, shape ``(n, n_0)``.
        layer: Number of the hidden layer, 1 is the first.
        max_steps: As in `solve_design`.
        gap_tolerance_relative: As in `solve_design`.
        drop_below_relative: Neurons with less than this share of the largest neuron's norm are dropped.

    Returns:
        The network with the same outputs on ``x`` and the certified gap of the layer.

    Raises:
        InputError: If there is no such hidden layer.

    Source:
        Derived here, see `solve_design`.

    Cost:
        ``O(n_l n²)`` a step.
    """
    reading = read_model(model)
    if not 1 <= layer < reading.network.depth:
        raise InputError(f"expected a hidden layer from 1 to {reading.network.depth - 1}, got {layer}")
    points = read_points("x", x, reading)
    network, _ = projected(reading.network, points)
    view = view_layer(network, points, layer)
    alive = (view.costs > 0).nonzero().flatten()
    if len(alive) == 0:
        raise InputError(f"every neuron of layer {layer} is zero on the points: nothing to weigh")
    selections, design = design_selection(
        view,
        max_steps=max_steps,
        gap_tolerance_relative=gap_tolerance_relative,
        drop_below_relative=(drop_below_relative,),
    )
    after = apply_selection(network, points, selections[0])
    return Reweighting(reading.rebuild(after), design, network.squared_norm, after.squared_norm)
