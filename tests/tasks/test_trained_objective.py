from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from localmin.tasks import Recipe, TrainedModel, digits, trained_objective
from localmin.tasks.task import Task


@pytest.fixture
def trained() -> TrainedModel:
    task = digits(seed=0, epochs=1)
    return TrainedModel(task.build_model(0).eval(), task, Path("run"))


def by_hand(trained: TrainedModel, weights: torch.Tensor, label_smoothing: float = 0.0) -> float:
    inputs, labels = trained.examples()
    model = trained.task.build_model(0).double().eval()
    losses = nn.functional.cross_entropy(
        model(inputs.double()), labels, reduction="none", label_smoothing=label_smoothing
    )
    return float((losses * weights / weights.sum()).sum().detach())


def test_without_weights_it_is_the_mean_loss_and_the_l2_term(trained: TrainedModel) -> None:
    uniform = torch.ones(len(trained.task.train))
    assert trained_objective(trained).value() == pytest.approx(by_hand(trained, uniform), rel=1e-12)
    decayed = _with(trained, weight_decay=0.1)
    norm = sum(float(p.double().square().sum()) for p in trained.model.parameters())
    expected = by_hand(trained, uniform) + 0.05 * norm
    assert trained_objective(decayed).value() == pytest.approx(expected, rel=1e-12)
    adamw = _with(trained, weight_decay=0.1, optimizer="adamw", lr=0.001)
    assert trained_objective(adamw).value() == pytest.approx(by_hand(trained, uniform), rel=1e-12)


def test_drawing_weights_weigh_the_losses(trained: TrainedModel) -> None:
    weights = torch.rand(len(trained.task.train), generator=torch.Generator().manual_seed(0)).double()
    weights[:300] = 0
    weighted = replace(trained, weights=7 * weights)
    assert trained_objective(weighted).value() == pytest.approx(by_hand(trained, weights), rel=1e-12)
    part = trained_objective(weighted, limit=100)
    assert part.num_examples == 100
    kept = torch.zeros_like(weights)
    positions = trained.positions(limit=100)
    kept[positions] = weights[positions]
    assert part.value() == pytest.approx(by_hand(trained, kept), rel=1e-12)


def test_label_smoothing_is_part_of_it(trained: TrainedModel) -> None:
    smooth = _with(trained, label_smoothing=0.2)
    expected = by_hand(trained, torch.ones(len(trained.task.train)), label_smoothing=0.2)
    assert trained_objective(smooth).value() == pytest.approx(expected, rel=1e-12)


def test_batches_change_nothing(trained: TrainedModel) -> None:
    assert trained_objective(trained, batch_size=37).gradient() == pytest.approx(
        trained_objective(trained).gradient(), rel=1e-9, abs=1e-12
    )


def _with(trained: TrainedModel, **recipe: object) -> TrainedModel:
    task: Task = trained.task.with_recipe(Recipe(**{"epochs": 1, **recipe}))  # type: ignore[arg-type]
    return replace(trained, task=task)
