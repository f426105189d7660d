"""Engines of the outer search, behind one protocol."""

from localmin.sampling.engines.optuna_engine import OptunaEngine
from localmin.sampling.engines.protocol import ENGINES, EngineName, Observation, SearchEngine
from localmin.sampling.engines.random_engine import RandomEngine
from localmin.sampling.engines.registry import make_engine
from localmin.sampling.engines.sampler_process_engine import SamplerProcessEngine

__all__ = [
    "ENGINES",
    "EngineName",
    "Observation",
    "OptunaEngine",
    "RandomEngine",
    "SamplerProcessEngine",
    "SearchEngine",
    "make_engine",
]
