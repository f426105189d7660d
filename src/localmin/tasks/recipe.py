"""How a network is trained, apart from which examples it sees."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.tasks.augmentation import AUGMENTATIONS, Augmentation

__all__ = ["SCHEDULES", "OptimizerFactory", "Recipe", "learning_rate_factor"]

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

SCHEDULES = ("cosine", "constant", "linear", "step")
OPTIMIZERS = ("sgd", "adam", "adamw")


@dataclass(frozen=True)
class Recipe:
    """Describe one training: length, batch, optimiser, schedule, regularisation, augmentation.

    Args:
        epochs: Passes of n draws each; one *training* is this long.
        batch_size: Examples in an optimiser step.
        lr: Peak learning rate.
        momentum: Of SGD; ignored by the others.
        nesterov: Whether SGD looks ahead.
        weight_decay: Coefficient of the L2 term (decoupled in AdamW).
        optimizer: ``"sgd"``, ``"adam"``, ``"adamw"``, or a callable that takes the parameters and
            gives a torch optimiser (its own ``lr`` is then the peak of the schedule).
        schedule: Of the learning rate over steps: ``"cosine"`` or ``"linear"`` to
            ``final_lr_fraction``, ``"constant"``, or ``"step"`` (x 0.1 at 50 % and at 75 %).
        final_lr_fraction: The last learning rate relative to ``lr``, in [0, 1].
        warmup_epochs: Linear increase of the learning rate at the start.
        label_smoothing: Mass given to the wrong classes by the training loss, in [0, 1).
        augmentation: ``"none"``, ``"flip"``, ``"flip-crop"``, or a callable
            ``(batch, generator) -> batch`` applied to normalised training batches.

    Raises:
        InputError: If a value is out of its range or a name is unknown.

    Example:
        >>> Recipe(epochs=40, lr=0.1).epochs
        40
    """

    epochs: int = 40
    batch_size: int = 64
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    optimizer: str | OptimizerFactory = "sgd"
    schedule: str = "cosine"
    final_lr_fraction: float = 0.0
    warmup_epochs: float = 0.0
    label_smoothing: float = 0.0
    augmentation: str | Augmentation = "none"

    def __post_init__(self) -> None:
        for name, low in (("epochs", 1), ("batch_size", 1)):
            if getattr(self, name) < low:
                raise InputError(f"{name} must be at least {low}, got {getattr(self, name)}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise InputError(f"lr must be positive, got {self.lr}")
        for name in ("momentum", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if self.nesterov and self.momentum == 0:
            raise InputError("nesterov looks ahead along the momentum; momentum must be above 0")
        if not self.weight_decay >= 0 or not self.warmup_epochs >= 0 or not 0 <= self.final_lr_fraction <= 1:
            raise InputError(
                "weight_decay and warmup_epochs must not be negative and final_lr_fraction lies in [0, 1]"
            )
        _check_name("schedule", self.schedule, SCHEDULES)
        if isinstance(self.optimizer, str):
            _check_name("optimizer", self.optimizer, OPTIMIZERS)
        if isinstance(self.augmentation, str):
            _check_name("augmentation", self.augmentation, tuple(AUGMENTATIONS))

    def make_optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Build the optimiser over ``parameters``."""
        if callable(self.optimizer):
            return self.optimizer(parameters)
        if self.optimizer == "sgd":
            return torch.optim.SGD(
                parameters,
                lr=self.lr,
                momentum=self.momentum,
                weight_decay=self.weight_decay,
                nesterov=self.nesterov,
            )
        kind = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return kind(parameters, lr=self.lr, weight_decay=self.weight_decay)

    def augment(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Apply the training augmentation to a normalised batch."""
        if callable(self.augmentation):
            return self.augmentation(batch, generator)
        return AUGMENTATIONS[self.augmentation](batch, generator)

    def to_dict(self) -> dict[str, Any]:
        """List every setting by name; callables by their qualified name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _describe(value) for name, value in values.items()}


def learning_rate_factor(recipe: Recipe, step: int, *, num_steps: int, steps_per_epoch: int) -> float:
    """Compute the learning rate of a step relative to the peak.

    Args:
        recipe: Names the schedule.
        step: Optimiser step, from 0.
        num_steps: Steps of the whole run, at least 1.
        steps_per_epoch: For the length of the warm-up.

    Returns:
        A factor in [0, 1].

    Example:
        >>> learning_rate_factor(Recipe(schedule="cosine"), 50, num_steps=100, steps_per_epoch=10)
        0.5
    """
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, num_steps - warmup)
    low = recipe.final_lr_fraction
    if recipe.schedule == "cosine":
        return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * progress))
    if recipe.schedule == "linear":
        return low + (1 - low) * (1 - progress)
    if recipe.schedule == "step":
        return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01
    return 1.0


def _check_name(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"unknown {option} {value!r}; choose one of {', '.join(known)}")


def _describe(value: object) -> Any:
    # The repr of a dataclass names its settings and no address, so it tells recipes apart.
    if is_dataclass(value):
        return repr(value)
    if callable(value):
        return getattr(value, "__qualname__", type(value).__qualname__)
    return value
