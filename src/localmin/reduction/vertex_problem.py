"""Vertices: as few neurons of a layer as Carathéodory's theorem gives (modes "pair", B and C)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.reduction.caratheodory import Solver, recombine
from localmin.reduction.neuron_selection import LayerView, Selection, VertexMode, whitened_rows
from localmin.reduction.projection import RANK_TOLERANCE_RELATIVE
from localmin.reduction.reduction_plan import vertex_memory_bytes

__all__ = ["VertexProblem"]

# A Gram matrix shows dependence only up to the square root of rounding.
_INDEPENDENT_RELATIVE = 1e-9


@dataclass(frozen=True)
class VertexProblem:
    """What the weights of a layer's neurons must keep, and what they must not raise.

    With ``r = rank sigma(Z_l)``, ``r_z = rank Z_l`` and ``r'`` the rank of the outgoing weights on the
    points, the number of constraints is: "pair" ``r_z (r_z+1)/2 + r (r+1)/2`` (both covariances kept),
    "vertex-c" ``r (r+1)/2`` (covariance of the activations kept), "vertex-b" ``r' r - r'(r'-1)/2`` (next
    pre-activations kept; the outgoing weights must be the smallest with these pre-activations).

    Attributes:
        layer: Number of the hidden layer.
        blocks: Constraints.
        costs: Norm that one unit of weight of each neuron stands for, shape ``(m,)``.

    Source:
        "pair": Jacot et al. 2022, Section on sparsity, N(N+1). "vertex-b" and "vertex-c": derived here.
    """

    layer: int
    blocks: "tuple[SymmetricBlock, ...]"
    costs: Float[Tensor, " m"]

    @classmethod
    def of(
        cls, view: LayerView, mode: VertexMode, rank_tolerance_relative: float = RANK_TOLERANCE_RELATIVE
    ) -> "VertexProblem":
        """Set up the problem of a layer.

        Args:
            view: The layer.
            mode: What is kept.
            rank_tolerance_relative: Directions of the activations below this share are not constrained;
                anything above the rounding makes the step an approximate one.

        Returns:
            The problem.
        """
        whitened = whitened_rows(view.features.T, rank_tolerance_relative)
        none = whitened[:, :0]
        if mode == "vertex-c":
            return cls(view.layer, (SymmetricBlock(whitened, none),), view.costs)
        if mode == "pair":
            values = whitened_rows(view.preactivations.T, rank_tolerance_relative)
            blocks = (SymmetricBlock(whitened, none), SymmetricBlock(values, values[:, :0]))
            return cls(view.layer, blocks, view.costs)
        # w_out,j = G u_j, so that sum_j alpha_j w_out,j u_jᵀ = G sum_j alpha_j u_j u_jᵀ: turn the
        # coordinates such that G looks at the first r' of them. What is left to keep is p pᵀ and p tᵀ,
        # without redundancy.
        gain = view.outgoing @ whitened
        _, values, right = torch.linalg.svd(gain, full_matrices=True)
        rank = int((values > RANK_TOLERANCE_RELATIVE * values[:1]).sum())
        turned = whitened @ right.T
        costs = view.costs + view.outgoing.square().sum(dim=0)
        return cls(view.layer, (SymmetricBlock(turned[:, :rank], turned[:, rank:]),), costs)

    @property
    def num_rows(self) -> int:
        """Number of constraints: at most this many neurons stay."""
        return sum(block.num_rows for block in self.blocks)

    @property
    def num_neurons(self) -> int:
        """Number of neurons."""
        return len(self.costs)

    @property
    def can_shrink(self) -> bool:
        """Whether there are more neurons than constraints."""
        return self.num_neurons > self.num_rows

    @property
    def memory_bytes(self) -> int:
        """Estimate of the memory that `solve` takes."""
        return vertex_memory_bytes(self.num_rows, self.num_neurons)

    def solve(
        self, solver: Solver = "auto", progress: Callable[[int, int], None] | None = None
    ) -> Selection | None:
        """Choose neurons.

        Args:
            solver: As in `recombine`.
            progress: As in `recombine`.

        Returns:
            At most `num_rows` neurons of no larger cost; None if no neuron can go.

        Cost:
            As `recombine`.
        """
        if not self.can_shrink and self._independent():
            return None
        columns = torch.cat([block.columns() for block in self.blocks])
        ones = self.costs.new_ones(self.num_neurons)
        result = recombine(columns, ones, self.costs, solver=solver, progress=progress)
        if len(result.indices) == self.num_neurons:
            return None
        return Selection(self.layer, result.indices, result.weights)

    def _independent(self) -> bool:
        gram = torch.stack([block.gram() for block in self.blocks]).sum(dim=0)
        lengths = gram.diagonal().sqrt()
        if bool((lengths == 0).any()):
            return False
        smallest = torch.linalg.eigvalsh(gram / torch.outer(lengths, lengths))[0]
        return bool(smallest > _INDEPENDENT_RELATIVE)


@dataclass(frozen=True)
class SymmetricBlock:
    """Constraints ``sum_j alpha_j p_j p_jᵀ`` and, where there are ``t_j``, ``sum_j alpha_j p_j t_jᵀ``.

    Attributes:
        rows: ``p_j``, shape ``(m, r')``.
        others: ``t_j``, shape ``(m, r - r')``.
    """

    rows: Float[Tensor, "m first"]
    others: Float[Tensor, "m second"]

    @property
    def num_rows(self) -> int:
        """Number of constraints."""
        rank = self.rows.shape[1]
        return rank * (rank + 1) // 2 + rank * self.others.shape[1]

    def columns(self) -> Float[Tensor, "d m"]:
        """Write the constraints as columns, one a neuron; off-diagonal entries count twice."""
        rank = self.rows.shape[1]
        first, second = torch.triu_indices(rank, rank)
        factor = self.rows.new_full(first.shape, 2.0**0.5).masked_fill(first == second, 1.0)
        symmetric = self.rows[:, first] * self.rows[:, second] * factor
        mixed = (self.rows[:, :, None] * self.others[:, None, :]).flatten(1)
        return torch.cat([symmetric, mixed], dim=1).T

    def gram(self) -> Float[Tensor, "m m"]:
        """Compute inner products of the columns without forming them."""
        inner = self.rows @ self.rows.T
        result: Tensor = inner.square() + inner * (self.others @ self.others.T)
        return result
