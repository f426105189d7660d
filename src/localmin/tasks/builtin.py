"""Data sets that come with scikit-learn: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from localmin.errors import InputError
from localmin.tasks.assembly import build_task
from localmin.tasks.examples import Examples
from localmin.tasks.kinds import Regression
from localmin.tasks.normalization import Normalization
from localmin.tasks.recipe import Recipe
from localmin.tasks.source import DataSource
from localmin.tasks.task import Task

__all__ = ["BUILTIN", "digits", "open_builtin"]

_DIGIT_MAXIMUM = 16.0

TABLE_RECIPE = Recipe(epochs=40, batch_size=64, lr=0.1)
# Squared errors of outliers make gradients that cross-entropy never has.
REGRESSION_RECIPE = Recipe(epochs=40, batch_size=32, lr=0.003)


def open_digits() -> DataSource:
    """Read 1,797 handwritten digits of 8 x 8 pixels: 1,000 to train, 300 to validate, 497 to test."""
    from sklearn import datasets

    bunch = datasets.load_digits()
    pixels = torch.from_numpy(bunch.data).float()
    return DataSource(
        name="digits",
        examples=Examples(pixels, torch.from_numpy(bunch.target).long()),
        class_names=tuple(str(name) for name in bunch.target_names),
        model="mlp",
        recipe=TABLE_RECIPE,
        normalization=Normalization(scale=1 / _DIGIT_MAXIMUM),
        validation_size=300,
        test_size=497,
        origin={"kind": "built in", "from": "sklearn.datasets.load_digits"},
    )


def _open_table(name: str) -> DataSource:
    # Imported here because scikit-learn takes longer to import than most commands need.
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    return DataSource(
        name=name,
        examples=Examples(
            torch.from_numpy(bunch.data).float().contiguous(), torch.from_numpy(bunch.target).long()
        ),
        class_names=tuple(str(label) for label in bunch.target_names),
        model="mlp",
        recipe=Recipe(epochs=40, batch_size=16, lr=0.05),
        origin={"kind": "built in", "from": f"sklearn.datasets.load_{name}"},
    )


def open_diabetes() -> DataSource:
    """Read 442 patients with ten measurements each; the target is the progress of diabetes after a year."""
    from sklearn import datasets

    bunch = datasets.load_diabetes()
    return DataSource(
        name="diabetes",
        examples=Examples(
            torch.from_numpy(bunch.data).float().contiguous(), torch.from_numpy(bunch.target).double()
        ),
        class_names=("progression",),
        model="mlp",
        recipe=REGRESSION_RECIPE,
        origin={"kind": "built in", "from": "sklearn.datasets.load_diabetes"},
        kind=Regression(),
    )


BUILTIN: dict[str, Callable[[], DataSource]] = {
    "digits": open_digits,
    "iris": lambda: _open_table("iris"),
    "wine": lambda: _open_table("wine"),
    "breast_cancer": lambda: _open_table("breast_cancer"),
    "diabetes": open_diabetes,
}


def open_builtin(name: str) -> DataSource:
    """Open a built-in data set by name.

    Args:
        name: ``"digits"``, ``"iris"``, ``"wine"``, ``"breast_cancer"`` or ``"diabetes"``.

    Returns:
        The data, with its defaults.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in BUILTIN:
        raise InputError(f"there is no built-in data set {name!r}; choose one of {', '.join(BUILTIN)}")
    return BUILTIN[name]()


def digits(*, seed: int = 0, **options: Any) -> Task:
    """Make a task of the bundled digits.

    Args:
        seed: Of the split and of the noise.
        **options: As for `build_task`: ``noise``, ``noise_kind``, ``imbalance``, ``epochs``, ...

    Returns:
        A task with 1,000 training, 300 validation and 497 test examples.

    Example:
        >>> digits(noise=0.4, seed=1).noise.realised
        0.4
    """
    return build_task(open_digits(), seed=seed, **options)
