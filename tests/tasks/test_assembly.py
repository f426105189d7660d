from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from localmin.errors import DataError, InputError
from localmin.tasks import DataSource, Examples, Recipe, Task, build_task, digits


def source(count: int = 400, num_classes: int = 4, **changes: Any) -> DataSource:
    labels = torch.arange(count) % num_classes
    inputs = torch.arange(count * 2.0).view(count, 2)
    settings: dict[str, Any] = {
        "name": "toy",
        "examples": Examples(inputs, labels),
        "class_names": tuple("abcdefgh"[:num_classes]),
        "model": "mlp",
        "recipe": Recipe(epochs=3),
        "origin": {"path": "toy.csv"},
    }
    return DataSource(**(settings | changes))


def rows(task: Task, part: str) -> set[int]:
    return {int(value) // 2 for value in task.parts()[part].inputs[:, 0].tolist()}


def test_a_quarter_is_test_and_a_fifth_of_the_rest_validation() -> None:
    task = build_task(source(), seed=1)
    assert [len(part) for part in task.parts().values()] == [240, 60, 100]
    for part in task.parts().values():
        assert set(part.labels.bincount().tolist()) == {len(part) // 4}
    parts = [rows(task, part) for part in task.parts()]
    assert set.union(*parts) == set(range(400))
    assert sum(map(len, parts)) == 400


def test_sizes_the_source_asks_for_win() -> None:
    task = build_task(source(validation_size=31, test_size=57))
    assert [len(part) for part in task.parts().values()] == [312, 31, 57]


def test_a_separate_test_set_is_used_as_it_is() -> None:
    held_out = Examples(torch.zeros(5, 2), torch.tensor([0, 0, 3, 1, 2]))
    task = build_task(source(test=held_out), noise=0.5, limit=100)
    assert task.test is held_out
    assert len(task.train) + len(task.validation) == 100


def test_the_recorded_indices_rebuild_every_part() -> None:
    whole = source()
    task = build_task(whole, seed=3, imbalance=5, limit=200)
    for part, indices in task.provenance["indices"].items():
        assert torch.equal(whole.examples.inputs[indices], task.parts()[part].inputs)
    assert json.loads(json.dumps(task.provenance))["path"] == "toy.csv"
    assert task.provenance["seed"] == 3


def test_the_seed_decides_every_choice() -> None:
    options: dict[str, Any] = {"noise": 0.3, "imbalance": 3, "limit": 200}
    first, again, other = (build_task(source(), seed=seed, **options) for seed in (1, 1, 2))
    for part in first.parts():
        assert torch.equal(first.parts()[part].labels, again.parts()[part].labels)
        assert torch.equal(first.parts()[part].inputs, again.parts()[part].inputs)
    assert rows(first, "test") != rows(other, "test")


def test_noise_leaves_the_split_as_it_is_and_the_test_labels_right() -> None:
    clean, noisy = build_task(source(), seed=2), build_task(source(), seed=2, noise=0.4)
    for part in clean.parts():
        assert torch.equal(clean.parts()[part].inputs, noisy.parts()[part].inputs)
    assert torch.equal(clean.test.labels, noisy.test.labels)
    assert torch.equal(clean.train.labels, noisy.clean_train_labels)  # type: ignore[arg-type]
    assert torch.equal(clean.validation.labels, noisy.clean_validation_labels)  # type: ignore[arg-type]
    assert noisy.noise is not None
    assert noisy.noise.realised == float((clean.train.labels != noisy.train.labels).double().mean()) == 0.4
    assert noisy.noise.validation_realised == 0.4
    assert clean.noise is None
    assert clean.clean_train_labels is None
    assert clean.clean_validation_labels is None


def test_clean_validation_keeps_the_validation_labels() -> None:
    task = build_task(source(), noise=0.4, clean_validation=True)
    assert task.noise is not None
    assert (task.noise.realised, task.noise.validation_realised) == (0.4, 0.0)
    assert torch.equal(task.validation.labels, task.clean_validation_labels)  # type: ignore[arg-type]


def test_pair_noise_reaches_the_labels() -> None:
    task = build_task(source(), noise=0.3, noise_kind="pair")
    assert task.clean_train_labels is not None
    changed = task.train.labels != task.clean_train_labels
    assert torch.equal(task.train.labels[changed], (task.clean_train_labels[changed] + 1) % 4)


def test_imbalance_thins_the_training_part_only_and_changes_the_metric() -> None:
    task = build_task(source(), imbalance=8)
    counts = task.train.labels.bincount().tolist()
    assert counts == [60, 30, 15, 8]
    assert set(task.validation.labels.bincount().tolist()) == {15}
    assert task.metric == "balanced-accuracy"
    assert build_task(source()).metric == "accuracy"
    assert build_task(source(), imbalance=8, metric="accuracy").metric == "accuracy"


def test_a_limit_holds_for_training_and_validation_together() -> None:
    task = build_task(source(), limit=50)
    assert [len(part) for part in task.parts().values()] == [40, 10, 100]
    # A limit shrinks a fixed validation size too.
    task = build_task(source(validation_size=200), limit=50)
    assert [len(part) for part in task.parts().values()] == [40, 10, 100]


def test_recipe_fields_replace_the_sources_and_none_leaves_them() -> None:
    task = build_task(source(), epochs=9, lr=None)
    assert (task.recipe.epochs, task.recipe.lr) == (9, Recipe().lr)
    with pytest.raises(InputError, match="unknown option epoch"):
        build_task(source(), epoch=9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": -0.4}, r"\[0, 1\]"),
        ({"noise": math.nan}, r"\[0, 1\]"),
        ({"noise": 1.5}, r"\[0, 1\]"),
        ({"noise_kind": "uniform"}, "unknown noise kind"),
        ({"imbalance": 0.5}, "at least 1"),
        ({"imbalance": math.nan}, "at least 1"),
        ({"limit": 1}, "at least 2"),
        ({"limit": 3}, "too few"),
        ({"model": "resnet"}, "unknown model 'resnet'"),
        ({"model": "cnn"}, "use model mlp"),
        ({"metric": "f1"}, "unknown metric"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"model": "nowhere.py:net"}, "does not exist"),
    ],
)
def test_bad_options_are_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        build_task(source(), **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_too_few_examples_to_split(count: int) -> None:
    with pytest.raises(DataError, match="too few"):
        build_task(source(count, 2))


def test_a_validation_size_larger_than_the_rest_is_refused() -> None:
    with pytest.raises(DataError, match="300 can be split further; that is too few for a part of 350"):
        build_task(source(validation_size=350))


def test_the_model_is_the_sources_a_name_or_a_callable() -> None:
    assert build_task(source()).model_name == "mlp"
    images = Examples(torch.zeros(40, 3, 8, 8, dtype=torch.uint8), torch.arange(40) % 2)
    task = build_task(replace(source(40, 2), examples=images), model="cnn")
    assert task.model_name == "cnn"
    assert task.build_model(0)(torch.zeros(2, 3, 8, 8)).shape == (2, 2)

    def linear() -> nn.Module:
        return nn.Linear(2, 4)

    task = build_task(source(), model=linear)
    assert task.model is linear
    assert task.model_name.endswith("linear")


def test_a_network_of_a_users_file(tmp_path: Path) -> None:
    file = tmp_path / "nets.py"
    file.write_text(
        "import torch\ndef make(input_shape, num_classes):\n"
        "    return torch.nn.Linear(input_shape[0], num_classes)\n"
    )
    task = build_task(source(), model=f"{file}:make")
    assert task.model_name == f"{file}:make"
    assert task.build_model(0)(torch.zeros(3, 2)).shape == (3, 4)
    by_default = build_task(source(model=f"{file}:make"))
    assert by_default.model_name == f"{file}:make"


def test_models_can_be_sent_to_another_process(tmp_path: Path) -> None:
    file = tmp_path / "nets.py"
    file.write_text(
        "import torch\nclass Net(torch.nn.Linear):\n    def __init__(self):\n        super().__init__(2, 4)\n"
    )
    for task in (build_task(source()), build_task(source(), model=f"{file}:Net")):
        copy = pickle.loads(pickle.dumps(task.model))
        assert copy().state_dict().keys() == task.model().state_dict().keys()


def test_digits_pass_their_options_on() -> None:
    task = digits(seed=4, noise=0.1, noise_kind="pair", limit=500, epochs=2)
    assert task.noise is not None
    assert task.noise.kind == "pair"
    assert len(task.train) == 400
    assert task.epochs == 2
