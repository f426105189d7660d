"""The complete second-order classification of points of deep linear networks with square loss."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.certification.deep_linear.classification import DeepLinearClassification
from localmin.certification.deep_linear.data import read_problem
from localmin.certification.deep_linear.derivatives import gradient_of, loss_of, second_derivative_of
from localmin.certification.deep_linear.fibre_escape import fibre_displacement
from localmin.certification.deep_linear.normalisation import NormalisedProblem, normalise
from localmin.certification.deep_linear.pivots import open_pivots
from localmin.certification.deep_linear.selection import (
    Selection,
    best_exchange,
    exchange_direction,
    select_components,
)
from localmin.errors import InputError
from localmin.numerics import as_generator

__all__ = ["classify_deep_linear"]

# The larger one where the decrease within the smaller one drowns in rounding.
_ESCAPE_RADII = (0.2, 1.0)
_ESCAPE_STEPS = 50


def classify_deep_linear(
    weights: Sequence[Float[Tensor, "_ _"]],
    x: Float[Tensor, "n inputs"],
    y: Float[Tensor, "n outputs"],
    *,
    tolerance: float = 1e-7,
    gradient_tolerance: float | None = None,
    gap_tolerance: float | None = None,
    seed: int | torch.Generator = 0,
) -> DeepLinearClassification:
    """Say what kind of point of ``L = ½ ‖W_N ⋯ W_1 xᵀ - yᵀ‖²`` the weights are, with a witness.

    The loss is a sum over examples with the factor ½; a mean over examples divides losses and curvatures
    by a constant and leaves the verdict alone. Any depth, any widths and data of any rank. No Hessian
    is formed. A verdict "strict-saddle" is checked at the given weights and needs no trust in the theorem;
    "non-strict-saddle" means that nothing above the tolerance contradicts it.

    Args:
        weights: ``W_1, ..., W_N``, ``W_k`` of shape ``(d_k, d_{k-1})``; computed with in float64.
        x: Inputs, shape ``(n, d_0)``, one example a row.
        y: Targets, shape ``(n, d_N)``.
        tolerance: Ranks and couplings up to this count as zero, after the problem is scaled to largest
            singular value 1. For weights at distance η from a critical point take about ``η ** 0.5``.
        gradient_tolerance: Gradient that counts as zero, in the same scale and relative to the norms of the
            partial products. None: ``tolerance``.
        gap_tolerance: Gap to the global minimum that counts as zero, in the same scale. None:
            ``1e-9 + 10 tolerance²``, at most 0.1, because a gap scales like a squared distance.
        seed: Integer or CPU generator for the way out of a non-strict saddle.

    Returns:
        The verdict with its evidence.

    Raises:
        ShapeError: If shapes do not chain; the message says which.
        InputError: If a weight is not finite, or a tolerance is out of range.
        DataError: If there are no examples, or the data are not finite.

    Source:
        The criterion is derived here; it contains Kawaguchi 2016, Theorem 2.3, and has the form that Achour,
        Malgouyres and Gerchinovitz 2021 give under stronger assumptions (from memory of their paper). That a
        critical point that is no global minimum is never a local one is Kawaguchi's theorem and its
        extensions; with a bottleneck and targets of low rank it is supported by the escapes only.

    Cost:
        ``O(N²)`` singular value decompositions of the size of the layers; for a non-strict saddle also a few
        hundred gradients. Deterministic for a seed.

    Example:
        >>> target = torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))
        >>> zeros = [torch.zeros(2, 2, dtype=torch.float64) for _ in range(3)]
        >>> classify_deep_linear(zeros, torch.eye(2, dtype=torch.float64), target).verdict
        'non-strict-saddle'
        >>> zeros[2] = torch.eye(2, dtype=torch.float64)
        >>> saddle = classify_deep_linear(zeros, torch.eye(2, dtype=torch.float64), target)
        >>> saddle.verdict, saddle.pivot, round(saddle.curvature, 9)
        ('strict-saddle', (2, 1), -3.0)
    """
    tolerances = _tolerances(tolerance, gradient_tolerance, gap_tolerance)
    generator = as_generator(seed)
    checked, inputs, targets = read_problem(weights, x, y)
    problem = normalise(checked, inputs, targets)
    gradient = gradient_of(checked, inputs, targets)
    blank = _blank(problem, loss_of(checked, inputs, targets), gradient, tolerances, len(inputs))

    def curvature(direction: Sequence[Tensor]) -> float:
        return second_derivative_of(checked, inputs, targets, direction)

    slope = _relative_gradient(problem)
    if slope > blank.gradient_tolerance:
        downhill = tuple(-part for part in gradient)
        return replace(
            blank,
            verdict="not-critical",
            reason=f"the normalised gradient {slope:.2e} is above the tolerance "
            f"{blank.gradient_tolerance:.1e}",
            witness=downhill,
            curvature=curvature(downhill),
        )
    selection = select_components(problem, blank.tolerance)
    blank = replace(blank, selected=selection.indices, rank=len(selection.indices))
    if problem.loss_gap <= blank.gap_tolerance:
        return replace(blank, verdict="global-minimum", reason="the loss is the global minimum")
    candidates = _strict_candidates(blank, problem, selection)
    for candidate in candidates:
        if candidate.witness is not None and (found := curvature(candidate.witness)) < 0.0:
            return replace(candidate, curvature=found)
    if candidates:
        return replace(
            blank,
            reason=f"{candidates[0].reason} at an exact critical point, but not at these weights; "
            "they are too far from one for these tolerances",
        )
    attainable = min(problem.smallest_width, len(selection.values))
    if len(selection.indices) >= attainable:
        return replace(
            blank,
            reason="the product has the components of a global minimum, but the loss is above it; "
            "the weights are too far from a critical point for these tolerances",
        )
    displacement = _displacement(problem, generator)
    return replace(
        blank,
        verdict="non-strict-saddle",
        reason="the product uses the largest components and every pair of layers is tight",
        witness=displacement,
        curvature=None if displacement is None else curvature(displacement),
    )


def _blank(
    problem: NormalisedProblem,
    loss: float,
    gradient: Sequence[Tensor],
    tolerances: tuple[float, float, float],
    num_examples: int,
) -> DeepLinearClassification:
    """Say nothing yet: what every verdict carries."""
    tolerance, gradient_tolerance, gap_tolerance = tolerances
    return DeepLinearClassification(
        verdict="undecided",
        reason="",
        selected=(),
        rank=None,
        pivot=None,
        witness=None,
        curvature=None,
        predicted_curvature=None,
        loss=loss,
        loss_gap=problem.loss_gap * problem.scale**2,
        gradient_norm=math.sqrt(sum(float(part.square().sum()) for part in gradient)),
        tolerance=tolerance,
        gradient_tolerance=gradient_tolerance,
        gap_tolerance=gap_tolerance,
        num_examples=num_examples,
    )


def _displacement(problem: NormalisedProblem, generator: torch.Generator) -> tuple[Tensor, ...] | None:
    """Find a way out of a saddle that second derivatives do not see; None if none was found."""
    for radius in _ESCAPE_RADII:
        displacement = fibre_displacement(problem, radius, _ESCAPE_STEPS, generator)
        if any(bool(part.any()) for part in displacement):
            return tuple(displacement)
    return None


def _strict_candidates(
    blank: DeepLinearClassification, problem: NormalisedProblem, selection: Selection
) -> list[DeepLinearClassification]:
    exchange = best_exchange(selection)
    if exchange is not None:
        return [
            replace(
                blank,
                verdict="strict-saddle",
                reason=f"component {exchange.used + 1} is used instead of the larger {exchange.unused + 1}",
                witness=problem.to_original(exchange_direction(problem, selection, exchange)),
                predicted_curvature=exchange.curvature * problem.scale**2,
            )
        ]
    return [
        replace(
            blank,
            verdict="strict-saddle",
            reason=f"layers {pivot.pivot[0]} and {pivot.pivot[1]} together lower the loss at second order",
            pivot=pivot.pivot,
            witness=pivot.direction,
            predicted_curvature=pivot.curvature,
        )
        for pivot in open_pivots(problem, len(selection.indices), blank.tolerance)
    ]


def _relative_gradient(problem: NormalisedProblem) -> float:
    chain, residual = problem.chain, problem.residual
    norms = [float(chain.gradient(layer, residual).norm()) for layer in range(1, chain.depth + 1)]
    sizes = [after * before for after, before in zip(chain.norms_after, chain.norms_before, strict=True)]
    return max(norms) / max(1.0, *sizes)


def _tolerances(
    tolerance: float, gradient_tolerance: float | None, gap_tolerance: float | None
) -> tuple[float, float, float]:
    gradient_tolerance = tolerance if gradient_tolerance is None else gradient_tolerance
    gap_tolerance = min(0.1, 1e-9 + 10.0 * tolerance**2) if gap_tolerance is None else gap_tolerance
    for name, value in (
        ("tolerance", tolerance),
        ("gradient_tolerance", gradient_tolerance),
        ("gap_tolerance", gap_tolerance),
    ):
        if not 0.0 < value < 1.0:
            raise InputError(f"expected {name} between 0 and 1, got {value}")
    return tolerance, gradient_tolerance, gap_tolerance
