"""Slow, obvious references for the tests of `localmin.certification`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from localmin.experiments.deep_linear.problems import random_constructed_point
from localmin.numerics import flatten_tensors, split_vector

__all__ = ["dense_deep_linear_hessian", "random_constructed_point"]


def dense_deep_linear_hessian(weights: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Differentiate half the sum of squares twice, automatically, as a function of all entries.

    Args:
        weights: ``W_1, ..., W_N``, float64.
        x: Inputs, shape ``(n, d_0)``.
        y: Targets, shape ``(n, d_N)``.

    Returns:
        The Hessian in the order of the flattened weights.
    """
    shapes = [tuple(weight.shape) for weight in weights]

    def loss(vector: Tensor) -> Tensor:
        outputs = x
        for weight in split_vector(vector, shapes):
            outputs = outputs @ weight.mT
        return 0.5 * (outputs - y).square().sum()

    hessian = torch.autograd.functional.hessian(loss, flatten_tensors(weights))  # type: ignore[no-untyped-call]
    return torch.as_tensor(hessian)
