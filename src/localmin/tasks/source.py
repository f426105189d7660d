"""A data source: examples as read, before splits, noise or imbalance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from localmin.tasks.examples import Examples
from localmin.tasks.kinds import Classification, TaskKind
from localmin.tasks.normalization import Normalization
from localmin.tasks.recipe import Recipe

__all__ = ["DataSource"]


@dataclass(frozen=True, eq=False)
class DataSource:
    """Hold what a reader found, with sensible defaults for training on it.

    Args:
        name: Shown in reports: ``"digits"``, a file name.
        examples: All examples that are not the test set, labels as given.
        class_names: One per class, in label order; one for the target of a regression; the vocabulary of a
            language model.
        model: Name of the default network.
        recipe: Default recipe.
        test: A separate test set, or None to split one off.
        normalization: Fixed scaling, or None to measure it on the training part.
        validation_size: Examples of the validation part; None is a fifth of the pool.
        test_size: Examples of the test part when there is no separate one; None is a quarter of all.
        origin: Where the data came from, for reports. JSON types only.
        kind: Of the task.
        clean_labels: Right labels of all examples where the user has them beside the given ones: for
            measuring only. The labels of ``test`` are right ones already.
    """

    name: str
    examples: Examples
    class_names: tuple[str, ...]
    model: str
    recipe: Recipe
    test: Examples | None = None
    normalization: Normalization | None = None
    validation_size: int | None = None
    test_size: int | None = None
    origin: dict[str, Any] = field(default_factory=dict)
    kind: TaskKind = field(default_factory=Classification)
    clean_labels: Tensor | None = None
