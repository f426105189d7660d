"""What every network-as-data has in common: weights whose shapes chain, one dtype, one device."""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError, ShapeError

__all__ = ["check_biases", "check_rows", "check_weights", "convert", "widths_of"]


def check_weights(weights: Sequence[Tensor] | Tensor) -> None:
    """Refuse weights that are not finite matrices ``W_k`` of shapes ``(d_k, d_{k-1})`` that chain.

    Args:
        weights: Candidate weights, first layer first.

    Raises:
        ShapeError: If there is no weight, one is no floating-point matrix, dtypes differ, or shapes do
            not chain.
        InputError: If devices differ or an entry is not finite.
    """
    if isinstance(weights, Tensor) or len(weights) == 0:
        came = "a single tensor" if isinstance(weights, Tensor) else "none"
        raise ShapeError(f"expected a sequence of at least one weight matrix (d_1, d_0), got {came}")
    for index, weight in enumerate(weights, start=1):
        name = f"weight {index}"
        if not isinstance(weight, Tensor):
            raise ShapeError(
                f"{name}: expected a torch tensor (d_{index}, d_{index - 1}), got {type(weight)}"
            )
        if weight.ndim != 2:
            raise ShapeError(
                f"{name}: expected a matrix (d_{index}, d_{index - 1}), got shape {tuple(weight.shape)}"
            )
        _check_kind(name, weight, weights[0])
    for index, (before, after) in enumerate(itertools.pairwise(weights), start=1):
        if after.shape[1] != before.shape[0]:
            raise ShapeError(
                f"weight {index + 1} of shape {tuple(after.shape)} does not chain with weight {index} "
                f"of shape {tuple(before.shape)}: expected (d_{index + 1}, {before.shape[0]}); "
                "each weight has shape (outputs, inputs), first layer first"
            )


def check_biases(biases: Sequence[Tensor | None], weights: Sequence[Tensor]) -> None:
    """Refuse biases that do not fit weights already checked.

    Args:
        biases: One entry for each weight: a vector ``(d_k,)``, or None where the layer has no bias.
        weights: Checked weights.

    Raises:
        ShapeError: If the number of biases, a shape or a dtype does not fit.
        InputError: If devices differ or an entry is not finite.
    """
    if len(biases) != len(weights):
        raise ShapeError(
            f"expected {len(weights)} biases, one for each weight (None where a layer has no bias), "
            f"got {len(biases)}"
        )
    for index, (bias, weight) in enumerate(zip(biases, weights, strict=True), start=1):
        if bias is None:
            continue
        name = f"bias {index}"
        if not isinstance(bias, Tensor) or bias.shape != weight.shape[:1]:
            came = tuple(bias.shape) if isinstance(bias, Tensor) else type(bias)
            raise ShapeError(f"{name}: expected a vector ({weight.shape[0]},), got {came}")
        _check_kind(name, bias, weights[0])


def check_rows(x: Tensor, weight: Tensor) -> None:
    """Refuse an input whose rows are not examples for the first weight.

    Args:
        x: Candidate input.
        weight: First weight, shape ``(d_1, d_0)``.

    Raises:
        ShapeError: If ``x`` is not ``(n, d_0)`` in the dtype of the weight.
    """
    if x.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise ShapeError(
            f"expected x of shape (n, {weight.shape[1]}), one example a row, got {tuple(x.shape)}; "
            "flatten images, transpose data with examples in columns"
        )
    if x.dtype != weight.dtype:
        raise ShapeError(
            f"expected x of dtype {weight.dtype} like the weights, got {x.dtype}; convert one of them"
        )


def widths_of(weights: Sequence[Float[Tensor, "_ _"]]) -> tuple[int, ...]:
    """List the layer widths ``(d_0, ..., d_N)`` of checked weights.

    Args:
        weights: Checked weights.

    Returns:
        One width more than there are weights.
    """
    return (weights[0].shape[1], *(weight.shape[0] for weight in weights))


def convert(tensor: Tensor, dtype: torch.dtype | None, device: torch.device | str | None) -> Tensor:
    """Convert a tensor to a dtype and a device, keeping what is None.

    Args:
        tensor: Any tensor.
        dtype: Wanted dtype, or None.
        device: Wanted device, or None.

    Returns:
        The converted tensor; the same object where nothing changes.
    """
    return tensor.to(
        dtype=tensor.dtype if dtype is None else dtype, device=tensor.device if device is None else device
    )


def _check_kind(name: str, tensor: Tensor, first: Tensor) -> None:
    if not tensor.is_floating_point():
        raise ShapeError(f"{name}: expected a floating-point dtype, got {tensor.dtype}")
    if tensor.dtype != first.dtype:
        raise ShapeError(f"{name}: expected dtype {first.dtype} like weight 1, got {tensor.dtype}")
    if tensor.device != first.device:
        raise InputError(f"{name}: expected device {first.device} like weight 1, got {tensor.device}")
    if not bool(torch.isfinite(tensor).all()):
        raise InputError(f"{name}: every entry must be finite, got NaN or infinity; did training diverge?")
