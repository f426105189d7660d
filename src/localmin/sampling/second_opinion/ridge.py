"""Predictions of a ridge regression for every example left out of its fit, in closed form."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

__all__ = ["leave_one_out_predictions", "ridge_operations", "tempered"]

_PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_TEMPERATURES = (1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)


def leave_one_out_predictions(
    features: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    *,
    num_classes: int,
    weights: Float[Tensor, " n"] | None = None,
) -> Float[Tensor, "n classes"]:
    """Predict each example's class indicators by a ridge regression on all others.

    ``y_i - r_i / (1 - h_i)`` with residual ``r_i`` and leverage ``h_i``. The penalty is the one of a grid
    with the smallest weighted squared error of these predictions.

    Args:
        features: Shape ``(n, d)``; standardised here.
        labels: Shape ``(n,)``.
        num_classes: C.
        weights: Of the examples in the fit, not negative, not all zero; None is equal.

    Returns:
        Float64, shape ``(n, C)``. An example of weight 0 gets the prediction of the fit itself.

    Source:
        The closed form is that of Allen's PRESS statistic; derived here for weights. Standardisation uses
        all examples, the one left out included.

    Cost:
        ``4 n d^2 + 10 d^3`` operations.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
        >>> values = leave_one_out_predictions(line, torch.tensor([0, 0, 0, 1, 1, 1]), num_classes=2)
        >>> values.argmax(1).tolist()
        [0, 0, 0, 1, 1, 1]
    """
    n = len(labels)
    weight = torch.ones(n, dtype=torch.float64) if weights is None else weights.double() * n / weights.sum()
    targets = functional.one_hot(labels, num_classes).double()
    share = weight / n
    centred = features - (share.float() @ features)
    deviation = (share.float() @ centred.square()).sqrt()
    standard = centred / torch.where(deviation > 1e-6 * deviation.max(), deviation, torch.inf)
    gram = (standard * weight.float()[:, None]).T @ standard
    eigenvalues, vectors = torch.linalg.eigh(gram.double())
    scores = (standard @ vectors.float()).double()
    mean = share @ targets
    gap = targets - mean
    moments = scores.T @ (weight[:, None] * gap)
    best, best_error = gap, math.inf
    for penalty in _PENALTIES:
        shrunk = 1 / (eigenvalues.clamp_min(0) + penalty * n)
        residual = gap - scores @ (moments * shrunk[:, None])
        leverage = (scores.square() @ shrunk) * weight + share
        left_out = residual / (1 - leverage).clamp_min(1e-6)[:, None]
        error = float((weight[:, None] * left_out.square()).sum())
        if error < best_error:
            best, best_error = left_out, error
    return targets - best


def ridge_operations(num_examples: int, num_features: int) -> float:
    """Count the operations of `leave_one_out_predictions`: ``4 n d^2 + 10 d^3``.

    Args:
        num_examples: n.
        num_features: d.

    Returns:
        Floating-point operations, the smaller terms left out.
    """
    return 4.0 * num_examples * num_features**2 + 10.0 * num_features**3


def tempered(values: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"]) -> Float[Tensor, "n classes"]:
    """Scale predictions so that as probabilities they fit the labels best."""
    best = min(_TEMPERATURES, key=lambda scale: float(functional.cross_entropy(values * scale, labels)))
    return values * best
