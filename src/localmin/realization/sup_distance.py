"""Largest difference of two networks on a box, with a certified upper bound."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.realization.invariants import Invariants, default_tolerance, invariants_of
from localmin.realization.neurons import difference, lifted_rows, read_neurons

__all__ = ["SupDistance", "sup_distance"]

_BATCH = 256


@dataclass(frozen=True, eq=False)
class SupDistance:
    """Bounds of ``max over a box of max_j |f_a - f_b|_j``.

    Args:
        lower: Attained at ``point``.
        upper: Certified for the whole box, rounding included.
        point: Input in the box, shape ``(d,)``.
        status: "converged": the bounds are within the tolerance. "max-boxes": the budget ran out.
        num_boxes: Boxes examined.
    """

    lower: float
    upper: float
    point: Float[Tensor, " d"]
    status: Literal["converged", "max-boxes"]
    num_boxes: int

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain lists and numbers."""
        return {**vars(self), "point": self.point.tolist()}


def sup_distance(
    a: ReLUNetwork | nn.Module,
    b: ReLUNetwork | nn.Module,
    low: Float[Tensor, " d"],
    high: Float[Tensor, " d"],
    *,
    tolerance_relative: float = 1e-6,
    max_boxes: int = 100_000,
    progress: Callable[[float, float], None] | None = None,
) -> SupDistance:
    """Bound the largest difference of two networks on a box by branch and bound.

    On a part of the box that a kink does not cross, the kink is linear; a kink that crosses is put between
    its chord and itself. Where no kink crosses, the bound is exact.

    Args:
        a: First network, at most one hidden layer.
        b: Second network, same sizes.
        low: Lower corner, shape ``(d,)``.
        high: Upper corner, shape ``(d,)``.
        tolerance_relative: Stop when the bounds differ by this, relative to the upper one.
        max_boxes: Most boxes examined.
        progress: Called with the current lower and upper bound.

    Returns:
        The bounds and the point of the lower one.

    Raises:
        ShapeError: If a corner has the wrong shape.
        InputError: If the corners are not finite and ordered, or a setting is out of range.

    Source:
        Derived here.

    Cost:
        ``O(K D d)`` for each box; the number of boxes is exponential in ``d`` at worst.

    Example:
        >>> absolute = ReLUNetwork([torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0, 1.0]])])
        >>> zero = ReLUNetwork([torch.tensor([[0.0]])])
        >>> found = sup_distance(absolute, zero, torch.tensor([-2.0]), torch.tensor([3.0]))
        >>> found.lower, found.status
        (3.0, 'converged')
    """
    first, second = read_neurons(a), read_neurons(b)
    joint = difference(first, second)
    corners = [torch.as_tensor(corner).detach().to(torch.float64).cpu() for corner in (low, high)]
    if any(corner.shape != (joint.num_inputs,) for corner in corners):
        raise ShapeError(
            f"expected corners of shape ({joint.num_inputs},), got {[tuple(c.shape) for c in corners]}"
        )
    if not (torch.isfinite(torch.stack(corners)).all() and (corners[0] <= corners[1]).all()):
        raise InputError("expected finite corners with low <= high in every coordinate")
    if not (tolerance_relative > 0 and max_boxes >= 1):
        raise InputError(
            f"expected tolerance_relative > 0 and max_boxes >= 1, got {tolerance_relative} and {max_boxes}"
        )
    found = invariants_of(joint, default_tolerance(a, b))
    # Merging and the rounding of the sums below, over the whole box.
    radius = float(torch.linalg.vector_norm(torch.maximum(corners[0].abs(), corners[1].abs())))
    num_terms = 4 * (found.num_kinks + joint.num_inputs + 4)
    rounding = num_terms * torch.finfo(torch.float64).eps * joint.scale
    slack = (found.residual + rounding) * (1.0 + radius)
    return _branch_and_bound(found, corners, tolerance_relative, max_boxes, slack, progress)


