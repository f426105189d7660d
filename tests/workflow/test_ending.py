from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from localmin.charts import Chart, figure_from_dict
from localmin.tasks import Recipe, TrainedModel, digits
from localmin.workflow import find_ending


@pytest.fixture(scope="module")
def small() -> TrainedModel:
    """A network of 8 neurons, at the point where training starts."""
    task = digits(seed=0, epochs=1, limit=200)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    return TrainedModel(model.eval(), replace(task, model=lambda: model), Path("run"))


def test_descent_lowers_the_loss_and_both_points_are_certified(small: TrainedModel) -> None:
    ending = find_ending(small, max_hvps=40, max_rounds=2, max_iterations=20)
    assert ending.trained.verdict == "not-critical"
    assert ending.settled.value < ending.trained.value
    assert ending.settled_point.shape == (64 * 8 + 8 + 80 + 10,)
    assert ending.distance > 0
    charts = [figure_from_dict(one) for one in ending.to_dict()["figures"]]
    line = next(one.series[0] for one in charts if isinstance(one, Chart) and 0.0 in one.series[0].x)
    middle = list(line.x).index(0.0)
    assert line.y[middle] == pytest.approx(ending.trained.value, rel=1e-12)


def test_a_network_that_fits_everything_has_no_minimum_without_weight_decay(small: TrainedModel) -> None:
    ending = find_ending(small, max_hvps=10, max_rounds=1, max_iterations=300)
    assert ending.settled.value < 1e-3
    assert ending.is_unbounded
    decayed = replace(small, task=small.task.with_recipe(Recipe(epochs=1, weight_decay=1e-2)))
    held = find_ending(decayed, max_hvps=10, max_rounds=1, max_iterations=300)
    assert not held.is_unbounded
    assert held.settled.value > 0.05


def test_examples_that_are_never_drawn_do_not_count(small: TrainedModel) -> None:
    labels = small.task.train.labels.clone()
    labels[:20] = (labels[:20] + 1) % 10
    noisy = replace(small, task=replace(small.task, train=small.task.train.with_labels(labels)))
    weights = torch.ones(len(labels), dtype=torch.float64)
    weights[:20] = 0
    ending = find_ending(replace(noisy, weights=weights), max_hvps=10, max_rounds=1, max_iterations=300)
    assert ending.is_unbounded
    model = replace(noisy, weights=weights).model
    assert float((model(noisy.examples()[0]).argmax(1) == labels).float().mean()) < 0.9
