"""Optimisers by name, for `localmin train --optimizer`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localmin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn

    from localmin.tasks.recipe import OptimizerFactory

__all__ = ["COOLINGS", "OPTIMIZER_NAMES", "LangevinOptions", "choose_optimizer"]

_PLAIN = ("sgd", "adam", "adamw")
_ADAPTIVE = ("adam", "adamw")
_LANGEVIN = ("langevin", "underdamped", "non-reversible")
OPTIMIZER_NAMES = (*_PLAIN, *_LANGEVIN)
COOLINGS = ("constant", "exponential", "logarithmic", "cyclical")
_SKEW_STRENGTH = 1.0
_SCHEME = "baoab"
# What exponential cooling ends at, relative to its start; how many cycles cyclical cooling makes.
_COOLED_FRACTION = 1e-3
_NUM_CYCLES = 4


@dataclass(frozen=True)
class LangevinOptions:
    """What the Langevin dynamics take beside learning rate and temperature, as typed by the user.

    Args:
        friction: A number per time, or ``"critical"``; of ``"underdamped"``. None is that of the recipe's
            momentum.
        curvature: m of the critical friction 2 sqrt(m).
        scheme: Of ``"underdamped"``; None is "baoab".
        skew_strength: Of ``"non-reversible"``, neighbouring coordinates paired; None is 1.
        cooling: How the temperature falls over the training.
    """

    friction: str | None = None
    curvature: float | None = None
    scheme: str | None = None
    skew_strength: float | None = None
    cooling: str = "constant"


def choose_optimizer(
    name: str | None,
    *,
    lr: float | None,
    temperature: float,
    momentum: float,
    seed: int,
    weight_decay: float = 0.0,
    num_steps: int | None = None,
    options: LangevinOptions | None = None,
) -> str | OptimizerFactory | None:
    """Turn a name into what a recipe takes.

    Args:
        name: One of `OPTIMIZER_NAMES`; None is the recipe's own.
        lr: Learning rate; needed by the Langevin dynamics, whose noise depends on it.
        temperature: Of the Langevin dynamics, at least 0; 0 draws no noise.
        momentum: Sets the friction of the underdamped dynamics if no friction is given.
        seed: Of the noise.
        weight_decay: Of the recipe.
        num_steps: Of the training; needed by cooling.
        options: The rest; None for the defaults.

    Returns:
        A name of torch's, a factory, or None.

    Raises:
        InputError: If a name is unknown, a number out of range, or an option is for another optimiser.
    """
    options = options or LangevinOptions()
    if name is not None and name not in OPTIMIZER_NAMES:
        raise InputError(f"unknown optimizer {name!r}; choose one of {', '.join(OPTIMIZER_NAMES)}")
    _refuse_foreign(name, temperature, options)
    if name not in _LANGEVIN:
        if name in _ADAPTIVE and lr is None:
            raise InputError(
                f"--optimizer {name} needs --lr: the recipe's learning rate is for another optimizer"
            )
        return name
    if not (math.isfinite(temperature) and temperature >= 0):
        raise InputError(f"--temperature must not be negative, got {temperature}")
    if lr is None:
        raise InputError(f"--optimizer {name} needs --lr: its step and its noise both depend on it")
    if options.cooling not in COOLINGS:
        raise InputError(f"--cooling is one of {', '.join(COOLINGS)}, got {options.cooling!r}")
    chosen: dict[str, Any] = {}
    if name == "underdamped":
        chosen = {"friction": _friction(options, momentum, lr), "scheme": options.scheme or _SCHEME}
    elif name == "non-reversible":
        chosen = {"strength": _SKEW_STRENGTH if options.skew_strength is None else options.skew_strength}
    factory = LangevinFactory(
        name, lr, temperature, seed, weight_decay, chosen, options.cooling, num_steps or 1
    )
    factory.check()
    return factory


@dataclass(frozen=True)
class LangevinFactory:
    """Build a Langevin optimiser; what it is made with stands in its repr, so that run folders know it.

    Args:
        name: ``"langevin"``, ``"underdamped"`` or ``"non-reversible"``.
        lr: Learning rate.
        temperature: 0 draws no noise.
        seed: Of the noise.
        weight_decay: Adds its multiple of the weights to the gradient.
        options: ``friction`` and ``scheme``, or ``strength``.
        cooling: One of `COOLINGS`.
        num_steps: Over which the temperature falls.
    """

    name: str
    lr: float
    temperature: float
    seed: int
    weight_decay: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)
    cooling: str = "constant"
    num_steps: int = 1

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Build the optimiser over ``parameters``."""
        from localmin import langevin

        common: dict[str, Any] = {
            "temperature": self._schedule() if self.temperature else 0.0,
            "seed": self.seed,
            "weight_decay": self.weight_decay,
        }
        if self.name == "langevin":
            return langevin.LangevinDynamics(parameters, self.lr, **common)
        if self.name == "underdamped":
            return langevin.UnderdampedLangevin(parameters, self.lr, **self.options, **common)
        skew = langevin.PairwiseRotation(self.options["strength"])
        return langevin.NonReversibleLangevin(parameters, self.lr, skew=skew, **common)

    def check(self) -> None:
        """Build one for a single number, so that a bad option is an `InputError` before any training."""
        import torch

        self([torch.nn.Parameter(torch.zeros(1))])

    def _schedule(self) -> float | Callable[[int], float]:
        from localmin import langevin

        if self.cooling == "exponential":
            return langevin.Exponential(self.temperature, _COOLED_FRACTION ** (1 / self.num_steps))
        if self.cooling == "logarithmic":
            return langevin.Logarithmic(self.temperature * math.log(2))  # starts at the temperature
        if self.cooling == "cyclical":
            return langevin.Cyclical(self.temperature, max(self.num_steps, _NUM_CYCLES), _NUM_CYCLES)
        return self.temperature


def _refuse_foreign(name: str | None, temperature: float, options: LangevinOptions) -> None:
    """Refuse an option that the optimiser would ignore."""
    given = {
        "--temperature": (bool(temperature), _LANGEVIN),
        "--cooling": (options.cooling != "constant", _LANGEVIN),
        "--friction": (options.friction is not None, ("underdamped",)),
        "--curvature": (options.curvature is not None, ("underdamped",)),
        "--scheme": (options.scheme is not None, ("underdamped",)),
        "--skew-strength": (options.skew_strength is not None, ("non-reversible",)),
    }
    for option, (is_given, takers) in given.items():
        if is_given and name not in takers:
            raise InputError(f"{option} is for {', '.join(takers)}; {name or 'this optimizer'} has none")


def _friction(options: LangevinOptions, momentum: float, lr: float) -> float:
    """Compute the friction: as given, critical for a curvature, or that of the recipe's momentum."""
    from localmin import langevin

    if options.friction == "critical":
        if options.curvature is None:
            raise InputError(
                "--friction critical needs --curvature M, the smallest curvature to damp, such as the weight"
                " decay; localmin.langevin.estimate_curvature measures it"
            )
        return langevin.critical_friction(options.curvature)
    if options.curvature is not None:
        raise InputError("--curvature goes with --friction critical")
    if options.friction is not None:
        try:
            return float(options.friction)
        except ValueError as error:
            raise InputError(f"--friction is a number or critical, got {options.friction!r}") from error
    if not momentum > 0:
        raise InputError(
            "--optimizer underdamped needs --friction: the recipe has no momentum to take it from"
        )
    return langevin.friction_from_momentum(momentum, lr)
