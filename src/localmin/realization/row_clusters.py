"""Group rows that agree up to a tolerance, in lexicographic order, in memory linear in their number."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["cluster_rows"]


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
