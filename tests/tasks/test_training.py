from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from localmin.errors import DataError, InputError
from localmin.langevin import UnderdampedLangevin
from localmin.tasks import Examples, Recipe, Task
from localmin.tasks.checkpoint import CheckpointFile
from localmin.tasks.training import (
    Start,
    TrainedModel,
    count_steps,
    mix_seed,
    shortened,
    train_model,
    uniform_draw,
)


class ImageNet(nn.Module):
    """A small network with everything that remembers or draws: batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.3)
        self.out = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.out(self.dropout(torch.relu(self.norm(self.convolution(images)))).mean((2, 3)))
        return logits


def image_task(count: int = 33, **recipe: Any) -> Task:
    generator = torch.Generator().manual_seed(0)

    def draw(size: int) -> Examples:
        images = torch.randint(0, 256, (size, 1, 8, 8), generator=generator, dtype=torch.uint8)
        return Examples(images, torch.arange(size) % 3)

    return Task(
        "images",
        draw(count),
        draw(9),
        draw(9),
        ImageNet,
        3,
        recipe=replace(Recipe(epochs=5, batch_size=8, lr=0.05, augmentation="flip-crop"), **recipe),
    )


def table_task(count: int = 40, **recipe: Any) -> Task:
    generator = torch.Generator().manual_seed(0)

    def draw(size: int) -> Examples:
        return Examples(3 * torch.randn(size, 5, generator=generator) + 1, torch.arange(size) % 3)

    return Task(
        "table",
        draw(count),
        draw(9),
        draw(9),
        lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)),
        3,
        recipe=replace(Recipe(epochs=4, batch_size=10, lr=0.1), **recipe),
    )


def run(task: Task, seed: int = 0, **options: Any) -> TrainedModel:
    return train_model(task, task.train, uniform_draw(len(task.train)), seed=seed, **options)


def assert_same(first: TrainedModel, second: TrainedModel) -> None:
    assert first.losses == second.losses
    assert (first.num_draws, first.num_steps, first.diverged) == (
        second.num_draws,
        second.num_steps,
        second.diverged,
    )
    states = first.model.state_dict(), second.model.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_the_loop_is_the_plain_loop(kind: str) -> None:
    task = table_task(
        43, optimizer=kind, momentum=0.8, nesterov=True, weight_decay=0.01, label_smoothing=0.1, lr=0.03
    )
    found = run(task, seed=7, model_seed=3)
    orders: list[Tensor] = []
    model = task.build_model(3)
    optimizer: torch.optim.Optimizer
    if kind == "sgd":
        optimizer = torch.optim.SGD(
            model.parameters(), lr=0.03, momentum=0.8, nesterov=True, weight_decay=0.01
        )
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.03, weight_decay=0.01)
    mean, deviation = task.train.inputs.mean(0), task.train.inputs.std(0, correction=0)
    inputs = (task.train.inputs - mean) / deviation
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    num_steps, step, losses = 4 * 5, 0, []
    for epoch in range(1, 5):
        order = torch.randperm(43, generator=torch.Generator().manual_seed(mix_seed(7, epoch)))
        orders.append(order)
        total = 0.0
        for batch in torch.split(order, 10):
            optimizer.param_groups[0]["lr"] = 0.03 * 0.5 * (1 + math.cos(math.pi * step / num_steps))
            optimizer.zero_grad()
            loss = criterion(model(inputs[batch]), task.train.labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
            step += 1
        losses.append(total / 43)
    assert found.losses == pytest.approx(losses, rel=1e-4)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(found.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    assert (found.num_draws, found.num_steps) == (4 * 43, 20)
    assert not found.model.training
    assert not torch.equal(orders[0], orders[1])


def test_an_equal_order_gives_an_equal_trace_whatever_drew_it() -> None:
    from localmin.sampling.weighted_draw import epoch_draw

    task = table_task(50)
    weighted, observed = epoch_draw(torch.full((50,), 0.4).double(), 50), []

    def remembered(generator: torch.Generator) -> Tensor:
        order = weighted(generator)
        observed.append(order)
        return order

    first = train_model(task, task.train, remembered, seed=0)
    assert all(order.sort().values.tolist() == list(range(50)) for order in observed)
    orders = iter(observed)
    second = train_model(task, task.train, lambda generator: next(orders), seed=0)
    assert_same(first, second)


@pytest.mark.parametrize(
    "recipe",
    [
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.1},
        {"optimizer": "adam", "lr": 0.01, "schedule": "step", "warmup_epochs": 1.5},
        {"optimizer": lambda p: UnderdampedLangevin(p, lr=1e-3, friction=1.0, temperature=1e-3, seed=3)},
    ],
    ids=["momentum", "adamw", "adam", "langevin"],
)
@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_an_interrupted_training_equals_an_unbroken_one(
    tmp_path: Path, recipe: dict[str, Any], stop: int
) -> None:
    task = image_task(**recipe)
    torch.manual_seed(123)  # must not matter
    whole = run(task)

    def kill(epoch: int, epochs: int) -> None:
        # progress is reported before the save of the same epoch
        if epoch == stop + 1:
            raise KeyboardInterrupt

    file = CheckpointFile(tmp_path / "progress", interval=0.0)
    with pytest.raises(KeyboardInterrupt):
        run(task, checkpoint=file, on_epoch=kill)
    assert file.path.exists()
    torch.manual_seed(456)
    done: list[int] = []
    resumed = run(task, checkpoint=file, on_epoch=lambda epoch, epochs: done.append(epoch))
    assert done == list(range(stop + 1, 6))
    assert_same(resumed, whole)


def test_a_checkpoint_of_a_diverged_training_is_not_taken_up(tmp_path: Path) -> None:
    task = table_task(lr=1e30, epochs=4)
    whole = run(task)
    assert whole.diverged
    assert len(whole.losses) == 1

    def kill(epoch: int, epochs: int) -> None:
        raise KeyboardInterrupt

    file = CheckpointFile(tmp_path / "progress", interval=0.0)
    finished = run(task, checkpoint=file)
    assert not file.path.exists()
    assert (finished.diverged, len(finished.losses)) == (True, 1)
    with pytest.raises(KeyboardInterrupt):
        run(task, checkpoint=file, on_epoch=kill)
    again = run(task, checkpoint=file)
    assert (again.diverged, again.num_steps, len(again.losses)) == (True, whole.num_steps, 1)


def test_equal_seeds_give_equal_weights_and_others_do_not() -> None:
    task = image_task(epochs=2)
    assert_same(run(task, seed=1), run(task, seed=1))
    one = run(task, seed=1).model.state_dict()["out.weight"]
    assert not torch.equal(one, run(task, seed=2).model.state_dict()["out.weight"])
    assert not torch.equal(one, run(task, seed=1, model_seed=2).model.state_dict()["out.weight"])


def test_the_callers_randomness_stays_as_it_was() -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    before = torch.random.get_rng_state()
    numbers = str(np.random.get_state()), random.getstate()  # noqa: NPY002
    run(image_task(epochs=2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (str(np.random.get_state()), random.getstate()) == numbers  # noqa: NPY002


def test_dropout_and_augmentation_differ_from_epoch_to_epoch() -> None:
    seen: dict[int, list[Tensor]] = {}

    @dataclass
    class Spy:
        watches_steps: bool = True
        epochs: list[int] = field(default_factory=list)

        def on_step(self, epoch: int, indices: Tensor, logits: Tensor, labels: Tensor) -> None:
            seen.setdefault(epoch, []).append(logits.clone())

        def on_epoch(self, epoch: int, model: nn.Module) -> None:
            self.epochs.append(epoch)
            assert model.training

        def state(self) -> dict[str, Tensor]:
            return {}

        def restore(self, state: dict[str, Tensor]) -> None: ...

    task = image_task(8, epochs=2, lr=1e-12, momentum=0.0)
    spy = Spy()
    train_model(task, task.train, lambda generator: torch.arange(8), seed=0, observer=spy)
    assert spy.epochs == [1, 2]
    assert not torch.allclose(seen[1][0], seen[2][0], atol=1e-3)


@pytest.mark.parametrize(
    ("count", "size", "batches"),
    [(17, 8, [8, 9]), (16, 8, [8, 8]), (18, 8, [8, 8, 2]), (1, 8, [1]), (5, 8, [5])],
)
def test_a_last_batch_of_one_joins_its_neighbour(count: int, size: int, batches: list[int]) -> None:
    seen: list[int] = []

    class Spy:
        watches_steps = True

        def on_step(self, epoch: int, indices: Tensor, logits: Tensor, labels: Tensor) -> None:
            seen.append(len(indices))
            assert len(indices) == len(logits) == len(labels)

        def on_epoch(self, epoch: int, model: nn.Module) -> None: ...

        def state(self) -> dict[str, Tensor]:
            return {}

        def restore(self, state: dict[str, Tensor]) -> None: ...

    task = table_task(30, batch_size=size, epochs=1)
    train_model(task, task.train, lambda generator: torch.arange(count), seed=0, observer=Spy())
    assert seen == batches
    assert count_steps(count, size) == len(batches)


def test_batch_norm_survives_a_last_batch_of_one() -> None:
    # over one pixel, batch norm refuses a batch of one
    task = replace(
        table_task(17, batch_size=8),
        model=lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)),
    )
    assert run(task).num_steps == 4 * 2


def test_a_draw_may_be_longer_shorter_or_repeat_examples() -> None:
    task = table_task(20, batch_size=5)
    longer = train_model(task, task.train, lambda generator: torch.arange(20).repeat(2), seed=0)
    assert (longer.num_draws, longer.num_steps) == (160, 32)
    shorter = train_model(task, task.train, lambda generator: torch.zeros(6, dtype=torch.int64), seed=0)
    assert (shorter.num_draws, shorter.num_steps) == (24, 4)  # 6 = 5 + 1, which joins


def test_starts_and_scales() -> None:
    task = table_task()
    first = run(task)
    start = Start(dict(first.model.state_dict()), first.optimizer)
    frozen = run(task, start=Start(start.model), lr_scale=1e-12)
    for name, value in first.model.state_dict().items():
        torch.testing.assert_close(frozen.model.state_dict()[name], value)
    # the moments come along when they are given
    warm, cold = run(task, start=start), run(task, start=Start(start.model))
    assert warm.losses != cold.losses
    # and the learning rate is this run's own, not the one at which the other run stopped
    assert warm.losses[0] != pytest.approx(frozen.losses[0], rel=1e-6)
    # what was started from is left alone
    assert torch.equal(first.model.state_dict()["0.weight"], start.model["0.weight"])


def test_learning_rates_scale_each_group_of_the_users_own_optimiser() -> None:
    rates: list[list[float]] = []

    class Spy(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            rates.append([group["lr"] for group in self.param_groups])
            return super().step(closure)

    def make(parameters: Any) -> torch.optim.Optimizer:
        first, *others = list(parameters)
        return Spy([{"params": [first], "lr": 0.4}, {"params": others, "lr": 0.02}], lr=1.0)

    task = table_task(optimizer=make, schedule="linear", final_lr_fraction=0.5)
    run(task, lr_scale=0.5)
    assert rates[0] == [0.2, 0.01]
    assert rates[8] == pytest.approx([0.2 * 0.75, 0.01 * 0.75])
    assert rates[-1] == pytest.approx([0.2 * (1 - 0.5 * 15 / 16), 0.01 * (1 - 0.5 * 15 / 16)])


def test_a_training_that_diverges_stops_and_says_so() -> None:
    watched: list[int] = []

    class Spy:
        watches_steps = False

        def on_step(self, epoch: int, indices: Tensor, logits: Tensor, labels: Tensor) -> None: ...

        def on_epoch(self, epoch: int, model: nn.Module) -> None:
            watched.append(epoch)

        def state(self) -> dict[str, Tensor]:
            return {}

        def restore(self, state: dict[str, Tensor]) -> None: ...

    found = run(table_task(lr=1e30), observer=Spy())
    assert found.diverged
    assert (found.num_draws, found.num_steps, len(found.losses)) == (40, 4, 1)
    assert watched == []
    assert not run(table_task()).diverged


def test_observers_are_restored(tmp_path: Path) -> None:
    class Counter:
        watches_steps = True

        def __init__(self) -> None:
            self.count = torch.zeros(40)

        def on_step(self, epoch: int, indices: Tensor, logits: Tensor, labels: Tensor) -> None:
            self.count[indices] += 1

        def on_epoch(self, epoch: int, model: nn.Module) -> None: ...

        def state(self) -> dict[str, Tensor]:
            return {"count": self.count}

        def restore(self, state: dict[str, Tensor]) -> None:
            self.count = state["count"]

    def kill(epoch: int, epochs: int) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    file = CheckpointFile(tmp_path / "progress", interval=0.0)
    with pytest.raises(KeyboardInterrupt):
        run(table_task(), observer=Counter(), checkpoint=file, on_epoch=kill)
    counter = Counter()
    run(table_task(), observer=counter, checkpoint=file)
    assert counter.count.tolist() == [4.0] * 40


def test_a_network_with_the_wrong_output_is_one_clear_error() -> None:
    for wrong in ([nn.Linear(5, 7)], [nn.Linear(5, 1)], [nn.Linear(5, 3), nn.Unflatten(1, (1, 3))]):
        task = replace(table_task(), model=partial(nn.Sequential, *wrong))
        with pytest.raises(DataError, match=r"logits of shape \(b, 3\)"):
            run(task)


def test_the_users_own_loss_is_averaged_over_the_batch() -> None:
    task = replace(table_task(20, batch_size=7), loss=lambda logits, labels: logits.square().sum(1))
    found = run(task, epochs=1, lr_scale=1e-12)
    logits = found.model(task.prepare(task.train.inputs))
    assert found.losses[0] == pytest.approx(logits.square().sum(1).mean().item(), rel=1e-4)


def test_lengths_and_shortened_recipes() -> None:
    with pytest.raises(InputError, match="at least one epoch"):
        run(table_task(), epochs=0)
    assert len(run(table_task(), epochs=2).losses) == 2
    recipe = Recipe(final_lr_fraction=0.2)
    assert shortened(recipe, final_lr_fraction=0.5).final_lr_fraction == 0.5
    assert shortened(recipe, final_lr_fraction=0.1).final_lr_fraction == 0.2


def test_seeds_mix_into_streams_of_their_own() -> None:
    seeds = [mix_seed(seed, a, b) for seed in range(-3, 12) for a in range(12) for b in range(12)]
    seeds += [mix_seed(seed, a) for seed in range(-3, 12) for a in range(12)]
    seeds += [mix_seed(seed) for seed in range(-3, 12)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    # every bit is as often 0 as 1
    bits = np.array([[seed >> k & 1 for k in range(63)] for seed in seeds])
    assert np.abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / math.sqrt(len(seeds))
