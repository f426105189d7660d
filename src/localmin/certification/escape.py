"""Follow a witness down, and repeat training, certifying and escaping until no witness is found."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from localmin.certification.certificate import WITH_WAY_DOWN, Certificate
from localmin.certification.certify import certify
from localmin.errors import InputError, ShapeError
from localmin.objective import Objective

__all__ = ["Escape", "SettledPoint", "descend", "escape", "settle"]

_SHORTEST_STEP = 2.0**-40
_LONGEST_STEP = 2.0**10


@dataclass(frozen=True, eq=False)
class Escape:
    """A point below a certified one.

    Args:
        objective: The objective standing at the new point; at the old one if nothing lower was found.
        value_before: Value at the certified point.
        value_after: Value at the new point.
        step: Signed length of the step along the witness; 0 if nothing lower was found.
        has_decreased: Whether the value went down.
    """

    objective: Objective
    value_before: float
    value_after: float
    step: float
    has_decreased: bool

    def to_dict(self) -> dict[str, Any]:
        """Convert the figures to plain values; the point is left out."""
        return {name: value for name, value in vars(self).items() if name != "objective"}


@dataclass(frozen=True, eq=False)
class SettledPoint:
    """Where `settle` ended.

    Args:
        objective: The objective standing at the last point.
        certificates: The certificate of each round; the last one belongs to the last point.
        escapes: The escape after each certificate but the last.
    """

    objective: Objective
    certificates: tuple[Certificate, ...]
    escapes: tuple[Escape, ...]

    @property
    def certificate(self) -> Certificate:
        """Verdict on the last point."""
        return self.certificates[-1]

    def to_dict(self) -> dict[str, Any]:
        """Convert the certificates and escapes to plain values; the point is left out."""
        return {
            "certificates": [certificate.to_dict() for certificate in self.certificates],
            "escapes": [one.to_dict() for one in self.escapes],
        }


def escape(objective: Objective, certificate: Certificate) -> Escape:
    """Step along the witness of a certificate to a lower value.

    The step length is doubled or halved from 1, or from what the certificate recorded, until the value is
    lowest along the line, in the better of the two directions.

    Args:
        objective: The certified objective, standing at the certified point.
        certificate: Its certificate, "strict-saddle", "non-strict-saddle" or "not-critical".

    Returns:
        The better point.

    Raises:
        InputError: If the certificate has no direction that leads down.
        ShapeError: If the certificate is about another number of parameters.

    Cost:
        About a hundred values at most.

    Example:
        >>> wells = lambda p: p[0] ** 2 + (p[1] ** 2 - 1) ** 2
        >>> saddle = Objective.from_function(wells, torch.zeros(2, dtype=torch.float64))
        >>> found = escape(saddle, certify(saddle))
        >>> found.value_before, found.value_after
        (1.0, 0.0)
    """
    if certificate.verdict not in WITH_WAY_DOWN or certificate.witness is None:
        raise InputError(f"expected a certificate with a way down, got the verdict '{certificate.verdict}'")
    if certificate.num_parameters != objective.num_parameters:
        raise ShapeError(
            f"the certificate is about {certificate.num_parameters} parameters, the objective has "
            f"{objective.num_parameters}"
        )
    before, point = objective.value(), objective.point.double()
    direction = certificate.witness.to(point)
    first = certificate.descent_step or 1.0
    rays = [(sign, *_lowest_along(objective, point, sign * direction, before, first)) for sign in (1.0, -1.0)]
    sign, value, length = min(rays, key=lambda ray: ray[1])
    if not value < before:
        return Escape(objective, before, before, 0.0, False)
    step = sign * length
    return Escape(objective.at(point + step * direction), before, value, step, True)


def settle(
    objective: Objective,
    *,
    train: Callable[[Objective], Objective] | None = None,
    max_rounds: int = 10,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> SettledPoint:
    """Train, certify, escape, and again, until no direction leads down or the rounds are used up.

    The point is certified before the first training, so that one that is already stuck at a saddle is left
    even by a training that cannot move there.

    Args:
        objective: Stands at the first point.
        train: Maps an objective to one at a better point; `descend` by default.
        max_rounds: Largest number of certificates.
        seed: Integer seed of the certificates; round k uses ``seed + k``.
        options: Further arguments of `certify`.

    Returns:
        The last point with the whole history.

    Raises:
        InputError: If an option is out of range.

    Cost:
        That of training and certifying, in every round.
    """
    if max_rounds < 1:
        raise InputError(f"expected max_rounds >= 1, got {max_rounds}")
    train = descend if train is None else train
    certificates: list[Certificate] = []
    escapes: list[Escape] = []
    for number in range(max_rounds):
        certificate = certify(objective, seed=seed + number, **(options or {}))
        certificates.append(certificate)
        if number + 1 == max_rounds or certificate.verdict not in WITH_WAY_DOWN:
            break
        found = escape(objective, certificate)
        escapes.append(found)
        if not found.has_decreased:
            break
        objective = train(found.objective)
    if len(escapes) == len(certificates):
        escapes.pop()
    return SettledPoint(objective, tuple(certificates), tuple(escapes))


def descend(
    objective: Objective, *, max_iterations: int = 500, gradient_tolerance: float = 1e-9
) -> Objective:
    """Minimise from the point of an objective by L-BFGS over all data.

    Args:
        objective: Where to start.
        max_iterations: Largest number of iterations.
        gradient_tolerance: Largest entry of the gradient at which it stops.

    Returns:
        The objective at the lowest point found; it stops at saddles, as every descent does.

    Raises:
        InputError: If an option is out of range.

    Cost:
        A value and a gradient in each iteration, a few more in line searches.
    """
    if max_iterations < 1 or not gradient_tolerance > 0.0:
        raise InputError(
            "expected max_iterations >= 1 and gradient_tolerance > 0, "
            f"got {max_iterations} and {gradient_tolerance}"
        )

    def value_and_gradient(array: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        vector = torch.from_numpy(array.copy())
        return objective.value_at(vector), objective.gradient_at(vector).double().cpu().numpy()

    result = scipy.optimize.minimize(
        value_and_gradient,
        objective.point.double().cpu().numpy(),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": max_iterations,
            "gtol": gradient_tolerance,
            "ftol": 0.0,
            "maxfun": 4 * max_iterations,
        },
    )
    moved = objective.at(torch.from_numpy(result.x))
    return moved if moved.value() <= objective.value() else objective


def _lowest_along(
    objective: Objective,
    point: Float[Tensor, " n"],
    direction: Float[Tensor, " n"],
    value: float,
    first: float,
) -> tuple[float, float]:
    """Find the lowest value along a ray, on the grid of powers of two around the first decrease."""

    def at(step: float) -> float:
        found = objective.value_at(point + step * direction)
        return found if math.isfinite(found) else math.inf

    step, best = first, at(first)
    while not best < value and step > _SHORTEST_STEP:
        step /= 2.0
        best = at(step)
    for factor in (2.0, 0.5):
        while _SHORTEST_STEP < step < _LONGEST_STEP and (found := at(step * factor)) < best:
            step, best = step * factor, found
    return best, step
