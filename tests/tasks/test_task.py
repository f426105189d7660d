from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from localmin.errors import DataError, InputError
from localmin.tasks import Examples, Normalization, Recipe, Task, digits
from localmin.tasks.task import cross_entropy


def examples(labels: list[int], width: int = 3) -> Examples:
    generator = torch.Generator().manual_seed(len(labels))
    return Examples(
        torch.randn(len(labels), width, generator=generator), torch.tensor(labels, dtype=torch.int64)
    )


def make(**changes: Any) -> Task:
    settings: dict[str, Any] = {
        "name": "toy",
        "train": examples([0, 1, 2, 1]),
        "validation": examples([0, 1]),
        "test": examples([2]),
        "model": lambda: nn.Linear(3, 3),
        "num_classes": 3,
    }
    return Task(**(settings | changes))


def test_what_is_left_out_is_filled_in() -> None:
    task = make()
    assert task.class_names == ("0", "1", "2")
    assert task.normalization == Normalization.fit(task.train)
    assert task.metric == "accuracy"
    own = Normalization(scale=2.0)
    assert make(normalization=own, class_names=("a", "b", "c")).normalization is own


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "f1"}, "unknown metric 'f1'"),
        ({"num_classes": 1}, "at least two"),
        ({"test": examples([])}, "test part of toy is empty"),
        (
            {"validation": examples([0, 3])},
            "row 1 in the validation part of toy has label 3; labels must be 0 to 2",
        ),
        ({"train": examples([0, -1])}, "row 1 in the train part of toy has label -1"),
        ({"train": examples([1, 1, 1])}, "a single class"),
        ({"test": examples([0], width=4)}, r"test part of toy has inputs of shape \(4,\)"),
        ({"clean_train_labels": torch.tensor([0, 1])}, "2 clean labels for 4 examples"),
        ({"clean_validation_labels": torch.tensor([0])}, "1 clean labels for 2 examples"),
        ({"class_names": ("a", "b")}, "2 class names for 3 classes"),
    ],
)
def test_parts_that_do_not_fit_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        make(**changes)
    assert "\n" not in str(error.value)


def test_a_label_outside_the_classes_is_named_by_its_file() -> None:
    wrong = replace(examples([0, 5]), identifiers=("cat/1.png", "cat/2.png"))
    with pytest.raises(DataError, match=r"cat/2\.png in the test part of toy has label 5"):
        make(test=wrong)


def test_cross_entropy_is_the_formula_per_example() -> None:
    logits = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    labels = torch.tensor([0, 3, 2, 2, 1])
    expected = torch.stack(
        [-(row[label] - row.exp().sum().log()) for row, label in zip(logits, labels, strict=True)]
    )
    torch.testing.assert_close(cross_entropy(logits, labels), expected)


def test_the_seed_decides_the_weights_and_the_callers_random_state_stays() -> None:
    task = make(model=lambda: nn.Sequential(nn.Linear(3, 3), nn.Dropout()).eval())
    before = torch.random.get_rng_state()
    first, again, other = task.build_model(1), task.build_model(1), task.build_model(2)
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [next(model.parameters()) for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert first.training


def test_preparing_applies_the_normalization() -> None:
    task = make()
    prepared = task.prepare(task.train.inputs)
    torch.testing.assert_close(prepared.mean(0), torch.zeros(3), atol=1e-6, rtol=0)


def test_another_recipe_leaves_the_rest() -> None:
    task = make(recipe=Recipe(epochs=3))
    changed = task.with_recipe(Recipe(epochs=7))
    assert (task.epochs, changed.epochs) == (3, 7)
    assert changed.train is task.train
    assert changed.normalization is task.normalization


def test_the_description_is_json_and_complete() -> None:
    description = json.loads(json.dumps(digits(noise=0.2, seed=3, imbalance=4.0).to_dict()))
    assert description["name"] == "digits"
    assert description["metric"] == "balanced-accuracy"
    assert description["noise"]["rate"] == 0.2
    assert description["sizes"]["test"] == 497
    assert description["provenance"]["imbalance"] == 4.0
    # As long as the data; stored on their own.
    assert "indices" not in description["provenance"]
    assert make().to_dict()["noise"] is None
