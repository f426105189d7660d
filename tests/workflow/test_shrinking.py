from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import localmin
from localmin.tasks import TrainedModel, digits
from localmin.tasks.prediction import score_parts
from localmin.workflow import Rung, shrink


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    task = digits(seed=0, epochs=4)
    model, _ = localmin.train(task, seed=0)
    return TrainedModel(model, task, Path("run"))


def test_the_chosen_network_is_small_and_scores_are_what_they_say(trained: TrainedModel) -> None:
    found = shrink(trained)
    assert found.chosen is not None
    assert found.network is not None
    assert found.chosen.num_parameters == sum(p.numel() for p in found.network.parameters())
    assert found.chosen.num_parameters < found.num_parameters_before / 4
    assert found.chosen.agreement is not None
    assert found.chosen.agreement >= 0.98
    scores = score_parts(found.network, trained.task)
    assert found.test_after == scores["test"]
    assert found.chosen.validation == scores["validation"]
    assert found.comparison is not None
    assert found.comparison["verdict"] == "different"
    narrower = found.rungs[found.rungs.index(found.chosen) + 1 :]
    assert not narrower or not narrower[0].is_close(found.validation_before)


def test_few_points_allow_an_exact_reduction(trained: TrainedModel) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 60), nn.ReLU(), nn.Linear(60, 10)).eval()
    wide = replace(trained, model=model, task=replace(trained.task, model=lambda: model))
    found = shrink(wide, limit=4)
    assert found.exact is not None
    assert sum(found.exact.widths_after) < sum(found.exact.widths_before)
    assert found.exact.recheck(model, wide.examples(limit=4)[0]).holds


def test_the_trained_network_is_left_as_it_was(trained: TrainedModel) -> None:
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    shrink(trained, limit=200)
    assert all(torch.equal(value, before[name]) for name, value in trained.model.state_dict().items())


def test_networks_of_another_kind_are_refused_with_the_reason(trained: TrainedModel) -> None:
    model = nn.Sequential(nn.Linear(64, 16), nn.GELU(), nn.Linear(16, 10)).eval()
    found = shrink(replace(trained, model=model, task=replace(trained.task, model=lambda: model)))
    assert "GELU" in found.refused
    assert found.rungs == ()
    assert found.network is None
    assert found.to_dict()["chart"] is None


@pytest.mark.parametrize(
    ("agreement", "error", "validation", "close"),
    [(0.99, 0.5, 0.9, True), (0.97, 0.0, 0.95, False), (0.99, 0.0, 0.89, False), (None, 0.04, 0.9, True),
     (None, 0.06, 0.9, False)],
)  # fmt: skip
def test_closeness_needs_predictions_and_score(
    agreement: float | None, error: float, validation: float, close: bool
) -> None:
    assert Rung(0.5, (1, 1, 1), 2, error, validation, agreement).is_close(0.9) is close
