"""Co-teaching: two networks choose for each other what to learn from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from localmin.experiments.swift_sampler.peers.arm_run import ArmRun
from localmin.tasks.prediction import score_parts
from localmin.tasks.recipe import learning_rate_factor
from localmin.tasks.task import Task
from localmin.tasks.training import count_steps, mix_seed

__all__ = ["train_co_teaching"]

_RAMP_EPOCHS = 10


def train_co_teaching(
    task: Task, *, noise_rate: float, seed: int, device: torch.device | str = "cpu"
) -> ArmRun:
    """Train two networks; each learns from the examples of a batch with the smallest loss in the other.

    The share that is kept falls linearly from 1 to ``1 - noise_rate`` in ten epochs, as in the release.

    Args:
        task: To train; its recipe is used for both.
        noise_rate: Of wrong labels, which this method has to be told.
        seed: Of everything random.
        device: Where to train.

    Returns:
        The mean score of the two networks, at the cost of two trainings.

    Source:
        [han2018]; the release trains with Adam for 200 epochs, here the recipe is the task's.
    """
    torch_device = torch.device(device)
    models = [task.build_model(mix_seed(seed, 0, 1 + k)).to(torch_device) for k in range(2)]
    optimizers = [task.recipe.make_optimizer(model.parameters()) for model in models]
    steps = count_steps(len(task.train), task.recipe.batch_size)
    for epoch in range(task.epochs):
        generator = torch.Generator().manual_seed(mix_seed(seed, 8, 1, epoch + 1))
        keep = 1 - noise_rate * min(1.0, epoch / _RAMP_EPOCHS)
        order = torch.randperm(len(task.train), generator=generator)
        for step, chosen in enumerate(order.tensor_split(steps)):
            factor = learning_rate_factor(
                task.recipe, epoch * steps + step, num_steps=task.epochs * steps, steps_per_epoch=steps
            )
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = task.recipe.lr * factor
            inputs = task.prepare(task.train.inputs[chosen].to(torch_device))
            labels = task.train.labels[chosen].to(torch_device)
            _step(models, optimizers, task.recipe.augment(inputs, generator), labels, keep)
    scores = [score_parts(model.eval(), task)["test"] for model in models]
    return ArmRun(sum(scores) / 2, 2.0, task.epochs * steps)


def _step(
    models: list[nn.Module],
    optimizers: list[torch.optim.Optimizer],
    inputs: Tensor,
    labels: Tensor,
    keep: float,
) -> None:
    losses = [nn.functional.cross_entropy(model(inputs), labels, reduction="none") for model in models]
    count = max(1, round(keep * len(labels)))
    chosen = [loss.detach().argsort()[:count] for loss in losses]
    for k, optimizer in enumerate(optimizers):
        optimizer.zero_grad(set_to_none=True)
        losses[k][chosen[1 - k]].mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
