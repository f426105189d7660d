"""Weights and data at the door of the deep linear functions: checked, in float64, without the inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import DataError, InputError, ShapeError
from localmin.networks import DeepLinear
from localmin.numerics import rank_tolerance_relative

__all__ = ["Target", "Whitening", "decompose", "read_data", "read_problem", "whiten"]


def read_data(x: Tensor, y: Tensor) -> tuple[Float[Tensor, "n inputs"], Float[Tensor, "n outputs"]]:
    """Refuse data that are no two finite matrices with one row for each example; convert them to float64.

    Args:
        x: Candidate inputs, shape ``(n, d_0)``.
        y: Candidate targets, shape ``(n, d_N)``.

    Returns:
        Both in float64 on the device of ``x``.

    Raises:
        ShapeError: If one is no floating-point matrix, or the numbers of rows differ.
        DataError: If there are no examples, or an entry is not finite.
    """
    for name, part in (("x", x), ("y", y)):
        if not isinstance(part, Tensor) or part.ndim != 2 or not part.is_floating_point():
            came = f"{part.dtype} of shape {tuple(part.shape)}" if isinstance(part, Tensor) else type(part)
            raise ShapeError(
                f"expected {name} as a floating-point matrix with one example a row, got {came}; "
                "a vector of targets needs y[:, None], class labels need one-hot rows"
            )
        if not bool(torch.isfinite(part).all()):
            raise DataError(f"{name} has entries that are NaN or infinite")
    if len(x) != len(y):
        raise ShapeError(f"expected x and y to have the same number of rows, got {len(x)} and {len(y)}")
    if len(x) == 0:
        raise DataError("expected at least one example, got none")
    return x.detach().double(), y.detach().to(device=x.device).double()


def read_problem(
    weights: Sequence[Tensor], x: Tensor, y: Tensor
) -> tuple[tuple[Float[Tensor, "_ _"], ...], Float[Tensor, "n inputs"], Float[Tensor, "n outputs"]]:
    """Refuse weights that do not chain from ``x`` to ``y``; convert everything to float64.

    Args:
        weights: Candidate ``W_1, ..., W_N``, ``W_k`` of shape ``(d_k, d_{k-1})``.
        x: Candidate inputs, shape ``(n, d_0)``.
        y: Candidate targets, shape ``(n, d_N)``.

    Returns:
        Weights, inputs and targets, float64, on one device.

    Raises:
        ShapeError: If shapes do not chain; the message says which.
        InputError: If a weight is not finite.
        DataError: If the data are empty or not finite.
    """
    network = DeepLinear(weights)
    x, y = read_data(x, y)
    if x.shape[1] != network.widths[0] or y.shape[1] != network.widths[-1]:
        raise ShapeError(
            f"weights of widths {network.widths} need x of shape (n, {network.widths[0]}) and y of shape "
            f"(n, {network.widths[-1]}), got {tuple(x.shape)} and {tuple(y.shape)}; "
            "weights are (outputs, inputs), first layer first"
        )
    if network.device != x.device:
        raise InputError(f"weights are on {network.device}, the data on {x.device}; move one of them")
    return tuple(weight.detach().double() for weight in network.weights), x, y


@dataclass(frozen=True, eq=False)
class Whitening:
    """The problem without its inputs: ``L = ½ ‖W_N ⋯ W_2 (W_1 lift) - target‖² + constant``.

    Args:
        lift: ``(d_0, rank x)``; maps the first weight to whitened coordinates.
        pull: Its pseudo-inverse, ``(rank x, d_0)``; maps directions of the first weight back.
        target: ``M``, shape ``(d_N, rank x)``.
        constant: Loss that no linear map can avoid.
    """

    lift: Float[Tensor, "inputs rank"]
    pull: Float[Tensor, "rank inputs"]
    target: Float[Tensor, "outputs rank"]
    constant: float


def whiten(x: Float[Tensor, "n inputs"], y: Float[Tensor, "n outputs"]) -> Whitening:
    """Rotate and scale the inputs to the identity; directions without data drop out and are flat.

    Args:
        x: Checked inputs.
        y: Checked targets.

    Returns:
        The whitened problem.

    Source:
        Derived here, so that no assumption on the rank of the data is needed.

    Cost:
        One thin singular value decomposition of ``x``.
    """
    left, values, right = torch.linalg.svd(x, full_matrices=False)
    largest = float(values[0]) if len(values) else 0.0
    rank = int((values > rank_tolerance_relative((x.shape[0], x.shape[1]), x.dtype) * largest).sum())
    left, values, right = left[:, :rank], values[:rank], right[:rank]
    target = y.mT @ left
    constant = 0.5 * float((y - left @ target.mT).square().sum())
    return Whitening(right.mT * values, right / values[:, None], target, constant)


@dataclass(frozen=True, eq=False)
class Target:
    """Singular value decomposition ``M = Σ_i s_i u_i v_iᵀ`` of a whitened target.

    Args:
        left: ``u_i`` as columns, square.
        values: ``s_i`` above rounding, descending; as many as the rank of ``M``.
        right: ``v_i`` as rows, square.
    """

    left: Float[Tensor, "outputs outputs"]
    values: Float[Tensor, " rank"]
    right: Float[Tensor, "inputs inputs"]


def decompose(target: Float[Tensor, "outputs inputs"], y: Float[Tensor, "n outputs"]) -> Target:
    """Decompose a whitened target; singular values at the rounding level of the data count as zero.

    Args:
        target: ``M``.
        y: The targets it was computed from, for the scale of rounding.

    Returns:
        The decomposition.
    """
    if target.numel() == 0:
        identities = (torch.eye(size, dtype=target.dtype, device=target.device) for size in target.shape)
        return Target(next(identities), target.new_zeros(0), next(identities))
    left, values, right = torch.linalg.svd(target, full_matrices=True)
    # The norm of y, not of M: targets orthogonal to the inputs leave nothing but rounding in M.
    cut = rank_tolerance_relative((y.shape[0], y.shape[1]), y.dtype) * float(torch.linalg.matrix_norm(y))
    return Target(left, values[values > cut], right)
