"""Optuna's samplers behind the engine protocol."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.sampling.engines.protocol import Observation
from localmin.sampling.engines.random_engine import random_parameters
from localmin.sampling.policy import PolicySpace
from localmin.tasks.training import mix_seed

__all__ = ["OptunaEngine"]


class OptunaEngine:
    """Ask Optuna's Gaussian process (Matern-5/2, log expected improvement) or TPE over the ten numbers.

    The study is rebuilt from the observations at every call, so nothing is lost in an interruption.

    Args:
        sampler: ``"gp"`` or ``"tpe"``.
        seed: Of the sampler.
    """

    def __init__(self, *, sampler: Literal["gp", "tpe"], seed: int) -> None:
        self.sampler = sampler
        self.seed = seed

    def ask(self, space: PolicySpace, tried: Sequence[Observation], count: int) -> list[Float[Tensor, " k"]]:
        """Propose ``count`` samplers."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        seed = mix_seed(self.seed, len(tried)) % 2**32
        names = [f"z{i}" for i in range(space.form.num_parameters)]
        distributions = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in names}
        study = optuna.create_study(direction="maximize", sampler=self._sampler(optuna, seed))
        for trial in tried:
            values = dict(zip(names, trial.z.tolist(), strict=True))
            study.add_trial(
                optuna.trial.create_trial(params=values, distributions=distributions, value=trial.score)
            )
        proposals: list[Tensor] = []
        while len(proposals) < count:
            asked = study.ask(distributions)
            z = torch.tensor([asked.params[name] for name in names], dtype=torch.float64)
            if not space.form.is_valid(z):
                generator = torch.Generator().manual_seed(mix_seed(self.seed, len(tried), len(proposals)))
                z = random_parameters(space.form, 1, generator)[0]
            proposals.append(space.form.canonical(z))
        return proposals

    def _sampler(self, optuna: Any, seed: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if self.sampler == "gp":
                return optuna.samplers.GPSampler(seed=seed, n_startup_trials=0, deterministic_objective=False)
            return optuna.samplers.TPESampler(seed=seed, n_startup_trials=0, multivariate=True)
