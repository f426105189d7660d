from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from localmin.sampling.context import SearchContext
from localmin.sampling.final_training import final_arm, oracle_weights
from localmin.sampling.weighted_draw import epoch_draw
from localmin.tasks import Task
from localmin.tasks.training import train_model

MakeTask = Callable[..., Task]
MakeContext = Callable[..., SearchContext]


def test_arms_share_everything_but_the_draw(make_task: MakeTask, make_context: MakeContext) -> None:
    context = make_context(make_task(noise=0.3, dropout=0.2), seed=4)
    uniform, model = final_arm(context, "uniform", None)
    weights = torch.linspace(0.1, 1.0, 160).double()
    searched, other = final_arm(context, "searched", weights)
    assert uniform.num_steps == searched.num_steps == 40
    assert not torch.equal(model.hidden.weight, other.hidden.weight)  # type: ignore[union-attr, arg-type]
    task = context.task
    expected = train_model(
        task, task.train, epoch_draw(weights, 160), seed=context.stream(8, 1), model_seed=context.model_seed
    )
    for name, value in expected.model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    hits = other(task.prepare(task.validation.inputs)).argmax(1) == task.validation.labels
    assert searched.validation == pytest.approx(float(hits.double().mean()))
    assert not other.training


def test_an_arm_that_diverges_says_so(make_task: MakeTask, make_context: MakeContext) -> None:
    arm, _ = final_arm(make_context(make_task(recipe={"lr": 1e30})), "uniform", None)
    assert arm.diverged
    assert len(arm.losses) == 1
    assert arm.losses[0] != arm.losses[0]  # NaN, as a number again


def test_the_oracle_draws_right_labels_only(make_task: MakeTask, make_context: MakeContext) -> None:
    task = make_task(noise=0.25)
    weights = oracle_weights(make_context(task))
    assert weights is not None
    assert float(weights.sum()) == 120
    assert task.clean_train_labels is not None
    assert bool((task.clean_train_labels == task.train.labels)[weights > 0].all())
    assert oracle_weights(make_context(make_task())) is None
    known = replace(make_task(), clean_train_labels=make_task().train.labels)
    assert oracle_weights(make_context(known)) is None
