"""Group rows that agree up to a tolerance, in lexicographic order, in memory linear in their number."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["cluster_rows", "near_groups", "nearest_kept_gap"]

# Rows closer than this multiple of the tolerance, yet kept apart, are worth a remark.
_NEAR = 1000.0


def cluster_rows(points: Float[Tensor, "n d"], tolerance: float) -> Int[Tensor, " n"]:
    """Label rows so that equal labels mean equal rows up to a tolerance, and labels sort the rows.

    Coordinate by coordinate, a group is split wherever two neighbouring values are further apart than
    the tolerance. Unlike a comparison with rounding, this cannot separate two values that differ in the
    last bit, and unlike a pairwise "equal within tolerance" it is transitive. Its price: a chain of
    neighbours counts as one group even if its ends are further apart than the tolerance.

    Args:
        points: Rows, float64, finite.
        tolerance: Largest distance of neighbours that count as equal, absolute.

    Returns:
        For each row the number of rows in the groups before its own, int64.

    Cost:
        At most one sort per coordinate, of those rows that are still tied; memory ``O(n)``.

    Example:
        >>> cluster_rows(torch.tensor([[2.0, 1.0], [1.0, 5.0], [2.0 + 1e-15, 0.0], [1.0, 5.0]]), 1e-9)
        tensor([3, 0, 2, 0])
    """
    labels = torch.zeros(len(points), dtype=torch.int64)
    active = torch.arange(len(points))
    for column in range(points.shape[1]):
        if active.numel() < 2:
            break
        by_value = torch.argsort(points[active, column], stable=True)
        by_group = torch.argsort(labels[active[by_value]], stable=True)
        active = active[by_value[by_group]]
        values, groups = points[active, column], labels[active]
        index = torch.arange(active.numel())
        is_new_group = torch.ones_like(active, dtype=torch.bool)
        is_new_group[1:] = groups[1:] != groups[:-1]
        is_new = is_new_group.clone()
        is_new[1:] |= values[1:] - values[:-1] > tolerance
        group_start = torch.cummax(torch.where(is_new_group, index, 0), dim=0).values
        start = torch.cummax(torch.where(is_new, index, 0), dim=0).values
        labels[active] = groups + start - group_start
        active = active[torch.bincount(start, minlength=active.numel())[start] > 1]
    return labels


def nearest_kept_gap(units: Float[Tensor, "n d"], tolerance: float) -> float:
    """Find how close two rows come that count as different although they almost agree.

    Args:
        units: Rows that were kept apart under the tolerance.
        tolerance: The tolerance.

    Returns:
        Smallest distance of lexicographic neighbours closer than 1000 tolerances; infinity without any.

    Example:
        >>> nearest_kept_gap(torch.tensor([[0.0], [1.0], [1.5]]), 1e-3)
        0.5
    """
    return near_groups(units, tolerance)[1]


def near_groups(units: Float[Tensor, "n d"], tolerance: float) -> tuple[int, float]:
    """Count groups of rows kept apart though they are closer than 1000 tolerances, and their smallest gap.

    Args:
        units: Rows.
        tolerance: The tolerance.

    Returns:
        Number of groups, and the smallest distance within them; 0 and infinity without any.
    """
    if tolerance == 0.0 or len(units) < 2:
        return 0, float("inf")
    labels = cluster_rows(units, _NEAR * tolerance)
    _, labels, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    if not (counts > 1).any():
        return 0, float("inf")
    order = torch.argsort(labels, stable=True)
    order = order[counts[labels[order]] > 1]
    rows, groups = units[order], labels[order]
    # Neighbours in lexicographic order stand for all pairs: exact pairs would be quadratic in the group. A
    # group is a chain in every coordinate, so most of its members may well be far apart.
    apart = torch.linalg.vector_norm(rows[1:] - rows[:-1], dim=1)
    is_near = (groups[1:] == groups[:-1]) & (apart <= _NEAR * tolerance)
    if not is_near.any():
        return 0, float("inf")
    return len(torch.unique(groups[1:][is_near])), float(apart[is_near].min())
