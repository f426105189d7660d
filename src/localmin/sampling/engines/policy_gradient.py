"""Reinforcement learning over the ten numbers: the outer search that rivals of the method use."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.sampling.engines.protocol import Observation
from localmin.sampling.engines.random_engine import random_parameters
from localmin.sampling.policy import PolicySpace
from localmin.tasks.training import mix_seed

__all__ = ["PolicyGradientEngine"]

_RATE = 0.2
_DEVIATION = 0.25
_BASELINE_RATE = 0.2


class PolicyGradientEngine:
    """Move the mean of a normal distribution over ``z`` along ``advantage * (z - mean)`` (REINFORCE).

    The advantage is the score minus a running mean, over the running spread. It starts at uniform. The
    updates are replayed from the observations at every call, so nothing is lost in an interruption.

    Args:
        seed: Of the draws.

    Source:
        [williams1992]. Deviations: ``z`` is clipped to the unit cube and brought to its canonical scale
        before it is used in the update; the deviation of the distribution is fixed.
    """

    def __init__(self, *, seed: int) -> None:
        self.seed = seed

    def ask(self, space: PolicySpace, tried: Sequence[Observation], count: int) -> list[Float[Tensor, " k"]]:
        """Propose ``count`` samplers drawn around the present mean."""
        form, mean = space.form, self._mean(space, tried)
        generator = torch.Generator().manual_seed(mix_seed(self.seed, len(tried)))
        proposals = []
        for _ in range(count):
            step = torch.randn(len(mean), generator=generator, dtype=torch.float64)
            z = (mean + _DEVIATION * step).clamp(0, 1)
            if not form.is_valid(z):
                z = random_parameters(form, 1, generator)[0]
            proposals.append(form.canonical(z))
        return proposals

    def _mean(self, space: PolicySpace, tried: Sequence[Observation]) -> Float[Tensor, " k"]:
        mean = space.form.uniform()
        if not tried:
            return mean
        baseline, variance = tried[0].score, 0.0
        for trial in tried[1:]:
            surprise = trial.score - baseline
            variance += _BASELINE_RATE * (surprise**2 - variance)
            advantage = surprise / max(math.sqrt(variance), 1e-6)
            mean = (mean + _RATE * max(-2.0, min(2.0, advantage)) * (trial.z - mean)).clamp(0, 1)
            baseline += _BASELINE_RATE * surprise
        return mean
