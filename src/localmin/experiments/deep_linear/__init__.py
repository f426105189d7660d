"""The claims about deep linear networks (Kawaguchi 2016), as experiments."""

from localmin.experiments.claim import Claim
from localmin.experiments.deep_linear import (
    bad_saddles,
    difficulty,
    local_minima,
    non_convexity,
    random_paths,
    saddles,
)

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = (
    non_convexity.CLAIM,
    local_minima.CLAIM,
    saddles.CLAIM,
    bad_saddles.CLAIM,
    random_paths.CLAIM,
    difficulty.CLAIM,
)
