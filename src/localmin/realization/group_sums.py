"""Sums over many neurons whose rounding error does not grow with their number."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["SUM_ROUNDINGS", "product_of_neurons", "sum_groups"]

_BLOCK = 64

SUM_ROUNDINGS = 128
"""Rounding units (``eps / 2``) that cover both sums for up to ``2 ** 50`` neurons, relative to the terms."""


def sum_groups(
    rows: Float[Tensor, "n ..."], labels: Int[Tensor, " n"], num_groups: int
) -> Float[Tensor, "groups ..."]:
    """Add up the rows of each group, pairs first, so that errors grow with the logarithm of its size.

    Args:
        rows: One row, or number, for each member.
        labels: Group of each.
        num_groups: Number of groups.

    Returns:
        Sums.

    Cost:
        ``O(n log n)`` to sort, then ``O(n)``; memory linear.

    Example:
        >>> sum_groups(torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([1, 0, 1, 1]), 3).tolist()
        [2.0, 13.0, 0.0]
    """
    order = torch.argsort(labels, stable=True)
    rows, labels = rows[order], labels[order]
    while len(labels) > 1 and bool((labels[1:] == labels[:-1]).any()):
        index = torch.arange(len(labels))
        is_start = torch.ones(len(labels), dtype=torch.bool)
        is_start[1:] = labels[1:] != labels[:-1]
        rank = index - torch.cummax(torch.where(is_start, index, 0), dim=0).values
        is_odd = rank % 2 == 1
        odd = index[is_odd]
        rows[odd - 1] += rows[odd]
        rows, labels = rows[~is_odd], labels[~is_odd]
    sums = rows.new_zeros(num_groups, *rows.shape[1:])
    sums[labels] = rows
    return sums


def product_of_neurons(
    outputs: Float[Tensor, "m outputs"], directions: Float[Tensor, "m lifted"]
) -> Float[Tensor, "outputs lifted"]:
    """Compute ``sum_i c_i a_iᵀ`` in blocks that are added in pairs.

    Args:
        outputs: Rows ``c_i``.
        directions: Rows ``a_i``.

    Returns:
        The sum; each entry is off by at most ``SUM_ROUNDINGS`` units of ``sum_i |c_i| |a_i|``.

    Example:
        >>> product_of_neurons(torch.ones(3, 1), torch.tensor([[1.0], [2.0], [4.0]])).tolist()
        [[7.0]]
    """
    if len(outputs) <= _BLOCK:
        return outputs.T @ directions
    middle = len(outputs) // 2
    first = product_of_neurons(outputs[:middle], directions[:middle])
    return first + product_of_neurons(outputs[middle:], directions[middle:])
