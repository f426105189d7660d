from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from localmin.tasks import Examples, Recipe, Task
from localmin.tasks.joint_training import JointTraining, why_not_together
from localmin.tasks.training import EpochDraw, Start, train_model


class Silent:
    """An observer that keeps the weights it is shown at the end."""

    watches_steps = False

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {}
        self.epochs: list[int] = []

    def on_step(self, epoch: int, indices: Tensor, logits: Tensor, labels: Tensor) -> None: ...

    def on_epoch(self, epoch: int, model: nn.Module) -> None:
        self.epochs.append(epoch)
        self.weights = {name: value.clone() for name, value in model.state_dict().items()}

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None: ...


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3)).double()


def jitter(batch: Tensor, generator: torch.Generator) -> Tensor:
    return batch + 0.1 * torch.randn(batch.shape, generator=generator, dtype=batch.dtype)


def make_task(model: Any = net, **recipe: Any) -> Task:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(70) % 3
    inputs = torch.randn(70, 6, generator=generator, dtype=torch.float64) + 2 * torch.eye(3, 6)[labels]
    data = Examples(inputs, labels)
    return Task(
        "blobs", data, data, data, model, 3, recipe=Recipe(epochs=3, batch_size=16, lr=0.05, **recipe)
    )


def draw_of(shift: int) -> EpochDraw:
    return lambda generator: (torch.randperm(50, generator=generator) + shift) % 70


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "linear", "warmup_epochs": 1},
        {"optimizer": "adam", "label_smoothing": 0.2, "augmentation": jitter},
        {"nesterov": True, "weight_decay": 0.01},
    ],
    ids=["plain", "adamw", "adam", "nesterov"],
)
def test_each_network_is_trained_as_if_it_were_alone(recipe: dict[str, Any]) -> None:
    task = make_task(**recipe)
    draws = [draw_of(shift) for shift in (0, 9, 31)]
    watchers, told = [Silent() for _ in draws], []  # type: list[Silent], list[int]
    joint = JointTraining(task, task.train, draws, seed=4, model_seed=5, epochs=3, lr_scale=0.5)
    joint.run(watchers, on_epoch=lambda epoch, epochs: told.append(epoch))
    assert told == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    for draw, watcher, count in zip(draws, watchers, joint.num_draws, strict=True):
        alone = train_model(task, task.train, draw, seed=4, model_seed=5, lr_scale=0.5)
        assert count == alone.num_draws
        for name, value in alone.model.state_dict().items():
            torch.testing.assert_close(watcher.weights[name], value, rtol=0, atol=1e-11)


def test_a_start_a_loss_of_ones_own_and_images_in_bytes_are_heard() -> None:
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return -logits.log_softmax(1)[torch.arange(len(labels)), labels] * (1 + labels)

    def image_net() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))

    pixels = torch.randint(
        0, 255, (40, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    data = Examples(pixels, torch.arange(40) % 3)
    task = Task("images", data, data, data, image_net, 3, recipe=Recipe(epochs=2, batch_size=8), loss=loss)
    start = Start(dict(task.build_model(9).state_dict()))
    draws = [lambda generator: torch.arange(20), lambda generator: torch.arange(20, 40)]
    watchers = [Silent(), Silent()]
    JointTraining(task, data, draws, seed=0, model_seed=1, epochs=2, start=start).run(watchers)
    for draw, watcher in zip(draws, watchers, strict=True):
        alone = train_model(task, data, draw, seed=0, start=start)
        for name, value in alone.model.state_dict().items():
            torch.testing.assert_close(watcher.weights[name], value, rtol=0, atol=1e-5)


def test_a_network_that_diverges_leaves_the_others_alone() -> None:
    task = make_task()
    inputs = task.train.inputs.clone()
    inputs[60:] = 1e300
    bad = Examples(inputs, task.train.labels)
    task = replace(task, train=bad, normalization=replace(task.normalization) if task.normalization else None)

    def exploding(generator: torch.Generator) -> Tensor:
        return torch.arange(20, 70)

    watchers = [Silent(), Silent()]
    joint = JointTraining(task, bad, [draw_in(50), exploding], seed=0, model_seed=0, epochs=3)
    joint.run(watchers)
    assert joint.diverged == [False, True]
    assert joint.num_draws == [150, 50]
    assert [watcher.epochs for watcher in watchers] == [[1, 2, 3], []]
    alone = train_model(task, bad, draw_in(50), seed=0)
    for name, value in alone.model.state_dict().items():
        torch.testing.assert_close(watchers[0].weights[name], value, rtol=0, atol=1e-11)


def draw_in(count: int) -> EpochDraw:
    return lambda generator: torch.randperm(count, generator=generator)


def test_what_cannot_be_stacked_is_named() -> None:
    assert why_not_together(make_task(), make_task().recipe) is None
    for model, words in (
        (lambda: nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.1)), "drop-out"),
        (lambda: nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)), "running statistics"),
    ):
        task = make_task(model)
        assert words in str(why_not_together(task, task.recipe))
    task = make_task(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    assert "optimiser" in str(why_not_together(task, task.recipe))
