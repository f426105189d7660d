"""How much a curvature along a direction owes to the choice of examples."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.objective.loss_sums import LossSum
from localmin.objective.rank_sums import RankSums

__all__ = ["standard_error_of_curvature"]


def standard_error_of_curvature(
    loss_sum: LossSum,
    point: Float[Tensor, " n"],
    direction: Float[Tensor, " n"],
    ranks: RankSums,
    num_examples: int,
) -> float:
    """Estimate the standard error over examples of ``(1/N) Σ_i vᵀ ∇²loss_i v``.

    Args:
        loss_sum: The losses.
        point: Where.
        direction: ``v``.
        ranks: Sums over the ranks that share the examples.
        num_examples: ``N``, over all ranks.

    Returns:
        Standard deviation over the examples divided by the root of their number; infinity for one example.

    Cost:
        Three forward sweeps, for second differences with the step ``eps^(1/4) max(1, ‖θ‖)``, which balances
        truncation against rounding.
    """
    centre, direction = point.double(), direction.double()
    length = float(direction.norm())
    if length == 0.0:
        return 0.0
    if num_examples < 2:
        return math.inf
    step = torch.finfo(point.dtype).eps ** 0.25 * max(1.0, float(centre.norm())) / length
    points = [(centre + shift * direction).to(point.dtype) for shift in (-step, 0.0, step)]
    total, squares = 0.0, 0.0
    for low, middle, high in zip(*(loss_sum.example_losses(at) for at in points), strict=True):
        curvatures = (low.double() - 2.0 * middle.double() + high.double()) / step**2
        total += float(curvatures.sum())
        squares += float(curvatures.square().sum())
    total, squares = ranks.sum_numbers(total, squares)
    variance = max(0.0, squares - total**2 / num_examples) / (num_examples - 1)
    return math.sqrt(variance / num_examples)
