"""How clear the numerical rank of each layer is, and the counts of neurons that follow from the ranks."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.projection import RANK_TOLERANCE_RELATIVE

__all__ = ["ExactMode", "RankDecision", "count_bounds", "decide_rank", "needed_widths", "rank_decisions"]

ExactMode = Literal["design", "vertex-b", "vertex-c", "pair"]

# Singular values within this factor of the tolerance make the decision a matter of taste.
_NEAR = 10.0


@dataclass(frozen=True)
class RankDecision:
    """Where the singular values of a layer's activations were cut.

    Attributes:
        layer: 0 for the inputs, otherwise the hidden layer.
        rank: Singular values above the tolerance.
        size: The rank that was possible: the smaller of points and neurons (bias column included).
        smallest_kept_relative: Smallest singular value that counts, over the largest.
        largest_dropped_relative: Largest that does not, over the largest; 0 if none was dropped.
    """

    layer: int
    rank: int
    size: int
    smallest_kept_relative: float
    largest_dropped_relative: float

    @property
    def is_clear(self) -> bool:
        """Whether no singular value lies within a factor of ten of the tolerance."""
        return (
            self.smallest_kept_relative >= _NEAR * RANK_TOLERANCE_RELATIVE
            and self.largest_dropped_relative <= RANK_TOLERANCE_RELATIVE / _NEAR
        )

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        return {**vars(self), "is_clear": self.is_clear}


def decide_rank(layer: int, features: Float[Tensor, "n m"]) -> RankDecision:
    """Cut the singular values of a layer's features at the tolerance of the reduction.

    Args:
        layer: Number to write down.
        features: Shape ``(n, m)``.

    Returns:
        The rank and how clear it is.

    Example:
        >>> decision = decide_rank(1, torch.diag(torch.tensor([1.0, 1e-3, 1e-15]).double()))
        >>> decision.rank, decision.size, decision.is_clear
        (2, 3, True)
    """
    values = torch.linalg.svdvals(features)
    largest = float(values[0]) if len(values) else 0.0
    if largest == 0.0:
        return RankDecision(layer, 0, min(features.shape), 1.0, 0.0)
    relative = values / largest
    rank = int((relative > RANK_TOLERANCE_RELATIVE).sum())
    dropped = float(relative[rank]) if rank < len(values) else 0.0
    return RankDecision(layer, rank, len(values), float(relative[rank - 1]), dropped)


def rank_decisions(
    network: HomogeneousNetwork, points: Float[Tensor, "n inputs"]
) -> tuple[RankDecision, ...]:
    """Decide the rank of what feeds each layer, bias column included.

    Args:
        network: Network in float64.
        points: Float64 rows.

    Returns:
        One decision for the inputs and one for each hidden layer.
    """
    features = points
    decisions = []
    for layer, values in enumerate(network.preactivations(points)):
        if network.biases[layer] is not None:
            features = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
        decisions.append(decide_rank(layer, features))
        if layer + 1 < network.depth:
            features = network.activate(layer + 1, values)
    return tuple(decisions)


def count_bounds(
    network: HomogeneousNetwork, points: Float[Tensor, "n inputs"], mode: ExactMode
) -> tuple[int, ...]:
    """Compute how many neurons a mode leaves at most in each hidden layer, from the numerical ranks.

    Args:
        network: Network in float64.
        points: Float64 rows.
        mode: Mode of the reduction.

    Returns:
        One count for each hidden layer.
    """
    values = network.preactivations(points)
    found = []
    for layer in range(1, network.depth):
        rank = decide_rank(layer, network.activate(layer, values[layer - 1])).rank
        above = min(decide_rank(layer, values[layer]).rank, rank)
        own = decide_rank(layer, values[layer - 1]).rank
        if mode == "pair":
            found.append((own * (own + 1) + rank * (rank + 1)) // 2)
        elif mode == "vertex-c":
            found.append(rank * (rank + 1) // 2)
        else:
            found.append(above * rank - above * (above - 1) // 2)
    return tuple(found)


def needed_widths(
    mode: ExactMode, bounds: tuple[int, ...], decisions: tuple[RankDecision, ...]
) -> tuple[int, ...]:
    """Say above which width a layer has superfluous neurons whatever the weights are.

    A vertex step can empty neurons above the bound. A design can trade neurons as soon as there are more of
    them than the outputs need, which is the rank of the activations.

    Args:
        mode: Mode of the reduction.
        bounds: From `count_bounds`.
        decisions: From `rank_decisions`.

    Returns:
        One width for each hidden layer.
    """
    if mode != "design":
        return bounds
    return tuple(min(bound, decision.rank) for bound, decision in zip(bounds, decisions[1:], strict=True))
