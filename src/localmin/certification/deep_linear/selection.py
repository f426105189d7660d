"""Which singular components of the target a critical product uses, and a better choice if there is one."""

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.certification.deep_linear.normalisation import NormalisedProblem

__all__ = ["Exchange", "Selection", "best_exchange", "exchange_direction", "select_components"]

# Closer singular values count as one value with several vectors.
_CLUSTER_WIDTH = 1e-6


@dataclass(frozen=True, eq=False)
class Selection:
    """Singular components ``s_i u_i v_iᵀ`` of the target, in vectors adapted to the product.

    Args:
        values: ``s_i`` above the tolerance, descending.
        left: ``u_i`` as columns.
        right: ``v_i`` as columns.
        is_used: Whether the product contains the component. Among equal values the used ones come first.
    """

    values: Float[Tensor, " k"]
    left: Float[Tensor, "outputs k"]
    right: Float[Tensor, "inputs k"]
    is_used: tuple[bool, ...]

    @property
    def indices(self) -> tuple[int, ...]:
        """Numbers of the used components, counted from 1; among equal values the first ones."""
        return tuple(index for index, used in enumerate(self.is_used, start=1) if used)


@dataclass(frozen=True)
class Exchange:
    """A used component and an unused one with a larger singular value.

    Args:
        used: Position of the used component.
        unused: Position of the unused one.
        curvature: ``-2 s_i (s_q - s_i)``, normalised.
    """

    used: int
    unused: int
    curvature: float


def select_components(problem: NormalisedProblem, tolerance: float) -> Selection:
    """Find the components of the target that the product consists of.

    Args:
        problem: A nearly critical point.
        tolerance: Singular values up to this one count as zero.

    Returns:
        The selection. Vectors of equal singular values are rotated so that each is used or is not.

    Source:
        Derived here, from Kawaguchi 2016, Lemmas 4.2 and 4.6: at a critical point the product is the
        target projected on some of its singular vectors.
    """
    values = problem.target.values[problem.target.values > tolerance]
    left, right = (
        problem.target.left[:, : len(values)].clone(),
        problem.target.right[: len(values)].mT.clone(),
    )
    is_used: list[bool] = []
    for first, last in _clusters(values):
        part = slice(first, last)
        # A projector, up to the distance from the critical point: its eigenvalues are near 0 and 1.
        share = left[:, part].mT @ problem.chain.product @ right[:, part] / values[part].mean()
        shares, rotation = torch.linalg.eigh((share + share.mT) / 2)
        left[:, part] = left[:, part] @ rotation.flip(1)
        right[:, part] = right[:, part] @ rotation.flip(1)
        is_used += [bool(share > 0.5) for share in shares.flip(0)]
    return Selection(values, left, right, tuple(is_used))


def best_exchange(selection: Selection) -> Exchange | None:
    """Find the exchange of a used component for a larger unused one with the most negative curvature.

    Args:
        selection: Components with their use.

    Returns:
        The exchange, or None where the used components are the largest ones.
    """
    values = selection.values.tolist()
    clusters = list(_clusters(selection.values))
    cluster_of = {k: number for number, (first, last) in enumerate(clusters) for k in range(first, last)}
    unused = [k for k, used in enumerate(selection.is_used) if not used]
    if not unused:
        return None
    largest = unused[0]
    candidates = [
        Exchange(k, largest, -2.0 * values[k] * (values[largest] - values[k]))
        for k, used in enumerate(selection.is_used)
        if used and cluster_of[k] > cluster_of[largest]
    ]
    return min(candidates, key=lambda candidate: candidate.curvature, default=None)


def exchange_direction(
    problem: NormalisedProblem, selection: Selection, exchange: Exchange
) -> tuple[Float[Tensor, "_ _"], ...]:
    """Build the direction that rotates the used component towards the unused one.

    Args:
        problem: The point.
        selection: Its components.
        exchange: The pair.

    Returns:
        ``Δ_N = (u_q u_iᵀ - u_i u_qᵀ) W_N``, ``Δ_1 = -W_1 (v_q v_iᵀ - v_i v_qᵀ)``, zeros between; normalised
        coordinates. The second derivative along it is ``-2 s_i (s_q - s_i)`` in the units of the target.

    Source:
        Derived here.
    """
    i, q = exchange.used, exchange.unused
    left, right, weights = selection.left, selection.right, problem.chain.weights
    turn_left = torch.outer(left[:, q], left[:, i]) - torch.outer(left[:, i], left[:, q])
    turn_right = torch.outer(right[:, q], right[:, i]) - torch.outer(right[:, i], right[:, q])
    direction = [torch.zeros_like(weight) for weight in weights]
    direction[-1] += turn_left @ weights[-1]
    direction[0] -= weights[0] @ turn_right
    return tuple(direction)


def _clusters(values: Tensor) -> list[tuple[int, int]]:
    edges = [k for k in range(1, len(values)) if float(values[k - 1] - values[k]) > _CLUSTER_WIDTH]
    return list(itertools.pairwise([0, *edges, len(values)])) if len(values) else []
