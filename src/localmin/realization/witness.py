"""Find an input at which two functions differ, with a bound on the rounding of the evaluation."""

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.realization.invariants import Invariants
from localmin.realization.neurons import Neurons, lifted_rows

__all__ = ["candidate_inputs", "evaluation_error"]

_NUM_KINKS = 6
_NUM_POINTS = 12
_NUM_RANDOM = 64


def candidate_inputs(
    difference: Invariants, *, all_kinks: Invariants, generator: torch.Generator
) -> Float[Tensor, "n d"]:
    """List inputs at which a function with these invariants is most likely not zero.

    For a kink ``h`` with jump ``v``, a generic ``p`` on it and a step ``delta`` shorter than the distance to
    every other kink of the function, ``e(p + delta h) + e(p - delta h) - 2 e(p) = delta v``, so one of the
    three values is at least ``delta max|v| / 4``. Without kinks the function is affine, and the origin or
    a basis vector shows it.

    Args:
        difference: Invariants of ``e = f_a - f_b``.
        all_kinks: Invariants whose hyperplanes set the scale of the random inputs.
        generator: Source of the random points.

    Returns:
        Rows in no particular order.
    """
    num_inputs = difference.linear.shape[1]
    spread = float(all_kinks.offsets.abs().median()) if all_kinks.num_kinks else 0.0
    radius = 1.0 + spread
    random = torch.randn(_NUM_RANDOM, num_inputs, generator=generator, dtype=torch.float64) * radius
    identity = torch.eye(num_inputs, dtype=torch.float64) * radius
    rows = [random, identity, -identity, torch.zeros(1, num_inputs, dtype=torch.float64)]
    strength = difference.jumps.abs().sum(dim=1) * (difference.offsets.square() + 1).sqrt()
    for kink in torch.argsort(strength, descending=True)[:_NUM_KINKS].tolist():
        rows.append(_around_kink(difference, kink, radius, generator))
    return torch.cat(rows)


def _around_kink(found: Invariants, kink: int, radius: float, generator: torch.Generator) -> Tensor:
    normal, offset = found.normals[kink], found.offsets[kink]
    points = torch.randn(_NUM_POINTS, len(normal), generator=generator, dtype=torch.float64)
    points = points * (radius + offset.abs())
    points = points - ((points @ normal + offset)[:, None] * normal)
    distances = (points @ found.normals.T + found.offsets).abs()
    # Along the normal, the kink k is met after |<k, p> + beta_k| / |<k, h>|.
    steps = distances / (found.normals @ normal).abs().clamp_min(1e-300)
    steps[:, kink] = float("inf")
    step = steps.amin(dim=1).clamp(max=float(radius + offset.abs()))[:, None] / 2
    return torch.cat([points, points + step * normal, points - step * normal])


def evaluation_error(neurons: Neurons, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Bound the rounding error of evaluating neurons at rows in float64, in the largest output.

    The standard bound of an inner product of ``n`` terms, ``n u sum|x_i y_i|`` to first order, applied to
    both layers; the constant is doubled to cover the terms of higher order.

    Args:
        neurons: The function.
        x: Rows.

    Returns:
        One bound for each row.
    """
    rows = lifted_rows(x).abs()
    magnitude = rows @ neurons.directions.abs().T @ neurons.outputs.abs() + rows @ neurons.affine.abs().T
    num_terms = len(neurons.directions) + 2 * rows.shape[1] + 4
    unit = torch.finfo(torch.float64).eps / 2
    largest = magnitude.amax(dim=1) if magnitude.numel() else rows.new_zeros(len(rows))
    return 2 * num_terms * unit * largest
