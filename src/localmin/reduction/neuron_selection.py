"""Choosing neurons of one hidden layer and their weights: vertices (modes A, B, C) and re-weighting."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from localmin.reduction.caratheodory import Solver, recombine
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
    "vertex_selection",
    "view_layer",
]

VertexMode = Literal["pair", "vertex-b", "vertex-c"]

# A Gram matrix shows dependence only up to the square root of rounding.
_INDEPENDENT_RELATIVE = 1e-9
# The null space and the work space need about twice the memory of the columns.
_WORKSPACE_FACTOR = 2.5


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


def vertex_selection(
    view: LayerView,
    mode: VertexMode,
    *,
    solver: Solver = "auto",
    max_memory_bytes: float = 8 * 2.0**30,
) -> Selection | None:
    """Choose as few neurons as Carathéodory's theorem gives for a mode, at no larger norm.

    With ``r = rank sigma(Z_l)``, ``r_z = rank Z_l`` and ``r'`` the rank of the outgoing weights on the
    points, at most this many neurons stay:
    "pair" ``r_z (r_z+1)/2 + r (r+1)/2`` (both covariances kept), "vertex-c" ``r (r+1)/2`` (covariance of
    the activations kept), "vertex-b" ``r' r - r'(r'-1)/2`` (next pre-activations kept; the outgoing
    weights must be the smallest with these pre-activations).

    Args:
        view: The layer.
        mode: What is kept.
        solver: As in `recombine`.
        max_memory_bytes: Above this the step is not tried.

    Returns:
        The selection; None if no neuron can go, or the step needs too much memory.

    Source:
        "pair": Jacot et al. 2022, Section on sparsity, N(N+1). "vertex-b" and "vertex-c": derived here.

    Cost:
        One singular value decomposition of the features, then `recombine`.
    """
    blocks, costs = _constraints(view, mode)
    num_rows = sum(block.num_rows for block in blocks)
    num_neurons = view.features.shape[1]
    if num_neurons <= num_rows and _independent(blocks):
        return None
    if _WORKSPACE_FACTOR * 8 * num_rows * num_neurons > max_memory_bytes:
        return None
    columns = torch.cat([block.columns() for block in blocks])
    result = recombine(columns, view.costs.new_ones(num_neurons), costs, solver=solver)
    if len(result.indices) == num_neurons:
        return None
    return Selection(view.layer, result.indices, result.weights)


def design_selection(
    view: LayerView, *, max_steps: int, gap_tolerance_relative: float, drop_below_relative: tuple[float, ...]
) -> tuple[list[Selection], DesignResult]:
    """Re-weight the neurons of a layer by an optimal design and drop those whose share vanishes.

    Args:
        view: The layer.
        max_steps: As in `solve_design`.
        gap_tolerance_relative: As in `solve_design`.
        drop_below_relative: Neurons whose cost ``a_j alpha_j`` is below this share of the largest are
            dropped; the next min-norm solve absorbs them.

    Returns:
        One selection for each entry of ``drop_below_relative``, and the design with its certified gap.
    """
    augmented, outgoing = view.features.T, view.outgoing
    if view.next_bias is not None:
        augmented = torch.cat([augmented, augmented.new_ones(1, augmented.shape[1])])
        outgoing = torch.cat([outgoing, view.next_bias[:, None]], dim=1)
    left = _whitened(augmented)
    num_neurons = view.features.shape[1]
    bias = left[num_neurons] if view.next_bias is not None else left.new_zeros(left.shape[1])
    problem = DesignProblem(left[:num_neurons], bias, outgoing @ left, view.costs)
    result = solve_design(problem, max_steps=max_steps, gap_tolerance_relative=gap_tolerance_relative)
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


@dataclass(frozen=True)
class _SymmetricBlock:
    """Constraints ``sum_j alpha_j p_j p_jᵀ`` and, where there are ``t_j``, ``sum_j alpha_j p_j t_jᵀ``."""

    rows: Tensor
    others: Tensor

    @property
    def num_rows(self) -> int:
        rank = self.rows.shape[1]
        return rank * (rank + 1) // 2 + rank * self.others.shape[1]

    def columns(self) -> Tensor:
        rank = self.rows.shape[1]
        first, second = torch.triu_indices(rank, rank)
        factor = self.rows.new_full(first.shape, 2.0**0.5).masked_fill(first == second, 1.0)
        symmetric = self.rows[:, first] * self.rows[:, second] * factor
        mixed = (self.rows[:, :, None] * self.others[:, None, :]).flatten(1)
        return torch.cat([symmetric, mixed], dim=1).T

    def gram(self) -> Tensor:
        inner = self.rows @ self.rows.T
        result: Tensor = inner.square() + inner * (self.others @ self.others.T)
        return result


def _constraints(view: LayerView, mode: VertexMode) -> tuple[list[_SymmetricBlock], Tensor]:
    whitened = _whitened(view.features.T)
    none = whitened[:, :0]
    if mode == "vertex-c":
        return [_SymmetricBlock(whitened, none)], view.costs
    if mode == "pair":
        values = _whitened(view.preactivations.T)
        return [_SymmetricBlock(whitened, none), _SymmetricBlock(values, values[:, :0])], view.costs
    # w_out,j = G u_j, so that sum_j alpha_j w_out,j u_jᵀ = G sum_j alpha_j u_j u_jᵀ: turn the coordinates
    # such that G looks at the first r' of them. What is left to keep is p pᵀ and p tᵀ, without redundancy.
    gain = view.outgoing @ whitened
    _, values, right = torch.linalg.svd(gain, full_matrices=True)
    rank = int((values > RANK_TOLERANCE_RELATIVE * values[:1]).sum())
    turned = whitened @ right.T
    costs = view.costs + view.outgoing.square().sum(dim=0)
    return [_SymmetricBlock(turned[:, :rank], turned[:, rank:])], costs


def _whitened(rows: Tensor) -> Tensor:
    left: Tensor
    left, values, _ = torch.linalg.svd(rows, full_matrices=False)
    rank = int((values > RANK_TOLERANCE_RELATIVE * values[:1]).sum())
    return left[:, :rank]


def _independent(blocks: list[_SymmetricBlock]) -> bool:
    gram = torch.stack([block.gram() for block in blocks]).sum(dim=0)
    lengths = gram.diagonal().sqrt()
    if bool((lengths == 0).any()):
        return False
    smallest = torch.linalg.eigvalsh(gram / torch.outer(lengths, lengths))[0]
    return bool(smallest > _INDEPENDENT_RELATIVE)
