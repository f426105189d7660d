"""Langevin dynamics as torch optimisers."""

from localmin.langevin.optimizers.nonreversible import NonReversibleLangevin
from localmin.langevin.optimizers.overdamped import LangevinDynamics
from localmin.langevin.optimizers.underdamped import UnderdampedLangevin

__all__ = ["LangevinDynamics", "NonReversibleLangevin", "UnderdampedLangevin"]
