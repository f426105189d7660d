"""Initial weights and random numbers where several threads use torch at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch

from localmin.tasks import digits
from localmin.tasks.random_state import keeping_random_state, seeded
from localmin.tasks.training import train_model, uniform_draw


def in_threads(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_states_are_put_back() -> None:
    before = torch.random.get_rng_state()
    with seeded(1):
        torch.rand(3)
    with keeping_random_state():
        torch.rand(3)
    with seeded():
        assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_threads_draw_the_same_initial_weights_as_one_alone() -> None:
    alone = []
    for number in range(4):
        with seeded(number):
            alone.append([torch.randn(3) for _ in range(200)])
    found: dict[int, list[torch.Tensor]] = {}

    def draw(number: int) -> None:
        with seeded(number):
            found[number] = [torch.randn(3) for _ in range(200)]

    for _ in range(5):
        in_threads(draw, 4)
        for number, values in enumerate(alone):
            assert torch.equal(torch.stack(found[number]), torch.stack(values))


def test_trainings_in_threads_are_those_of_one_alone() -> None:
    task = digits(limit=120, epochs=3, batch_size=32)

    def losses(seed: int) -> tuple[float, ...]:
        return train_model(task, task.train, uniform_draw(len(task.train)), seed=seed, model_seed=seed).losses

    alone = [losses(seed) for seed in range(4)]
    found: dict[int, tuple[float, ...]] = {}

    def train(seed: int) -> None:
        found[seed] = losses(seed)

    for _ in range(3):
        in_threads(train, 4)
        assert [found[seed] for seed in range(4)] == alone
