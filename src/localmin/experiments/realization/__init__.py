"""The claims about ReLU realization space (Berner, Elbraechter, Grohs 2019), as experiments."""

from localmin.experiments.claim import Claim
from localmin.experiments.realization import (
    almost_optimality,
    convexity,
    degeneracy,
    inverse_stability,
    parameter_minima,
)

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = (
    convexity.CLAIM,
    degeneracy.CLAIM,
    inverse_stability.CLAIM,
    parameter_minima.CLAIM,
    almost_optimality.CLAIM,
)
