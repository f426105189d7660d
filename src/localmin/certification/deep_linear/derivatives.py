"""Loss, gradient and exact second derivative of a deep linear network, without automatic differentiation."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.certification.deep_linear.data import read_problem
from localmin.errors import ShapeError

__all__ = ["gradient_of", "half_squared_loss", "loss_of", "second_derivative", "second_derivative_of"]


def half_squared_loss(
    weights: Sequence[Float[Tensor, "_ _"]], x: Float[Tensor, "n inputs"], y: Float[Tensor, "n outputs"]
) -> float:
    """Compute ``½ ‖W_N ⋯ W_1 xᵀ - yᵀ‖²``, a sum over examples.

    Args:
        weights: ``W_1, ..., W_N``, ``W_k`` of shape ``(d_k, d_{k-1})``.
        x: Inputs, shape ``(n, d_0)``.
        y: Targets, shape ``(n, d_N)``.

    Returns:
        The loss.

    Raises:
        ShapeError: If shapes do not chain.
        InputError: If an entry is not finite.

    Example:
        >>> one = torch.ones(1, 1)
        >>> half_squared_loss([one, 2 * one], one, 0 * one)
        2.0
    """
    return loss_of(*read_problem(weights, x, y))


def second_derivative(
    weights: Sequence[Float[Tensor, "_ _"]],
    x: Float[Tensor, "n inputs"],
    y: Float[Tensor, "n outputs"],
    direction: Sequence[Float[Tensor, "_ _"]],
) -> float:
    """Compute ``D²L[Δ, Δ]``, the second derivative of the loss along a direction; it is not halved.

    ``L(W + tΔ) = L + t L' + ½ t² D²L + O(t³)``.

    Args:
        weights: ``W_1, ..., W_N``.
        x: Inputs, shape ``(n, d_0)``.
        y: Targets, shape ``(n, d_N)``.
        direction: ``Δ_1, ..., Δ_N`` in the shapes of the weights; it need not be normalised.

    Returns:
        The second derivative, exact up to rounding.

    Raises:
        ShapeError: If shapes do not fit.
        InputError: If an entry is not finite.

    Source:
        Derived here: ``‖T1‖² + 2⟨G, T2⟩`` with the first and second coefficient of the outputs in ``t``.

    Cost:
        Three forward passes.

    Example:
        >>> weights = [torch.zeros(1, 1), torch.zeros(1, 1)]
        >>> second_derivative(weights, torch.ones(1, 1), 2 * torch.ones(1, 1), [torch.ones(1, 1)] * 2)
        -4.0
    """
    checked, inputs, targets = read_problem(weights, x, y)
    if [tuple(part.shape) for part in direction] != [tuple(part.shape) for part in checked]:
        raise ShapeError(
            f"expected a direction of shapes {[tuple(part.shape) for part in checked]}, "
            f"got {[tuple(part.shape) for part in direction]}"
        )
    return second_derivative_of(checked, inputs, targets, [part.to(inputs) for part in direction])


def loss_of(weights: Sequence[Tensor], x: Tensor, y: Tensor) -> float:
    """Compute `half_squared_loss` of checked arguments."""
    return 0.5 * float((_outputs(weights, x) - y).square().sum())


def gradient_of(weights: Sequence[Tensor], x: Tensor, y: Tensor) -> tuple[Float[Tensor, "_ _"], ...]:
    """Compute ``A_kᵀ G B_kᵀ`` for every layer by one forward and one backward sweep, checked arguments."""
    activations = [x]
    for weight in weights:
        activations.append(activations[-1] @ weight.mT)
    pull = activations[-1] - y
    gradients = []
    for weight, activation in zip(reversed(weights), reversed(activations[:-1]), strict=True):
        gradients.append(pull.mT @ activation)
        pull = pull @ weight
    return tuple(reversed(gradients))


def second_derivative_of(
    weights: Sequence[Tensor], x: Tensor, y: Tensor, direction: Sequence[Tensor]
) -> float:
    """Compute `second_derivative` of checked arguments."""
    zeroth, first, second = x, torch.zeros_like(x), torch.zeros_like(x)
    for weight, change in zip(weights, direction, strict=True):
        second = second @ weight.mT + first @ change.mT
        first = first @ weight.mT + zeroth @ change.mT
        zeroth = zeroth @ weight.mT
    return float(first.square().sum() + 2.0 * ((zeroth - y) * second).sum())


def _outputs(weights: Sequence[Tensor], x: Tensor) -> Tensor:
    for weight in weights:
        x = x @ weight.mT
    return x
