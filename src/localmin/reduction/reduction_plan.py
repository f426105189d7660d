"""What an exact reduction will need, said before it starts."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.model_reading import ModelT, read_model, read_points
from localmin.reduction.rank_decisions import ExactMode, count_bounds, needed_widths, rank_decisions

__all__ = ["LayerPlan", "ReductionPlan", "plan_reduction", "vertex_memory_bytes"]

# Columns, their normalised copy, the factorisation and the null space, measured (see benchmarks).
_WORKSPACE_FACTOR = 4.0


@dataclass(frozen=True)
class LayerPlan:
    """Size of the vertex step of one hidden layer.

    Attributes:
        layer: Number of the hidden layer.
        width: Its neurons.
        bound: Neurons that stay at most; the rows of the vertex problem.
        needed: Width from which on neurons are superfluous whatever the weights are: the bound, and for
            "design" the rank of the activations.
        can_shrink: Whether the layer is wider than that. Otherwise only dead or dependent neurons go.
        memory_bytes: What the vertex step takes.
    """

    layer: int
    width: int
    bound: int
    needed: int
    can_shrink: bool
    memory_bytes: int


@dataclass(frozen=True)
class ReductionPlan:
    """Result of `plan_reduction`.

    Attributes:
        mode: Mode planned.
        num_points: Points, extra points included.
        layers: One entry for each hidden layer.
        memory_bytes: Largest need of one step.
    """

    mode: ExactMode
    num_points: int
    layers: tuple[LayerPlan, ...]
    memory_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        return {**vars(self), "layers": [dict(vars(layer)) for layer in self.layers]}


def plan_reduction(
    model: ModelT,
    x: Float[Tensor, "n inputs"],
    *,
    mode: ExactMode = "design",
    extra_points: Float[Tensor, "extra inputs"] | None = None,
) -> ReductionPlan:
    """Say what `reduce` can remove at most and what memory its largest step takes, without doing it.

    Args:
        model: As in `read_model`.
        x: Points, shape ``(n, n_0)``.
        mode: As in `reduce`.
        extra_points: As in `reduce`.

    Returns:
        Counts and memory of each layer.

    Source:
        Counts as in `reduce`; memory from the sizes of the arrays.

    Cost:
        One forward pass and singular values of three matrices ``(n, n_l)`` a layer.

    Example:
        >>> from localmin.networks import ReLUNetwork
        >>> wide = ReLUNetwork([torch.ones(50, 1), torch.ones(1, 50)])
        >>> plan = plan_reduction(wide, torch.ones(3, 1))
        >>> plan.layers[0].bound, plan.layers[0].can_shrink
        (1, True)
    """
    reading = read_model(model)
    points = read_points("x", x, reading)
    if extra_points is not None:
        points = torch.cat([points, read_points("extra_points", extra_points, reading)])
    return planned(reading.network, points, mode)


def planned(network: HomogeneousNetwork, points: Float[Tensor, "n inputs"], mode: ExactMode) -> ReductionPlan:
    """Plan a reduction; the trusting twin of `plan_reduction`.

    Args:
        network: Network in float64.
        points: Float64 rows.
        mode: As in `reduce`.

    Returns:
        The plan.
    """
    bounds = count_bounds(network, points, mode)
    needed = needed_widths(mode, bounds, rank_decisions(network, points))
    layers = []
    for layer, (bound, need) in enumerate(zip(bounds, needed, strict=True), start=1):
        width = network.widths[layer]
        layers.append(LayerPlan(layer, width, bound, need, width > need, vertex_memory_bytes(bound, width)))
    largest = max((layer.memory_bytes for layer in layers), default=0)
    return ReductionPlan(mode, len(points), tuple(layers), largest)


def vertex_memory_bytes(num_rows: int, num_neurons: int) -> int:
    """Estimate the memory of one vertex step.

    Args:
        num_rows: Constraints.
        num_neurons: Columns.

    Returns:
        Bytes.
    """
    return int(_WORKSPACE_FACTOR * 8 * num_rows * num_neurons)
