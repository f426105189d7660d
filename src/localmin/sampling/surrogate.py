"""A Gaussian process over samplers, not over their parameters.

Two parameter vectors that draw alike are one point: the kernel is
``a^2 exp(-||sqrt p - sqrt p'||^2 / (2 l^2))`` on the vectors of drawing probabilities, a function of their
Hellinger distance. It does not care about the scale of a factor, holds across policy forms, and old
trials stay valid when the features are computed anew.

Source: derived here; the choice of Bayesian optimisation for the outer search is [yao2024].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtr

__all__ = ["Posterior", "SamplerProcess", "embed", "expected_improvement"]

Array = npt.NDArray[np.float64]

_LENGTHS = (0.15, 0.3, 0.6)
_AMPLITUDES = (0.01, 0.03, 0.06)
_NOISES = (0.004, 0.008, 0.015)


def embed(weights: Array) -> Array:
    """Compute ``sqrt p`` for rows of relative weights.

    Args:
        weights: Shape ``(m, n)``, not negative.

    Returns:
        Shape ``(m, n)``; rows of unit length, zero rows stay zero.
    """
    total = weights.sum(axis=1, keepdims=True)
    probabilities: Array = weights / np.where(total > 0, total, 1.0)
    return np.sqrt(probabilities)


@dataclass(frozen=True)
class Posterior:
    """Mean and standard deviation of the true score at some samplers, each of shape ``(m,)``."""

    mean: Array
    deviation: Array


class SamplerProcess:
    """Fit scores of samplers; hyper-parameters by marginal likelihood over a small grid.

    Args:
        points: Embedded samplers, shape ``(m, n)``.
        scores: Shape ``(m,)``, in [0, 1].

    Example:
        >>> points = embed(np.array([[1.0, 1.0], [1.0, 0.2]]))
        >>> process = SamplerProcess(points, np.array([0.8, 0.9]))
        >>> mean = process.posterior(points).mean
        >>> bool(0.8 < mean[0] < mean[1] < 0.9)
        True
    """

    def __init__(self, points: Array, scores: Array) -> None:
        self.points = np.asarray(points, dtype=np.float64)
        self.scores = np.asarray(scores, dtype=np.float64)
        squared = _squared_distances(self.points, self.points)
        fits = [
            self._fit(squared, length, amplitude, noise)
            for length in _LENGTHS
            for amplitude in _AMPLITUDES
            for noise in _NOISES
        ]
        best = max(fits, key=lambda fit: fit.log_likelihood)
        self.length, self.amplitude, self.noise = best.length, best.amplitude, best.noise
        self.mean = best.mean
        self.log_likelihood = best.log_likelihood
        self._factor, self._alpha = best.factor, best.alpha
        self._ones = cho_solve(self._factor, np.ones(len(self.scores)))

    def _fit(self, squared: Array, length: float, amplitude: float, noise: float) -> _Fit:
        kernel = amplitude**2 * np.exp(-squared / (2 * length**2))
        kernel[np.diag_indices_from(kernel)] += noise**2
        factor = cho_factor(kernel, lower=True)
        ones = cho_solve(factor, np.ones(len(self.scores)))
        mean = float(ones @ self.scores / ones.sum())
        residual = self.scores - mean
        alpha = cho_solve(factor, residual)
        log_likelihood = -0.5 * float(residual @ alpha) - float(np.log(np.diag(factor[0])).sum())
        return _Fit(length, amplitude, noise, mean, log_likelihood, factor, alpha)

    def posterior(self, points: Array) -> Posterior:
        """Predict the true score of samplers.

        Args:
            points: Embedded samplers, shape ``(m, n)``.

        Returns:
            Mean and standard deviation, without the noise of a trial, with the uncertainty of the
            constant mean.
        """
        cross = self.amplitude**2 * np.exp(-_squared_distances(points, self.points) / (2 * self.length**2))
        mean = self.mean + cross @ self._alpha
        solved = cho_solve(self._factor, cross.T)
        unexplained = 1 - cross @ self._ones
        variance = (
            self.amplitude**2 - np.einsum("ij,ji->i", cross, solved) + unexplained**2 / self._ones.sum()
        )
        return Posterior(mean, np.sqrt(np.maximum(variance, 1e-12)))


@dataclass(frozen=True)
class _Fit:
    length: float
    amplitude: float
    noise: float
    mean: float
    log_likelihood: float
    factor: tuple[Array, bool]
    alpha: Array


def expected_improvement(posterior: Posterior, incumbent: float) -> Array:
    """Compute ``E max(0, f - incumbent)`` under the posterior, shape ``(m,)``.

    Args:
        posterior: At the candidates.
        incumbent: Best posterior mean of a tried sampler; the best raw score would be optimistic.

    Returns:
        Not negative, shape ``(m,)``.

    Example:
        >>> expected_improvement(Posterior(np.array([0.0]), np.array([1.0])), 0.0).round(4)
        array([0.3989])
    """
    gap = posterior.mean - incumbent
    z = gap / posterior.deviation
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return np.asarray(gap * ndtr(z) + posterior.deviation * density, dtype=np.float64)


def _squared_distances(first: Array, second: Array) -> Array:
    # Rows have unit length, so ||a - b||^2 = 2 - 2 a.b.
    return np.maximum(0.0, 2 - 2 * first @ second.T)
