"""Coefficients of one underdamped step, in float64 and free of cancellation at small friction times step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["ExponentialCoefficients", "exponential_coefficients"]

# Below this the closed forms lose digits by cancellation (psi2 two leading terms, the covariances three).
_SERIES_LIMIT = 0.5
_SERIES_TERMS = 24


@dataclass(frozen=True)
class ExponentialCoefficients:
    """Coefficients of the exponential integrator with the gradient frozen over the step.

    Attributes:
        psi0: exp(-friction h), factor of the old velocity.
        psi1: Integral of psi0 over the step [time].
        psi2: Integral of psi1 over the step [time^2].
        covariance_vv: Variance of the velocity noise in units of the temperature.
        covariance_vx: Covariance of velocity and position noise in units of the temperature [time].
        covariance_xx: Variance of the position noise in units of the temperature [time^2].
    """

    psi0: float
    psi1: float
    psi2: float
    covariance_vv: float
    covariance_vx: float
    covariance_xx: float

    @property
    def cholesky(self) -> tuple[float, float, float]:
        """Factor the noise covariance in the order (v, x): (l11, l21, l22)."""
        if self.covariance_vv == 0.0:
            return 0.0, 0.0, 0.0
        first = math.sqrt(self.covariance_vv)
        second = self.covariance_vx / first
        return first, second, math.sqrt(max(self._schur_complement, 0.0))

    @property
    def _schur_complement(self) -> float:
        return self.covariance_xx - self.covariance_vx**2 / self.covariance_vv


def exponential_coefficients(step_size: float, friction: float) -> ExponentialCoefficients:
    """Compute psi0 = e^(-friction h), psi_(k+1)(h) = integral of psi_k, and the noise covariance of one step.

    Args:
        step_size: h > 0 [time].
        friction: Friction >= 0 [1/time]; at 0 the noise vanishes.

    Returns:
        The six coefficients, accurate to about 1e-14 relative at every friction times step.

    Source:
        The left-point exponential integrator of Cheng et al. (kinetic Langevin Monte Carlo); derived here by
        integrating the linear equation. Series where friction times step is below 0.5.

    Example:
        >>> c = exponential_coefficients(1.0, 2.0)
        >>> round(c.psi1, 6), round(c.psi2, 6), round(c.covariance_vv, 6)
        (0.432332, 0.283834, 0.981684)
    """
    h, product = step_size, friction * step_size
    psi0 = math.exp(-product)
    covariance_vv = -math.expm1(-2 * product)
    if product < _SERIES_LIMIT:
        unit1 = _series(lambda k: (-product) ** k / math.factorial(k + 1))
        unit2 = _series(lambda k: (-product) ** k / math.factorial(k + 2))
        # 2p - 3 + 4 e^-p - e^-2p = sum over k >= 3 of (-p)^k (4 - 2^k) / k!
        unit_xx = -_series(lambda k: (-product) ** k * (4 - 2.0 ** (k + 3)) / math.factorial(k + 3))
    else:
        unit1 = -math.expm1(-product) / product
        unit2 = (product - 1 + psi0) / product**2
        unit_xx = (2 * product - 3 + 4 * psi0 - psi0**2) / product**3
    return ExponentialCoefficients(
        psi0=psi0,
        psi1=h * unit1,
        psi2=h * h * unit2,
        covariance_vv=covariance_vv,
        covariance_vx=product * h * unit1**2,
        covariance_xx=product * h * h * unit_xx,
    )


def _series(term: Callable[[int], float]) -> float:
    return math.fsum(term(k) for k in range(_SERIES_TERMS))
