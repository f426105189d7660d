"""Pairs of layers that, moved together, lower the loss at second order."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.certification.deep_linear.normalisation import NormalisedProblem
from localmin.numerics import null_space_basis

__all__ = ["PivotWitness", "open_pivots"]


@dataclass(frozen=True, eq=False)
class PivotWitness:
    """Negative curvature from a pair of layers.

    Args:
        pivot: Layers ``(i, j)``, ``i > j``, counted from 1.
        direction: Unit direction in the coordinates of the given weights; two layers are not zero.
        curvature: Predicted second derivative along it, in the units of the given problem.
    """

    pivot: tuple[int, int]
    direction: tuple[Float[Tensor, "_ _"], ...]
    curvature: float


def open_pivots(problem: NormalisedProblem, rank: int, tolerance: float) -> list[PivotWitness]:
    """Find all pairs of layers that are not tight, with the negative curvature of each.

    The pair ``(i, j)`` is tight when ``C_ij = A_iᵀ G B_jᵀ`` is zero or ``B_ij`` has the rank of the product.
    If the product uses the largest singular components, the Hessian is positive semi-definite exactly
    when all pairs are tight.

    Args:
        problem: A critical point whose product uses the largest components.
        rank: Rank of the product.
        tolerance: Below it, relative to the sizes involved, a singular value counts as zero.

    Returns:
        Witnesses, the most negative curvature first.

    Source:
        Derived here. It is the condition that Achour, Malgouyres and Gerchinovitz 2021 call tightened, for
        any data and widths; our wording of their condition is from memory.

    Cost:
        At most four singular value decompositions for each of the ``N (N - 1) / 2`` pairs.
    """
    chain = problem.chain
    null_spaces: dict[tuple[str, int], Tensor] = {}
    witnesses = []
    for lower in range(1, chain.depth):
        for upper in range(lower + 1, chain.depth + 1):
            coupling = chain.after(upper).mT @ problem.residual @ chain.before(lower).mT
            if coupling.numel() == 0:
                continue
            left, values, right = torch.linalg.svd(coupling, full_matrices=False)
            size = chain.norms_after[upper - 1] * chain.norms_before[lower - 1]
            if float(values[0]) <= tolerance * max(1.0, size):
                continue
            between = chain.between(upper, lower)
            between_values = torch.linalg.svdvals(between)
            cut = tolerance * max(1.0, float(between_values[0]) if len(between_values) else 0.0)
            if int((between_values > cut).sum()) <= rank:
                continue
            triple = left[:, 0], float(values[0]), right[0]
            witnesses += _witnesses(problem, (upper, lower), triple, null_spaces, tolerance)
    return sorted(witnesses, key=lambda witness: witness.curvature)


def _witnesses(
    problem: NormalisedProblem,
    pivot: tuple[int, int],
    triple: tuple[Tensor, float, Tensor],
    null_spaces: dict[tuple[str, int], Tensor],
    tolerance: float,
) -> list[PivotWitness]:
    chain = problem.chain
    (upper, lower), (e, sigma, c) = pivot, triple
    between = chain.between(upper, lower)
    found = []
    # Either the lower layer moves where the upper part of the network does not look ...
    blind = _null_space(null_spaces, "after", chain.after(lower), lower, tolerance)
    f, gain, weights = _largest(between @ blind)
    if gain > tolerance:
        alpha = float((chain.after(upper) @ e).norm() * (f @ chain.before(upper)).norm())
        blocks = torch.outer(e, f), torch.outer(blind @ weights, c)
        found.append(_combine(problem, pivot, blocks, alpha, sigma * gain, heavy_is_upper=True))
    # ... or the upper layer moves where nothing arrives.
    silent = _null_space(null_spaces, "before", chain.before(upper).mT, upper, tolerance)
    weights, gain, b = _largest(silent.mT @ between)
    if gain > tolerance:
        alpha = float((chain.after(lower) @ b).norm() * (c @ chain.before(lower)).norm())
        blocks = torch.outer(e, silent @ weights), torch.outer(b, c)
        found.append(_combine(problem, pivot, blocks, alpha, sigma * gain, heavy_is_upper=False))
    return found


def _combine(
    problem: NormalisedProblem,
    pivot: tuple[int, int],
    blocks: tuple[Tensor, Tensor],
    alpha: float,
    beta: float,
    *,
    heavy_is_upper: bool,
) -> PivotWitness:
    """Minimise ``α² x² + 2 β x y`` over unit vectors of the given weights; x belongs to the heavy block."""
    upper, lower = pivot
    parts = []
    for layer, block in zip(pivot, blocks, strict=True):
        direction = [torch.zeros_like(weight) for weight in problem.chain.weights]
        direction[layer - 1] = block
        parts.append(problem.to_original(direction)[layer - 1])
    upper_norm, lower_norm = (float(part.norm()) for part in parts)
    heavy_norm = upper_norm if heavy_is_upper else lower_norm
    square = (problem.scale * alpha / heavy_norm) ** 2
    cross = problem.scale**2 * beta / (upper_norm * lower_norm)
    # The textbook formula for the smaller eigenvalue would cancel where α² is much larger than β.
    curvature = -2.0 * cross**2 / (square + math.hypot(square, 2.0 * cross))
    x, y = -cross, square - curvature
    length = math.hypot(x, y)
    of_upper, of_lower = (x, y) if heavy_is_upper else (y, x)
    whole = list(problem.to_original([torch.zeros_like(weight) for weight in problem.chain.weights]))
    whole[upper - 1] = parts[0] * (of_upper / length / upper_norm)
    whole[lower - 1] = parts[1] * (of_lower / length / lower_norm)
    return PivotWitness(pivot, tuple(whole), curvature)


def _null_space(
    known: dict[tuple[str, int], Tensor], side: str, matrix: Tensor, layer: int, tolerance: float
) -> Tensor:
    if (side, layer) not in known:
        size = float(torch.linalg.matrix_norm(matrix, 2)) if matrix.numel() else 0.0
        known[side, layer] = null_space_basis(matrix, tolerance_absolute=tolerance * max(1.0, size))
    return known[side, layer]


def _largest(matrix: Tensor) -> tuple[Tensor, float, Tensor]:
    if matrix.numel() == 0:
        return matrix.new_zeros(matrix.shape[0]), 0.0, matrix.new_zeros(matrix.shape[1])
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return left[:, 0], float(values[0]), right[0]
