"""Confident learning: cleanlab's verdict on which labels are wrong, from cross-validated probabilities."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import MissingDependencyError
from localmin.sampling.weighted_draw import epoch_draw
from localmin.tasks.prediction import batched_logits
from localmin.tasks.splits import stratified_split
from localmin.tasks.task import Task
from localmin.tasks.training import mix_seed, train_model

__all__ = ["confident_learning_weights", "cross_validated_probabilities"]


def cross_validated_probabilities(
    task: Task, *, folds: int, seed: int, device: torch.device | str = "cpu"
) -> tuple[Float[Tensor, "n classes"], float]:
    """Train on all folds but one, each time, at full length, and predict the one left out.

    Args:
        task: Its training part is predicted.
        folds: At least 2.
        seed: Of the folds and of the trainings.
        device: Where to train.

    Returns:
        Probabilities, shape ``(n, C)``, and the cost in trainings: ``folds - 1``.
    """
    n = len(task.train)
    sizes = [n // folds + (i < n % folds) for i in range(folds)]
    parts = stratified_split(task.train.labels.cpu(), sizes, seed=mix_seed(seed, 20))
    probabilities = torch.zeros(n, task.num_classes, dtype=torch.float64)
    draws = 0
    for number, part in enumerate(parts):
        inside = torch.ones(n, dtype=torch.bool)
        inside[part] = False
        members = torch.nonzero(inside).flatten()
        trained = train_model(
            task,
            task.train,
            epoch_draw(torch.ones(n, dtype=torch.float64), len(members), members=members),
            seed=mix_seed(seed, 21, number),
            model_seed=mix_seed(seed, 22, number),
            device=device,
        )
        draws += trained.num_draws
        for place, logits in batched_logits(trained.model, task, task.train, indices=part):
            probabilities[part[place]] = logits.double().softmax(1).cpu()
    return probabilities, draws / n / task.epochs


def confident_learning_weights(
    labels: Tensor, probabilities: Float[Tensor, "n classes"]
) -> Float[Tensor, " n"]:
    """Drop the labels that cleanlab finds wrong, with its rule ``prune_by_noise_rate``.

    Args:
        labels: As given, shape ``(n,)``.
        probabilities: Of a network that has not seen the example, shape ``(n, C)``.

    Returns:
        0 or 1 per example, float64.

    Raises:
        MissingDependencyError: If cleanlab is not installed.

    Source:
        [northcutt2021], by its authors' library.
    """
    try:
        cleanlab_filter = import_module("cleanlab.filter")
    except ImportError as error:
        raise MissingDependencyError("confident learning needs cleanlab: pip install cleanlab") from error
    wrong = cleanlab_filter.find_label_issues(
        labels.cpu().numpy(), probabilities.numpy(), filter_by="prune_by_noise_rate", n_jobs=1
    )
    return torch.from_numpy((~np.asarray(wrong, dtype=bool)).astype(np.float64))
