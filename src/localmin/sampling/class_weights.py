"""Weights from class labels."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from localmin.errors import InputError, ShapeError

__all__ = ["class_balanced_weights"]


def class_balanced_weights(labels: Int[Tensor, " n"], *, power: float = 1.0) -> Float64[Tensor, " n"]:
    """Weight each example by ``size of its class ^ -power``: at 1, every class is drawn equally often.

    A class of m examples is drawn in proportion to ``m^(1 - power)``: 0 leaves the data as they are, 1/2 is
    square-root sampling, 1 balances the classes.

    Args:
        labels: Class labels, shape ``(n,)``, any integers; only classes that occur count.
        power: From 0 to 1 as a rule; above 1 turns the classes' order of frequency round.

    Returns:
        Weights, shape ``(n,)``, float64; at power 1 they add up to 1 within each class.

    Raises:
        ShapeError: If the labels are not a one-dimensional, non-empty table of integers.
        InputError: If the power is not finite.

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
    if not math.isfinite(power):
        raise InputError(f"power: expected a finite number, got {power}; 1 balances the classes")
    _, class_of, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    weights: Tensor = sizes.double().pow(-power)[class_of]
    return weights