def _branch_and_bound(
    found: Invariants,
    corners: list[Tensor],
    tolerance: float,
    max_boxes: int,
    slack: float,
    progress: Callable[[float, float], None] | None,
) -> SupDistance:
    centers, radii = (corners[0] + corners[1])[None] / 2, (corners[1] - corners[0])[None] / 2
    uppers = torch.full((1,), float("inf"), dtype=torch.float64)
    best, best_point, num_boxes, settled = -1.0, centers[0], 0, 0.0
    while len(centers) and num_boxes < max_boxes:
        order = torch.argsort(uppers, descending=True)
        chosen, rest = order[:_BATCH], order[_BATCH:]
        bounds, points, axes = _bound_boxes(found, centers[chosen], radii[chosen])
        values = found(points).abs().amax(dim=1)
        index = int(values.argmax())
        if values[index] > best:
            best, best_point = float(values[index]), points[index]
        num_boxes += len(chosen)
        # A box whose bound is met to within the tolerance needs no split.
        goal = best * (1 + tolerance) + slack
        is_open = bounds > goal
        settled = max(settled, float(bounds[~is_open].max()) if (~is_open).any() else 0.0)
        halves = _split(centers[chosen][is_open], radii[chosen][is_open], axes[is_open])
        centers = torch.cat([centers[rest], halves[0]])
        radii = torch.cat([radii[rest], halves[1]])
        uppers = torch.cat([uppers[rest], bounds[is_open].repeat(2)])
        keep = uppers > goal
        settled = max(settled, float(uppers[~keep].max()) if (~keep).any() else 0.0)
        centers, radii, uppers = centers[keep], radii[keep], uppers[keep]
        if progress is not None:
            progress(best, max(best, settled, float(uppers.max()) if len(uppers) else 0.0))
    upper = max(best, settled, float(uppers.max()) if len(uppers) else 0.0) + slack
    status: Literal["converged", "max-boxes"] = "max-boxes" if len(centers) else "converged"
    return SupDistance(best, upper, best_point, status, num_boxes)


def _bound_boxes(
    found: Invariants, centers: Tensor, radii: Tensor
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B d"], Tensor]:
    """Bound the function over boxes; give a good point of each and the axis to split."""
    heights = lifted_rows(centers) @ found.lifted_normals.T
    reach = radii @ found.normals.abs().T
    crosses = heights.abs() < reach
    safe = torch.where(crosses, reach, 1.0)
    # |t| over [t - r, t + r] lies between (t/r) t' and that plus the gap (r^2 - t^2) / r.
    slopes = torch.where(crosses, heights / safe, torch.sign(heights))
    gaps = torch.where(crosses, (reach.square() - heights.square()) / safe, 0.0)
    pairs = torch.einsum("ko,kd->kod", found.jumps, found.normals).flatten(1)
    gradients = (found.linear.flatten() + slopes @ pairs).view(len(centers), *found.linear.shape) / 2
    values = (centers @ found.linear.T + found.constant + (slopes * heights) @ found.jumps) / 2
    swings = torch.einsum("bod,bd->bo", gradients.abs(), radii)
    above = values + swings + gaps @ found.jumps.clamp_min(0) / 2
    below = values - swings + gaps @ found.jumps.clamp_max(0) / 2
    bounds = torch.maximum(above, -below)
    upper, output = bounds.max(dim=1)
    index = torch.arange(len(centers))
    side = torch.where(above[index, output] >= -below[index, output], 1.0, -1.0)
    points = centers + side[:, None] * torch.sign(gradients[index, output]) * radii
    # Split where the kinks that cross are spread most.
    blame = (gaps * found.jumps.abs().amax(dim=1)) @ found.normals.abs() * radii
    axes = torch.where(blame.amax(dim=1) > 0, blame.argmax(dim=1), radii.argmax(dim=1))
    return upper, points, axes


def _split(centers: Tensor, radii: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    index = torch.arange(len(centers))
    radii = radii.clone()
    radii[index, axes] /= 2
    shift = torch.zeros_like(centers)
    shift[index, axes] = radii[index, axes]
    return torch.cat([centers - shift, centers + shift]), torch.cat([radii, radii])
