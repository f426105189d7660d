"""What a user asks for in words and numbers, turned into one task per seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from localmin.errors import InputError
from localmin.tasks.assembly import build_task
from localmin.tasks.noise import NoiseKind
from localmin.tasks.noisy_task import add_noise
from localmin.tasks.readers import ReadProgress, open_source, open_task
from localmin.tasks.task import Metric, Task

__all__ = ["TaskRequest"]


@dataclass(frozen=True)
class TaskRequest:
    """Name data, network and changes to both.

    Args:
        data: A built-in name, a path, or ``file.py:factory`` returning a `Task`.
        test: A separate test set, read like ``data``.
        label: Column of the label.
        model: A built-in network, or ``file.py:factory`` of an ``nn.Module``.
        noise: Share of labels to make wrong.
        noise_kind: One that the kind of task knows; None is its first.
        clean_validation: Keep the validation labels right.
        imbalance: Largest class over smallest.
        limit: Examples for training and validation together.
        metric: One that the kind of task knows; None chooses.
        recipe: Fields of `Recipe` to replace; None values are ignored.
        image_size: Pixels that images are brought to; None is their most common size.
        kind: Of the task; None is found in the labels, see `open_source`.
        clean_label: Column of right labels, for measuring only.
    """

    data: str
    test: str | None = None
    label: str | None = None
    model: str | None = None
    noise: float = 0.0
    noise_kind: NoiseKind | None = None
    clean_validation: bool = False
    imbalance: float = 1.0
    limit: int | None = None
    metric: Metric | None = None
    recipe: dict[str, Any] | None = None
    image_size: int | None = None
    kind: str | None = None
    clean_label: str | None = None

    def open(self, progress: ReadProgress | None = None) -> Callable[[int], Task]:
        """Read the data once.

        Args:
            progress: Hears of images decoded.

        Returns:
            A function from a seed to the task with that seed's split, noise and imbalance.

        Raises:
            InputError: If the data or an option cannot be used.
        """
        if not 0 <= self.noise <= 1:
            raise InputError(f"--noise must lie in [0, 1], got {self.noise}")
        recipe = {key: value for key, value in (self.recipe or {}).items() if value is not None}
        if ".py:" in self.data:
            return self._from_factory(recipe)
        source = open_source(
            self.data,
            test=self.test,
            label=self.label,
            image_size=self.image_size,
            kind=self.kind,
            clean_label=self.clean_label,
            progress=progress,
        )

        def make(seed: int) -> Task:
            return build_task(
                source,
                seed=seed,
                model=self.model,
                noise=self.noise,
                noise_kind=self.noise_kind,
                clean_validation=self.clean_validation,
                imbalance=self.imbalance,
                limit=self.limit,
                metric=self.metric,
                **recipe,
            )

        return make

    def _from_factory(self, recipe: dict[str, Any]) -> Callable[[int], Task]:
        fixed = {
            "--test": self.test,
            "--label": self.label,
            "--model": self.model,
            "--limit": self.limit,
            "--image-size": self.image_size,
            "--kind": self.kind,
            "--clean-label": self.clean_label,
            "--imbalance": None if self.imbalance == 1 else self.imbalance,
        }
        given = [name for name, value in fixed.items() if value is not None]
        if given:
            raise InputError(
                f"{', '.join(given)} cannot change a Task from {self.data}; change it in the factory"
            )

        def make(seed: int) -> Task:
            task = open_task(self.data, seed=seed)
            if recipe:
                task = task.with_recipe(replace(task.recipe, **recipe))
            if self.metric is not None:
                task = replace(task, metric=self.metric)
            return add_noise(
                task, self.noise, kind=self.noise_kind, clean_validation=self.clean_validation, seed=seed
            )

        return make
