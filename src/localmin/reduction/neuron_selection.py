"""Neurons of one hidden layer that stay, with their weights; re-weighting by an optimal design."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from localmin.reduction.design import DesignProblem, DesignResult, solve_design
from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.projection import RANK_TOLERANCE_RELATIVE, minimal_norm_layer

__all__ = [
    "LayerView",
    "Selection",
    "VertexMode",
    "apply_selection",
    "design_selection",
    "path_network",
    "view_layer",
    "whitened_rows",
]

VertexMode = Literal["pair", "vertex-b", "vertex-c"]


@dataclass(frozen=True)
class Selection:
    """Which neurons of a layer stay, and by what their rank-one covariances are multiplied.

    Attributes:
        layer: Number of the hidden layer, 1 is the first.
        kept: Indices of the neurons that stay, ascending, shape ``(k,)``.
        weights: ``alpha > 0``; incoming weights and bias are multiplied by its square root. Shape ``(k,)``.
    """

    layer: int
    kept: Int[Tensor, " k"]
    weights: Float[Tensor, " k"]


@dataclass(frozen=True)
class LayerView:
    """One hidden layer on the points, with its two neighbours.

    Attributes:
        layer: Number of the layer.
        preactivations: ``Z_l``, one row a point, shape ``(n, m)``.
        features: ``sigma(Z_l)``, shape ``(n, m)``.
        costs: ``a_j``, squared norm of the weights into each neuron, shape ``(m,)``.
        outgoing: ``W_{l+1}`` without its bias, shape ``(k, m)``.
        next_bias: Bias of layer ``l+1``, or None.
        next_preactivations: ``Z_{l+1}``, shape ``(n, k)``.
    """

    layer: int
    preactivations: Float[Tensor, "n m"]
    features: Float[Tensor, "n m"]
    costs: Float[Tensor, " m"]
    outgoing: Float[Tensor, "k m"]
    next_bias: Float[Tensor, " k"] | None
    next_preactivations: Float[Tensor, "n k"]


def view_layer(network: HomogeneousNetwork, points: Float[Tensor, "n inputs"], layer: int) -> LayerView:
    """Collect what a selection in one hidden layer needs.

    Args:
        network: Network in float64.
        points: Float64 rows.
        layer: Number of the hidden layer, 1 is the first.

    Returns:
        The view.
    """
    values = network.preactivations(points)
    return LayerView(
        layer,
        values[layer - 1],
        network.activate(layer, values[layer - 1]),
        network.incoming_norms_squared(layer),
        network.weights[layer],
        network.biases[layer],
        values[layer],
    )


def design_selection(
    view: LayerView,
    *,
    max_steps: int,
    gap_tolerance_relative: float,
    drop_below_relative: tuple[float, ...],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Selection], DesignResult]:
    """Re-weight the neurons of a layer by an optimal design and drop those whose share vanishes.

    Args:
        view: The layer.
        max_steps: As in `solve_design`.
        gap_tolerance_relative: As in `solve_design`.
        drop_below_relative: Neurons whose cost ``a_j alpha_j`` is below this share of the largest are
            dropped; the next min-norm solve absorbs them.
        progress: As in `solve_design`.

    Returns:
        One selection for each entry of ``drop_below_relative``, and the design with its certified gap.
    """
    augmented, outgoing = view.features.T, view.outgoing
    if view.next_bias is not None:
        augmented = torch.cat([augmented, augmented.new_ones(1, augmented.shape[1])])
        outgoing = torch.cat([outgoing, view.next_bias[:, None]], dim=1)
    left = whitened_rows(augmented)
    num_neurons = view.features.shape[1]
    bias = left[num_neurons] if view.next_bias is not None else left.new_zeros(left.shape[1])
    problem = DesignProblem(left[:num_neurons], bias, outgoing @ left, view.costs)
    result = solve_design(
        problem, max_steps=max_steps, gap_tolerance_relative=gap_tolerance_relative, progress=progress
    )
    share = result.weights * view.costs
    selections = []
    for threshold in drop_below_relative:
        kept = torch.nonzero(share > threshold * share.max()).flatten()
        selections.append(Selection(view.layer, kept, result.weights[kept]))
    return selections, result


def apply_selection(
    network: HomogeneousNetwork, points: Float[Tensor, "n inputs"], selection: Selection
) -> HomogeneousNetwork:
    """Keep the selected neurons, scaled, and give the next layer its smallest weights with the same result.

    Args:
        network: Network in float64.
        points: Float64 rows.
        selection: What stays.

    Returns:
        Network with one narrower layer and the same pre-activations on the points wherever the kept
        neurons can express them.
    """
    view = view_layer(network, points, selection.layer)
    return _with_neurons(network, view, selection.kept, selection.weights)


def path_network(
    network: HomogeneousNetwork,
    points: Float[Tensor, "n inputs"],
    selection: Selection,
    time: float,
) -> HomogeneousNetwork:
    """Build a point of the line of weights ``alpha(t) = 1 + t (alpha - 1)`` that a selection moves along.

    For a vertex selection the outputs on the points are the same for every ``t``; for "pair" so is the
    norm, otherwise it does not increase.

    Args:
        network: Network in float64 before the step.
        points: Float64 rows.
        selection: The step.
        time: From 0 (nothing changed) to 1 (step done, emptied neurons still there as zeros).

    Returns:
        Network of the same widths.
    """
    view = view_layer(network, points, selection.layer)
    target = view.costs.new_zeros(view.costs.shape)
    target[selection.kept] = selection.weights
    weights = 1.0 + time * (target - 1.0)
    return _with_neurons(network, view, torch.arange(len(weights)), weights)


def _with_neurons(
    network: HomogeneousNetwork, view: LayerView, kept: Tensor, weights: Tensor
) -> HomogeneousNetwork:
    scale = weights.sqrt()
    bias = network.biases[view.layer - 1]
    incoming = (
        network.weights[view.layer - 1][kept] * scale[:, None],
        None if bias is None else bias[kept] * scale,
    )
    next_weight, next_bias, _ = minimal_norm_layer(
        view.features[:, kept] * scale, view.next_preactivations, view.next_bias is not None
    )
    return network.with_layers({view.layer: incoming, view.layer + 1: (next_weight, next_bias)})


def whitened_rows(
    rows: Float[Tensor, "m n"], rank_tolerance_relative: float = RANK_TOLERANCE_RELATIVE
) -> Float[Tensor, "m r"]:
    """Turn rows into coordinates in which their covariance is the identity.

    Without this, directions of small variance, which the next min-norm solve amplifies, would be matched to
    absolute accuracy only.

    Args:
        rows: One row a neuron.
        rank_tolerance_relative: Directions below this share of the largest singular value are left out.

    Returns:
        Orthonormal columns that span the columns of ``rows``.
    """
    left: Tensor
    left, values, _ = torch.linalg.svd(rows, full_matrices=False)
    rank = int((values > rank_tolerance_relative * values[:1]).sum())
    return left[:, :rank]
