"""Leave a critical point of a deep linear network that has no negative curvature."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from localmin.certification.deep_linear.chains import Chain
from localmin.certification.deep_linear.data import read_problem
from localmin.certification.deep_linear.derivatives import gradient_of, loss_of
from localmin.certification.deep_linear.normalisation import NormalisedProblem, normalise
from localmin.errors import InputError
from localmin.numerics import as_generator, flatten_tensors, split_vector

__all__ = ["DeepLinearEscape", "escape_deep_linear", "fibre_displacement"]

_SMALLEST_MOVE_RELATIVE = 1e-6
_NUM_ATTEMPTS = 12


@dataclass(frozen=True, eq=False)
class DeepLinearEscape:
    """A point near a critical point, with a smaller loss.

    Args:
        weights: The new weights, float64.
        displacement: New weights minus old ones.
        loss_before: Half the sum of squares at the old weights.
        loss_after: The same at the new weights.
        distance: Euclidean norm of the displacement.
        has_decreased: Whether the loss went down by more than rounding. False: none was found, which does
            not show that there is none.
    """

    weights: tuple[Float[Tensor, "_ _"], ...]
    displacement: tuple[Float[Tensor, "_ _"], ...]
    loss_before: float
    loss_after: float
    distance: float
    has_decreased: bool


def escape_deep_linear(
    weights: Sequence[Float[Tensor, "_ _"]],
    x: Float[Tensor, "n inputs"],
    y: Float[Tensor, "n outputs"],
    *,
    radius_relative: float = 0.2,
    max_steps: int = 300,
    seed: int | torch.Generator = 0,
) -> DeepLinearEscape:
    """Move along the set of equal loss to a point with a gradient, then descend; stay within a ball.

    At a non-strict saddle the gradient and the Hessian show no way down. For each layer in turn a random
    ``Δ_k`` with ``A_k Δ_k B_k = 0`` is added, which leaves the loss alone and breaks the degeneracy. The
    decrease is of the order of the radius to the power of the number of layers that must move together.

    Args:
        weights: ``W_1, ..., W_N``, ``W_k`` of shape ``(d_k, d_{k-1})``.
        x: Inputs, shape ``(n, d_0)``.
        y: Targets, shape ``(n, d_N)``.
        radius_relative: Largest distance, after the layers are scaled to a common size of order 1.
        max_steps: Largest number of descent steps in each attempt.
        seed: Integer or CPU generator for the random directions.

    Returns:
        The first point found with a smaller loss.

    Raises:
        ShapeError: If shapes do not chain.
        InputError: If an entry is not finite, or an option is out of range.

    Source:
        The moves of equal loss are a device of Lu and Kawaguchi 2017; the procedure is derived here.

    Cost:
        About twice ``max_steps`` forward and backward sweeps in each of up to twelve attempts,
        of which the first is nearly always enough.

    Example:
        >>> zeros = [torch.zeros(2, 2, dtype=torch.float64) for _ in range(3)]
        >>> target = torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))
        >>> escape = escape_deep_linear(zeros, torch.eye(2, dtype=torch.float64), target)
        >>> escape.has_decreased, escape.loss_before
        (True, 5.0)
    """
    if not (math.isfinite(radius_relative) and radius_relative > 0.0) or max_steps < 1:
        raise InputError(
            f"expected radius_relative > 0 and max_steps >= 1, got {radius_relative} and {max_steps}"
        )
    checked, inputs, targets = read_problem(weights, x, y)
    problem = normalise(checked, inputs, targets)
    displacement = fibre_displacement(problem, radius_relative, max_steps, as_generator(seed))
    moved = tuple(weight + change for weight, change in zip(checked, displacement, strict=True))
    before, after = loss_of(checked, inputs, targets), loss_of(moved, inputs, targets)
    rounding = 100.0 * torch.finfo(torch.float64).eps * max(before, after)
    return DeepLinearEscape(
        weights=moved,
        displacement=displacement,
        loss_before=before,
        loss_after=after,
        distance=math.sqrt(sum(float(change.square().sum()) for change in displacement)),
        has_decreased=after < before - rounding,
    )


def fibre_displacement(
    problem: NormalisedProblem, radius: float, max_steps: int, generator: torch.Generator
) -> tuple[Float[Tensor, "_ _"], ...]:
    """Find the displacement of `escape_deep_linear`, in the coordinates of the given weights.

    Args:
        problem: The critical point.
        radius: Radius of the ball, normalised.
        max_steps: Largest number of descent steps in each attempt.
        generator: Source of the random directions.

    Returns:
        The first of up to twelve attempts that lowers the loss; zeros if none does.
    """
    start = problem.chain.weights
    inputs = torch.eye(problem.matrix.shape[1], dtype=problem.matrix.dtype, device=problem.matrix.device)
    targets = problem.matrix.mT
    loss = loss_of(start, inputs, targets)
    for _ in range(_NUM_ATTEMPTS):
        current = _fibre_moves(start, radius / (2.0 * math.sqrt(len(start))), generator)
        current = _descend(start, current, inputs, targets, radius, max_steps)
        if loss_of(current, inputs, targets) < loss:
            return problem.to_original([new - old for new, old in zip(current, start, strict=True)])
    return problem.to_original([torch.zeros_like(weight) for weight in start])


def _fibre_moves(start: Sequence[Tensor], size: float, generator: torch.Generator) -> list[Tensor]:
    weights = list(start)
    for layer in range(len(weights)):
        chain = Chain(weights)
        after, before = chain.after(layer + 1), chain.before(layer + 1)
        draw = torch.randn(weights[layer].shape, generator=generator, dtype=torch.float64).to(weights[layer])
        seen = torch.linalg.pinv(after) @ after @ draw @ before @ torch.linalg.pinv(before)
        move = draw - seen
        norm = float(move.norm())
        if norm > _SMALLEST_MOVE_RELATIVE * max(1.0, float(draw.norm())):
            weights[layer] = weights[layer] + move * (size / norm)
    return weights


def _descend(
    centre: Sequence[Tensor], start: list[Tensor], x: Tensor, y: Tensor, radius: float, max_steps: int
) -> list[Tensor]:
    # The map u -> radius u / (1 + |u|²)^½ fills the open ball, so the descent in u needs no constraint; a
    # quasi-Newton method, because the way down is soft and lies between stiff directions.
    shapes = [tuple(weight.shape) for weight in centre]
    origin = flatten_tensors(centre)

    def point_of(array: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        free = torch.from_numpy(array.copy()).to(origin)
        return free, origin + radius * free / torch.sqrt(1.0 + free @ free)

    def value_and_gradient(array: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        free, point = point_of(array)
        weights = split_vector(point, shapes)
        slope = flatten_tensors(gradient_of(weights, x, y))
        square = 1.0 + free @ free
        pulled = radius * (slope - free * (free @ slope) / square) / torch.sqrt(square)
        return loss_of(weights, x, y), pulled.cpu().numpy()

    change = (flatten_tensors(start) - origin) / radius
    first = change / torch.sqrt((1.0 - change @ change).clamp(min=1e-6))
    # Near the saddle the decrease is lost in rounding for a line search, but the gradient still points down.
    near = _normalised_steps(value_and_gradient, first.cpu().numpy(), max_steps)
    result = scipy.optimize.minimize(
        value_and_gradient,
        near,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_steps, "ftol": 0.0, "gtol": 0.0},
    )
    return split_vector(point_of(result.x)[1], shapes)


def _normalised_steps(
    value_and_gradient: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]],
    start: NDArray[np.float64],
    max_steps: int,
) -> NDArray[np.float64]:
    current, length = start, 0.5
    value, gradient = value_and_gradient(current)
    for _ in range(max_steps):
        norm = float(np.linalg.norm(gradient))
        if norm == 0.0 or length < 1e-9:
            break
        trial = current - gradient * (length / norm)
        trial_value, trial_gradient = value_and_gradient(trial)
        if trial_value < value:
            current, value, gradient, length = trial, trial_value, trial_gradient, length * 1.5
        else:
            length /= 2.0
    return current
