"""Engines by name."""

from __future__ import annotations

from localmin.errors import InputError
from localmin.sampling.engines.optuna_engine import OptunaEngine
from localmin.sampling.engines.policy_gradient import PolicyGradientEngine
from localmin.sampling.engines.protocol import ENGINES, SearchEngine
from localmin.sampling.engines.random_engine import RandomEngine
from localmin.sampling.engines.sampler_process_engine import SamplerProcessEngine

__all__ = ["make_engine"]


def make_engine(name: str, *, seed: int, min_effective: float = 0.1) -> SearchEngine:
    """Build an engine.

    Args:
        name: One of `ENGINES`.
        seed: Of everything random in it.
        min_effective: Smallest share of effective examples that ``"sampler-process"`` proposes.

    Returns:
        The engine.

    Raises:
        InputError: If the name is unknown.
    """
    if name == "sampler-process":
        return SamplerProcessEngine(seed=seed, min_effective=min_effective)
    if name == "optuna-gp":
        return OptunaEngine(sampler="gp", seed=seed)
    if name == "tpe":
        return OptunaEngine(sampler="tpe", seed=seed)
    if name == "random":
        return RandomEngine(seed=seed)
    if name == "policy-gradient":
        return PolicyGradientEngine(seed=seed)
    raise InputError(f"unknown engine {name!r}; choose one of {', '.join(ENGINES)}")
