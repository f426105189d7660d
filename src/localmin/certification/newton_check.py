"""Whether Newton's method from a point contracts: evidence that a minimum is where the Hessian says."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.certification.spectrum_search import SpectrumSearch
from localmin.objective import HessianOperator, Objective

__all__ = ["NewtonCheck", "check_newton_step"]

_CG_TOLERANCE_RELATIVE = 1e-4
_CONTRACTION = 0.25


@dataclass(frozen=True)
class NewtonCheck:
    """Outcome of one Newton step.

    Args:
        distance: Length of the step; NaN if it was not found within the budget.
        contracts: Whether the gradient after a step ``p`` is at most ``¼ μ ‖p‖``, with the lower bound
            ``μ`` of the curvature, or the gradients are at the level of rounding.
    """

    distance: float
    contracts: bool


def check_newton_step(
    objective: Objective, hessian: HessianOperator, found: SpectrumSearch, max_hvps: int
) -> NewtonCheck:
    """Take the Newton step at a point with positive definite Hessian and compare gradients.

    A gradient below a fixed tolerance may still be far from zero for a flat objective. One step
    shows whether the quadratic model, minimum included, is a fair picture out to that distance: Kantorovich's
    condition ``K ‖p‖ / μ <= ½``, with the Lipschitz constant K of the Hessian estimated from the step itself
    by ``‖∇f(θ + p)‖ = ½ K ‖p‖²``. The estimate makes it evidence, not proof.

    Args:
        objective: Stands at the point.
        hessian: Its operator.
        found: Search that bounded the spectrum away from zero.
        max_hvps: Products that conjugate gradients may spend, where the Hessian is not dense.

    Returns:
        Length of the step, and whether it contracts.

    Cost:
        One gradient; up to ``max_hvps`` products without a dense Hessian.
    """
    gradient = objective.gradient().double()
    norm = float(gradient.norm())
    rounding = (
        1e2 * torch.finfo(objective.dtype).eps * found.largest * max(1.0, float(objective.point.norm()))
    )
    if norm <= rounding:
        return NewtonCheck(norm / max(found.lower_bound, torch.finfo(torch.float64).tiny), True)
    if found.eigenvalues is not None and found.eigenvectors is not None:
        rotated = found.eigenvectors.mT @ gradient.cpu()
        step: Tensor | None = -(found.eigenvectors @ (rotated / found.eigenvalues)).to(gradient.device)
    else:
        step = _conjugate_gradients(hessian, -gradient, max_hvps)
    if step is None:
        return NewtonCheck(math.nan, False)
    after = float(objective.gradient_at(objective.point.double() + step).double().norm())
    allowed = _CONTRACTION * found.lower_bound * float(step.norm())
    return NewtonCheck(float(step.norm()), after <= max(allowed, rounding))


def _conjugate_gradients(
    hessian: HessianOperator, right: Float[Tensor, " n"], max_steps: int
) -> Float[Tensor, " n"] | None:
    solution = torch.zeros_like(right)
    residual, direction = right.clone(), right.clone()
    square = float(residual @ residual)
    target = _CG_TOLERANCE_RELATIVE**2 * square
    for _ in range(max_steps):
        image = hessian.matvec(direction)
        curvature = float(direction @ image)
        if not curvature > 0.0:
            return None
        solution = solution + direction * (square / curvature)
        residual = residual - image * (square / curvature)
        previous, square = square, float(residual @ residual)
        if square <= target:
            return solution
        direction = residual + direction * (square / previous)
    return None
