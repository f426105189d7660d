"""Weights from class labels."""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from localmin.errors import ShapeError

__all__ = ["class_balanced_weights"]


def class_balanced_weights(labels: Int[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """Weight each example by ``1 / size of its class``, so that every class is drawn equally often.

    Args:
        labels: Class labels, shape ``(n,)``, any integers; only classes that occur count.

    Returns:
        Weights, shape ``(n,)``, float64; they add up to 1 within each class.

    Raises:
        ShapeError: If the labels are not a one-dimensional, non-empty table of integers.

    Cost:
        One sort of the labels.

    Example:
        >>> class_balanced_weights(torch.tensor([0, 7, 7, 7, 7]))
        tensor([1.0000, 0.2500, 0.2500, 0.2500, 0.2500], dtype=torch.float64)
    """
    if labels.ndim != 1 or labels.numel() == 0 or labels.is_floating_point() or labels.is_complex():
        raise ShapeError(
            f"labels: expected integers of shape (n,) with n >= 1, got {labels.dtype} of shape "
            f"{tuple(labels.shape)}; give one class label per example"
        )
    _, class_of, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    weights: Tensor = sizes.double().reciprocal()[class_of]
    return weights
