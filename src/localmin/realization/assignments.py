"""Bottleneck assignment: match rows to columns so that the largest cost is as small as possible."""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from torch import Tensor

from localmin.errors import ShapeError

__all__ = ["bottleneck_assignment"]


def bottleneck_assignment(costs: Float[Tensor, "m m"]) -> tuple[Int[Tensor, " m"], float]:
    """Find the permutation with the smallest largest cost, exactly.

    Args:
        costs: Square, finite or infinite entries.

    Returns:
        The column of each row, and the largest cost among them (0 for an empty matrix).

    Raises:
        ShapeError: If the matrix is not square.

    Cost:
        A binary search over the costs, one bipartite matching each: ``O(m^2.5 log m)``.

    Example:
        >>> columns, cost = bottleneck_assignment(torch.tensor([[1.0, 2.0], [5.0, 9.0]]))
        >>> columns.tolist(), cost
        ([1, 0], 5.0)
    """
    if costs.ndim != 2 or costs.shape[0] != costs.shape[1]:
        raise ShapeError(f"expected a square matrix of costs, got shape {tuple(costs.shape)}")
    if len(costs) == 0:
        return torch.zeros(0, dtype=torch.int64), 0.0
    matrix = costs.numpy()
    # No matching can avoid the cheapest entry of any row or column.
    least = max(matrix.min(axis=0).max(), matrix.min(axis=1).max())
    levels = np.unique(matrix[matrix >= least])
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        if (_match(matrix, levels[middle]) >= 0).all():
            high = middle
        else:
            low = middle + 1
    return torch.from_numpy(_match(matrix, levels[low]).astype(np.int64)), float(levels[low])


def _match(matrix: np.ndarray, level: float) -> np.ndarray:
    graph = csr_array((matrix <= level).astype(np.int8))
    columns: np.ndarray = maximum_bipartite_matching(graph, perm_type="column")
    return columns
