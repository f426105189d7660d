"""The dynamics that a network is trained by, chosen by `--optimizer`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from localmin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import nn

    from localmin.tasks.recipe import OptimizerFactory, Recipe
    from localmin.tasks.task import Task

__all__ = ["COOLINGS", "OPTIMIZER_NAMES", "DynamicsOptions", "choose_optimizer", "optimizer_for"]

_PLAIN = ("sgd", "adam", "adamw")
_ADAPTIVE = ("adam", "adamw")
_LANGEVIN = ("langevin", "underdamped", "non-reversible")
_WORDS = {"langevin": "overdamped", "underdamped": "underdamped", "non-reversible": "non-reversible"}
OPTIMIZER_NAMES = (*_PLAIN, *_LANGEVIN)
COOLINGS = ("constant", "exponential", "logarithmic", "cyclical")
_SKEW_STRENGTH = 1.0
_SCHEME = "baoab"
# What exponential cooling ends at, relative to its start; how many cycles cyclical cooling makes.
_COOLED_FRACTION = 1e-3
_NUM_CYCLES = 4


@dataclass(frozen=True)
class DynamicsOptions:
    """By which dynamics a network is trained; what a dynamics does not take is refused, not ignored."""

    optimizer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="sgd, adam, adamw, langevin, underdamped or non-reversible."),
    ] = None
    temperature: Annotated[
        float, typer.Option(metavar="T", help="Of the Langevin dynamics; 0 draws no noise.")
    ] = 0.0
    cooling: Annotated[
        str,
        typer.Option(metavar="HOW", help="Of the temperature: constant, exponential, logarithmic, cyclical."),
    ] = "constant"
    friction: Annotated[
        str | None,
        typer.Option(metavar="G", help="Of underdamped, per time, or critical; else the recipe's momentum."),
    ] = None
    curvature: Annotated[
        float | None, typer.Option(metavar="M", help="For --friction critical: the smallest to damp.")
    ] = None
    scheme: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of underdamped: baoab, baoa, obabo, symplectic_euler, exponential, euler_maruyama.",
        ),
    ] = None
    skew_strength: Annotated[
        float | None, typer.Option(metavar="A", help="Of non-reversible; default 1.")
    ] = None


def choose_optimizer(
    options: DynamicsOptions, recipe: Recipe, *, lr: float | None, seed: int, num_steps: int
) -> str | OptimizerFactory | None:
    """Turn options into what a recipe takes.

    Args:
        options: As typed.
        recipe: Its momentum sets the friction of the underdamped dynamics if none is given; its weight decay
            is taken over.
        lr: Learning rate as typed; needed by the Langevin dynamics, whose noise depends on it.
        seed: Of the noise.
        num_steps: Of the training, over which the temperature falls.

    Returns:
        A name of torch's, a factory, or None for the recipe's own optimiser.

    Raises:
        InputError: If a name is unknown, a number out of range, or an option is for another optimiser.
    """
    name, temperature = options.optimizer, options.temperature
    if name is not None and name not in OPTIMIZER_NAMES:
        raise InputError(f"unknown optimizer {name!r}; choose one of {', '.join(OPTIMIZER_NAMES)}")
    _refuse_foreign(options)
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
        friction = _friction(options, recipe.momentum, lr)
        chosen = {"friction": friction, "scheme": options.scheme or _SCHEME}
    elif name == "non-reversible":
        chosen = {"strength": _SKEW_STRENGTH if options.skew_strength is None else options.skew_strength}
    factory = LangevinFactory(
        name, lr, temperature, seed, recipe.weight_decay, chosen, options.cooling, num_steps
    )
    factory.check()
    return factory


def optimizer_for(
    options: DynamicsOptions, task: Task, *, lr: float | None, seed: int
) -> str | OptimizerFactory | None:
    """Choose the optimiser of one training of a task; see `choose_optimizer`."""
    from localmin.tasks.training import count_steps

    recipe = task.recipe
    num_steps = recipe.epochs * count_steps(len(task.train), recipe.batch_size)
    return choose_optimizer(options, recipe, lr=lr, seed=seed, num_steps=num_steps)


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

    def __str__(self) -> str:
        """Say in words what it is."""
        parts = [f"lr {self.lr:g}", f"temperature {self.temperature:g}"]
        if self.cooling != "constant":
            parts.append(f"{self.cooling} cooling")
        parts += [
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.options.items()
        ]
        return f"{_WORDS[self.name]} Langevin dynamics ({', '.join(parts)})"

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


def _refuse_foreign(options: DynamicsOptions) -> None:
    """Refuse an option that the optimiser would ignore."""
    name = options.optimizer
    given = {
        "--temperature": (bool(options.temperature), _LANGEVIN),
        "--cooling": (options.cooling != "constant", _LANGEVIN),
        "--friction": (options.friction is not None, ("underdamped",)),
        "--curvature": (options.curvature is not None, ("underdamped",)),
        "--scheme": (options.scheme is not None, ("underdamped",)),
        "--skew-strength": (options.skew_strength is not None, ("non-reversible",)),
    }
    for option, (is_given, takers) in given.items():
        if is_given and name not in takers:
            raise InputError(f"{option} is for {', '.join(takers)}; {name or 'this optimizer'} has none")


def _friction(options: DynamicsOptions, momentum: float, lr: float) -> float:
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
