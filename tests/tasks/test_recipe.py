from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import pytest
import torch
from torch import nn

from localmin.errors import InputError
from localmin.tasks import Recipe
from localmin.tasks.recipe import SCHEDULES, learning_rate_factor


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("lr", 0.0),
        ("lr", -1.0),
        ("lr", math.inf),
        ("lr", math.nan),
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("label_smoothing", 1.0),
        ("weight_decay", -1e-4),
        ("weight_decay", math.nan),
        ("warmup_epochs", -1.0),
        ("final_lr_fraction", 1.5),
        ("final_lr_fraction", math.nan),
        ("schedule", "cosin"),
        ("optimizer", "sdg"),
        ("augmentation", "mixup"),
    ],
)
def test_a_value_out_of_range_is_refused_in_one_line(field: str, value: object) -> None:
    values: dict[str, Any] = {field: value}
    with pytest.raises(InputError) as error:
        Recipe(**values)
    assert field in str(error.value)
    assert "\n" not in str(error.value)


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(InputError, match="momentum must be above 0"):
        Recipe(nesterov=True, momentum=0.0)
    assert Recipe(nesterov=True, momentum=0.5).nesterov


def test_sgd_gets_every_setting() -> None:
    recipe = Recipe(lr=0.3, momentum=0.8, weight_decay=0.01, nesterov=True)
    group = recipe.make_optimizer(nn.Linear(2, 1).parameters()).param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (
        0.3,
        0.8,
        0.01,
        True,
    )


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_adaptive_optimisers_get_rate_and_decay(name: str, kind: type[torch.optim.Optimizer]) -> None:
    optimizer = Recipe(optimizer=name, lr=0.02, weight_decay=0.3).make_optimizer(nn.Linear(2, 1).parameters())
    assert type(optimizer) is kind
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.02, 0.3)


def test_a_callable_makes_the_optimiser_and_is_described_by_name() -> None:
    def own(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, lr=0.7)

    recipe = Recipe(optimizer=own)
    assert isinstance(recipe.make_optimizer(nn.Linear(2, 1).parameters()), torch.optim.RMSprop)
    assert recipe.to_dict()["optimizer"].endswith("own")


def test_a_callable_augments() -> None:
    recipe = Recipe(augmentation=lambda batch, generator: batch + torch.rand(1, generator=generator))
    first = recipe.augment(torch.zeros(2, 3), torch.Generator().manual_seed(5))
    assert first[0, 0] == torch.rand(1, generator=torch.Generator().manual_seed(5))
    assert Recipe().augment(first, torch.Generator()) is first


def test_to_dict_names_every_field() -> None:
    assert list(Recipe().to_dict()) == [field.name for field in dataclasses.fields(Recipe)]


def factors(recipe: Recipe, num_steps: int, steps_per_epoch: int = 10) -> list[float]:
    return [
        learning_rate_factor(recipe, step, num_steps=num_steps, steps_per_epoch=steps_per_epoch)
        for step in range(num_steps)
    ]


def test_cosine_follows_the_formula_down_to_the_final_fraction() -> None:
    found = factors(Recipe(schedule="cosine", final_lr_fraction=0.2), 40)
    expected = [0.2 + 0.8 * (1 + math.cos(math.pi * step / 40)) / 2 for step in range(40)]
    assert found == pytest.approx(expected, abs=1e-15)
    assert found[0] == 1.0


def test_linear_constant_and_step() -> None:
    assert factors(Recipe(schedule="linear", final_lr_fraction=0.5), 4) == [1.0, 0.875, 0.75, 0.625]
    assert factors(Recipe(schedule="constant"), 4) == [1.0] * 4
    assert factors(Recipe(schedule="step"), 8) == [1.0] * 4 + [0.1] * 2 + [0.01] * 2


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_rises_in_equal_steps_to_the_peak(schedule: str) -> None:
    found = factors(Recipe(schedule=schedule, warmup_epochs=0.3), 30)
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert all(0 <= factor <= 1 for factor in found)
    assert all(later <= earlier for earlier, later in itertools.pairwise(found[3:]))


def test_the_schedule_starts_when_the_warm_up_ends() -> None:
    warm = factors(Recipe(schedule="linear", warmup_epochs=1.0), 30)
    assert warm[10:] == pytest.approx(factors(Recipe(schedule="linear"), 20))


def test_a_warm_up_longer_than_the_run_never_reaches_the_peak() -> None:
    assert max(factors(Recipe(warmup_epochs=10.0), 20)) < 0.2
