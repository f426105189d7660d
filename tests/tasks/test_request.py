from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn import datasets

from localmin.errors import InputError
from localmin.tasks.request import TaskRequest


@pytest.fixture
def wine(tmp_path: Path) -> str:
    bunch = datasets.load_wine()
    lines = [",".join([*bunch.feature_names, "kind"])]
    lines += [",".join(map(str, [*row, label])) for row, label in zip(bunch.data, bunch.target, strict=True)]
    path = tmp_path / "wine.csv"
    path.write_text("\n".join(lines))
    return str(path)


@pytest.fixture
def factory(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text("import localmin.tasks\ndef make(seed):\n    return localmin.tasks.digits(seed=seed)\n")
    return f"{path}:make"


def test_every_option_reaches_the_task(wine: str) -> None:
    make = TaskRequest(
        wine,
        label="kind",
        model="mlp",
        noise=0.25,
        noise_kind="pair",
        clean_validation=True,
        imbalance=2.0,
        limit=100,
        metric="accuracy",
        recipe={"epochs": 3, "lr": None},
    ).open()
    task = make(4)
    assert task.noise is not None
    assert (task.noise.kind, task.noise.rate, task.noise.validation_realised) == ("pair", 0.25, 0.0)
    assert (task.epochs, task.recipe.lr, task.metric) == (3, 0.1, "accuracy")
    assert (len(task.validation), len(task.test)) == (20, 44)
    assert task.provenance["imbalance"] == 2.0
    assert not torch.equal(task.test.inputs, make(5).test.inputs)


def test_a_factory_gets_seed_noise_recipe_and_metric(factory: str) -> None:
    task = TaskRequest(factory, noise=0.2, metric="balanced-accuracy", recipe={"epochs": 2}).open()(6)
    assert task.provenance["seed"] == 6
    assert task.noise is not None
    assert task.noise.realised == 0.2
    assert (task.epochs, task.metric) == (2, "balanced-accuracy")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"test": "a.csv"}, "--test"),
        ({"label": "a", "model": "mlp"}, "--label, --model"),
        ({"limit": 5}, "--limit"),
        ({"imbalance": 2.0}, "--imbalance"),
    ],
)
def test_what_a_factory_decides_cannot_be_changed_outside(
    factory: str, options: dict[str, Any], names: str
) -> None:
    with pytest.raises(InputError, match=f"{names} cannot change a Task"):
        TaskRequest(factory, **options).open()


@pytest.mark.parametrize("noise", [-0.1, 1.5, float("nan")])
def test_an_impossible_rate_is_refused_before_reading(noise: float) -> None:
    with pytest.raises(InputError, match="--noise"):
        TaskRequest("nowhere.csv", noise=noise).open()
