"""Optimisers by name, for `localmin train --optimizer`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localmin.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from localmin.tasks.recipe import OptimizerFactory

__all__ = ["OPTIMIZER_NAMES", "choose_optimizer"]

_PLAIN = ("sgd", "adam", "adamw")
_ADAPTIVE = ("adam", "adamw")
_LANGEVIN = ("langevin", "underdamped", "non-reversible")
OPTIMIZER_NAMES = (*_PLAIN, *_LANGEVIN)
_SKEW_STRENGTH = 1.0


def choose_optimizer(
    name: str | None, *, lr: float | None, temperature: float, momentum: float, seed: int
) -> str | OptimizerFactory | None:
    """Turn a name into what a recipe takes.

    Args:
        name: One of `OPTIMIZER_NAMES`; None is the recipe's own.
        lr: Learning rate; needed by the Langevin dynamics, whose noise depends on it.
        temperature: Of the Langevin dynamics, at least 0; 0 draws no noise.
        momentum: Sets the friction of the underdamped dynamics.
        seed: Of the noise.

    Returns:
        A name of torch's, a factory, or None.

    Raises:
        InputError: If the name is unknown, or a temperature is given to an optimiser without one.
    """
    if name is not None and name not in OPTIMIZER_NAMES:
        raise InputError(f"unknown optimizer {name!r}; choose one of {', '.join(OPTIMIZER_NAMES)}")
    if name not in _LANGEVIN:
        if temperature:
            raise InputError(
                f"--temperature is for {', '.join(_LANGEVIN)}; {name or 'this optimizer'} has none"
            )
        if name in _ADAPTIVE and lr is None:
            raise InputError(
                f"--optimizer {name} needs --lr: the recipe's learning rate is for another optimizer"
            )
        return name
    if not (math.isfinite(temperature) and temperature >= 0):
        raise InputError(f"--temperature must not be negative, got {temperature}")
    if lr is None:
        raise InputError(f"--optimizer {name} needs --lr: its step and its noise both depend on it")
    return LangevinFactory(name, lr, temperature, momentum, seed)


@dataclass(frozen=True)
class LangevinFactory:
    """Build a Langevin optimiser; what it is made with stands in its repr, so that run folders know it.

    Args:
        name: ``"langevin"``, ``"underdamped"`` or ``"non-reversible"``.
        lr: Learning rate.
        temperature: 0 draws no noise.
        momentum: Turned into the friction of ``"underdamped"`` at this learning rate.
        seed: Of the noise.
    """

    name: str
    lr: float
    temperature: float
    momentum: float
    seed: int

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Build the optimiser over ``parameters``."""
        from localmin import langevin

        noise: dict[str, Any] = {"temperature": self.temperature, "seed": self.seed}
        if self.name == "langevin":
            return langevin.LangevinDynamics(parameters, self.lr, **noise)
        if self.name == "underdamped":
            friction = langevin.friction_from_momentum(self.momentum, self.lr)
            return langevin.UnderdampedLangevin(parameters, self.lr, friction=friction, **noise)
        skew = langevin.PairwiseRotation(_SKEW_STRENGTH)
        return langevin.NonReversibleLangevin(parameters, self.lr, skew=skew, **noise)
