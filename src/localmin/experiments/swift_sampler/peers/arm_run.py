"""One training of an arm, seeded as the final trainings of a search are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.sampling.weighted_draw import epoch_draw
from localmin.tasks.prediction import score_parts
from localmin.tasks.task import Task
from localmin.tasks.training import mix_seed, train_model

__all__ = ["ArmRun", "train_arm"]


@dataclass(frozen=True)
class ArmRun:
    """What an arm reached and what it cost.

    Args:
        test: Score on the test part after the last epoch, in [0, 1].
        cost: Of everything, the last training included, in trainings.
        num_steps: Optimiser steps of the last training.
    """

    test: float
    cost: float
    num_steps: int


def train_arm(
    task: Task,
    weights: Float[Tensor, " n"] | None = None,
    *,
    seed: int,
    length: float = 1.0,
    spent: float = 0.0,
    device: torch.device | str = "cpu",
) -> ArmRun:
    """Train from the initial weights and with the random numbers of a search's final trainings.

    Args:
        task: To train.
        weights: Relative drawing weights, shape ``(n,)``; None is uniform.
        seed: Of the search it is to be compared with.
        length: In trainings; the schedule spans all of it.
        spent: What came before this training, in trainings.
        device: Where to train.

    Returns:
        Score and cost.

    Cost:
        ``length`` trainings.
    """
    epochs = max(1, round(length * task.epochs))
    trained = train_model(
        task,
        task.train,
        epoch_draw(weights, len(task.train)),
        seed=mix_seed(seed, 8, 1),
        model_seed=mix_seed(seed, 0, 1),
        epochs=epochs,
        device=device,
    )
    return ArmRun(score_parts(trained.model, task)["test"], spent + epochs / task.epochs, trained.num_steps)
