"""Can this step overflow, or is its noise too small for the dtype? Answers that cost next to nothing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from localmin.langevin.optimizers.buckets import Bucket
from localmin.langevin.updates import Update, bound_update

__all__ = ["first_non_finite", "stays_in_range", "total_norm", "warn_of_underflow"]

# The spacing of the largest numbers is max eps / 2.
_SAFE_ADDITION = {
    dtype: torch.finfo(dtype).max * torch.finfo(dtype).eps / 16
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
}


def total_norm(tensors: Sequence[Tensor]) -> float:
    """Compute the Euclidean norm over all entries of all tensors.

    Args:
        tensors: Any number of tensors, of any devices and dtypes.

    Returns:
        The norm; not finite if an entry is not finite, or if it overflows its dtype.

    Cost:
        One pass, and one synchronisation per device.

    Example:
        >>> total_norm([torch.tensor([3.0]), torch.tensor([4.0])])
        5.0
    """
    if not tensors:
        return 0.0
    norms = list(torch._foreach_norm(list(tensors)))
    if tensors[0].is_cuda:  # one synchronisation for all
        first = norms[0]
        norms = [torch.linalg.vector_norm(torch.stack([norm.to(first) for norm in norms]))]
    squared = 0.0
    for norm in norms:
        size = norm.item()
        squared += size * size
    return math.sqrt(squared)


def first_non_finite(tensors: Sequence[Tensor]) -> int | None:
    """Find the first tensor with an entry that is not finite.

    Args:
        tensors: Tensors.

    Returns:
        Its index, or None.

    Example:
        >>> first_non_finite([torch.zeros(2), torch.tensor([1.0, math.inf])])
        1
    """
    return next((index for index, one in enumerate(tensors) if not bool(one.isfinite().all())), None)


def stays_in_range(
    moves: Sequence[tuple[Update, Bucket]], gradient: float, velocity: float
) -> tuple[bool, float]:
    """Tell from sizes alone that a step cannot overflow.

    What is added to a finite coordinate is lost in rounding, and so cannot overflow, if it is below half the
    spacing of the largest numbers. Below a quarter of that, rounding on the way does no harm.

    Args:
        moves: What the step does.
        gradient: Bound of every gradient coordinate.
        velocity: Bound of every velocity coordinate.

    Returns:
        True if no coordinate can overflow (False is no proof that one does), and a bound of every velocity
        coordinate after the step.
    """
    in_range, after = True, 0.0
    for update, bucket in moves:
        largest, one = bound_update(update, gradient, velocity)
        in_range = in_range and largest < _SAFE_ADDITION[bucket.parameters[0].dtype]
        after = max(after, one)
    return in_range, after


def warn_of_underflow(update: Update, bucket: Bucket) -> None:
    """Warn if half precision rounds the noise of a step away.

    Args:
        update: What the step does.
        bucket: To which tensors.
    """
    dtype = bucket.parameters[0].dtype
    if dtype not in {torch.float16, torch.bfloat16} or not update.noise_scales:
        return
    scale = update.noise_scale * (update.move_scale if bucket.velocities else 1.0)
    size = max(float(parameter.float().square().mean().sqrt()) for parameter in bucket.parameters)
    information = torch.finfo(dtype)
    if scale < information.eps * size / 2 or scale < information.tiny:
        warnings.warn(
            f"the noise per step ({scale:.1e}) is below what {dtype} resolves at size {size:.1e}:"
            " it is rounded away. Keep a float32 copy of the parameters, or raise lr or the temperature",
            stacklevel=5,
        )
