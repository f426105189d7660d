from __future__ import annotations

import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from torch import nn

from localmin.tasks import Examples, Normalization, Task
from localmin.tasks.prediction import batched_logits, evaluation_mode, predict, score


def make(model: nn.Module, count: int = 23) -> Task:
    inputs = torch.randn(count, 4, generator=torch.Generator().manual_seed(0)) + 2
    examples = Examples(inputs, torch.arange(count) % 3)
    return Task("toy", examples, examples, examples, lambda: model, 3, normalization=Normalization(scale=0.5))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))


@pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
def test_logits_come_in_order_and_in_evaluation_mode(batch_size: int) -> None:
    model = network()
    task = make(model)
    parts = list(batched_logits(model, task, task.test, batch_size=batch_size))
    assert [part.start for part, _ in parts] == list(range(0, 23, batch_size))
    assert parts[-1][0].stop == 23
    found = torch.cat([logits for _, logits in parts])
    expected = model.eval()(task.test.inputs * 0.5)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad
    assert torch.equal(predict(model, task, task.test), expected.argmax(1))


def test_every_part_gets_its_own_mode_back() -> None:
    model = network()
    model[1].eval()
    inside: list[bool] = []

    def look() -> None:
        with evaluation_mode(model):
            inside.extend(module.training for module in model.modules())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        look()
    assert inside == [False] * 5
    assert model.training
    assert model[2].training
    assert not model[1].training


def test_scores_are_those_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(1)
    # Class 3 never occurs; class 2 seldom.
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 4)
    predictions = torch.randint(0, 4, (84,), generator=generator)
    assert score(predictions, labels, "accuracy", num_classes=4) == pytest.approx(
        accuracy_score(labels, predictions)
    )
    only = predictions.clamp_max(2)
    assert score(only, labels, "balanced-accuracy", num_classes=4) == pytest.approx(
        balanced_accuracy_score(labels, only)
    )


def test_chosen_examples_are_looked_at_in_the_order_of_their_indices() -> None:
    generator = torch.Generator().manual_seed(1)
    examples = Examples(torch.randn(40, 3, generator=generator), torch.arange(40) % 2)
    task = Task("t", examples, examples, examples, lambda: nn.Linear(3, 2), 2)
    model = task.build_model(0)
    chosen = torch.tensor([7, 7, 0, 39, 12])
    everything = predict(model, task, examples)
    assert torch.equal(predict(model, task, examples, indices=chosen), everything[chosen])
    parts = list(batched_logits(model, task, examples, indices=chosen, batch_size=2))
    assert [part for part, _ in parts] == [slice(0, 2), slice(2, 4), slice(4, 5)]


def test_between_two_batches_gradients_and_modes_are_the_callers() -> None:
    examples = Examples(torch.zeros(4, 3), torch.arange(4) % 2)
    task = Task("t", examples, examples, examples, lambda: nn.Linear(3, 2), 2)
    model = task.build_model(0)
    for _, logits in batched_logits(model, task, examples, batch_size=2):
        assert torch.is_grad_enabled()
        assert model.training
        assert not logits.requires_grad
