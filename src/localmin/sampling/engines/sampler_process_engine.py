"""Bayesian optimisation with the Gaussian process over samplers: the default engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from localmin.sampling.engines.protocol import Observation
from localmin.sampling.engines.random_engine import random_parameters
from localmin.sampling.policy import PolicySpace
from localmin.sampling.surrogate import SamplerProcess, embed, expected_improvement
from localmin.sampling.weight_table import effective_sample_size
from localmin.tasks.training import mix_seed

__all__ = ["SamplerProcessEngine"]

_NUM_RANDOM, _NUM_MONOTONE = 150, 75
_NUM_PERTURBED, _NUM_AVERAGED, _NUM_PARENTS = 80, 40, 4
_STEPS = (0.08, 0.2)


class SamplerProcessEngine:
    """Maximise expected improvement over random, perturbed and averaged candidates.

    A batch is built one by one: each proposal is taken as observed at its posterior mean before the next
    (the kriging believer), so that a batch spreads out.

    Args:
        seed: Of the candidates.
        min_effective: Candidates with fewer effective examples, as a share of all, are not proposed.
    """

    def __init__(self, *, seed: int, min_effective: float = 0.1) -> None:
        self.seed = seed
        self.min_effective = min_effective

    def ask(self, space: PolicySpace, tried: Sequence[Observation], count: int) -> list[Float[Tensor, " k"]]:
        """Propose ``count`` samplers."""
        generator = torch.Generator().manual_seed(mix_seed(self.seed, len(tried)))
        points = np.stack([trial.point.numpy() for trial in tried])
        scores = np.array([trial.score for trial in tried])
        candidates, embedded = self._candidates(space, tried, points, scores, generator)
        proposals: list[Tensor] = []
        for _ in range(count):
            process = SamplerProcess(points, scores)
            posterior = process.posterior(embedded)
            incumbent = float(process.posterior(points).mean.max())
            best = int(np.argmax(expected_improvement(posterior, incumbent)))
            proposals.append(candidates[best])
            points = np.vstack([points, embedded[best]])
            scores = np.append(scores, posterior.mean[best])
        return proposals

    def _candidates(
        self,
        space: PolicySpace,
        tried: Sequence[Observation],
        points: np.ndarray,
        scores: np.ndarray,
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "m k"], np.ndarray]:
        form = space.form
        means = SamplerProcess(points, scores).posterior(points).mean
        order = np.argsort(-means, kind="stable")[:_NUM_PARENTS]
        parents = torch.stack([tried[int(i)].z for i in order])
        drawn = [
            random_parameters(form, _NUM_RANDOM, generator, monotone=_NUM_MONOTONE),
            *(_perturbed(parent, generator) for parent in parents),
            _averaged(parents, generator),
        ]
        candidates = torch.cat(drawn).clamp(0, 1)
        kept, weights = [], []
        for z in candidates:
            if not form.is_valid(z):
                continue
            w = space.weights(z)
            if float(w.sum()) > 0 and effective_sample_size(w) >= self.min_effective * len(space):
                kept.append(form.canonical(z))
                weights.append(w.numpy())
        if not kept:
            # Nothing random spreads its draws widely enough; what was tried did, at least once.
            kept = list(parents)
            weights = [space.weights(z).numpy() for z in kept]
        return torch.stack(kept), embed(np.stack(weights))


def _perturbed(parent: Float[Tensor, " k"], generator: torch.Generator) -> Float[Tensor, "m k"]:
    shape = (_NUM_PERTURBED, len(parent))
    step = torch.tensor(_STEPS, dtype=torch.float64).repeat_interleave(_NUM_PERTURBED // len(_STEPS))
    moved = torch.rand(shape, generator=generator) < 0.5
    noise = torch.randn(shape, generator=generator, dtype=torch.float64) * step[:, None]
    return parent + torch.where(moved, noise, 0.0)


def _averaged(parents: Float[Tensor, "p k"], generator: torch.Generator) -> Float[Tensor, "m k"]:
    # Exponentials divided by their sum are uniform on the simplex (Dirichlet with ones).
    shares = -torch.rand(_NUM_AVERAGED, len(parents), generator=generator, dtype=torch.float64).log()
    return (shares / shares.sum(1, keepdim=True)) @ parents
