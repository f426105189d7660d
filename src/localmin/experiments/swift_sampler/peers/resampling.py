"""Resampling against unequal classes: imbalanced-learn's samplers, applied once, before training."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from localmin.errors import InputError, MissingDependencyError
from localmin.experiments.swift_sampler.peers.arm_run import ArmRun
from localmin.sampling.weighted_draw import epoch_draw
from localmin.tasks.examples import Examples
from localmin.tasks.prediction import score_parts
from localmin.tasks.task import Task
from localmin.tasks.training import mix_seed, train_model

__all__ = ["resampling_weights", "smote_examples", "train_smote"]

_SAMPLERS = {
    "over": ("imblearn.over_sampling", "RandomOverSampler"),
    "under": ("imblearn.under_sampling", "RandomUnderSampler"),
    "smote": ("imblearn.over_sampling", "SMOTE"),
}

_NEIGHBORS = 5


def resampling_weights(
    labels: Int64[Tensor, " n"], method: Literal["over", "under"], *, seed: int
) -> Float[Tensor, " n"]:
    """Count how often each example is in the resampled set, drawn until all classes are equally large.

    ``"over"`` repeats random examples of the smaller classes, ``"under"`` keeps as many random examples
    of each class as the smallest has. The choice is made once, as the library makes it; its
    ``balanced_batch_generator`` goes round and round in the set that ``"under"`` gives.

    Args:
        labels: Of the training part, shape ``(n,)``.
        method: Which.
        seed: Of the choice, in [0, 2**32).

    Returns:
        A whole number per example, float64.

    Raises:
        MissingDependencyError: If imbalanced-learn is not installed.
    """
    sampler = _make(method, seed)
    sampler.fit_resample(np.zeros((len(labels), 1)), labels.cpu().numpy())
    chosen = torch.from_numpy(np.asarray(sampler.sample_indices_))
    return torch.bincount(chosen, minlength=len(labels)).double()


def smote_examples(examples: Examples, *, seed: int) -> Examples:
    """Add points between neighbours of one class until all classes are equally large.

    Args:
        examples: Flattened for the library and put into their own shape and type again; pixels are rounded.
        seed: Of the new points, in [0, 2**32).

    Returns:
        The examples and, after them, the new ones.

    Raises:
        MissingDependencyError: If imbalanced-learn is not installed.
        InputError: If a class has a single example.

    Source:
        [chawla2002], by imbalanced-learn: five neighbours, fewer where the smallest class has not so many.
    """
    inputs = examples.inputs
    flat = inputs.reshape(len(examples), -1).double().cpu().numpy()
    present = torch.bincount(examples.labels)
    smallest = int(present[present > 0].min())
    if smallest < 2:
        raise InputError("SMOTE needs two examples of every class, one class has a single one")
    smote = _make("smote", seed, k_neighbors=min(_NEIGHBORS, smallest - 1))
    points, labels = smote.fit_resample(flat, examples.labels.cpu().numpy())
    made = torch.from_numpy(np.asarray(points)).reshape(-1, *inputs.shape[1:])
    if not inputs.is_floating_point():
        made = made.round()
    return Examples(made.to(inputs.dtype), torch.from_numpy(np.asarray(labels)).long())


def train_smote(task: Task, *, seed: int, device: torch.device | str = "cpu") -> ArmRun:
    """Train on SMOTE's examples, with as many draws an epoch as the task has examples of its own.

    Args:
        task: To train.
        seed: Of the search it is to be compared with.
        device: Where to train.

    Returns:
        Score and cost.

    Cost:
        One training.
    """
    examples = smote_examples(task.train, seed=mix_seed(seed, 23) % 2**32)
    trained = train_model(
        task,
        examples,
        epoch_draw(torch.ones(len(examples), dtype=torch.float64), len(task.train)),
        seed=mix_seed(seed, 8, 1),
        model_seed=mix_seed(seed, 0, 1),
        device=device,
    )
    return ArmRun(score_parts(trained.model, task)["test"], 1.0, trained.num_steps)


def _make(method: str, seed: int, **settings: Any) -> Any:
    module, name = _SAMPLERS[method]
    try:
        made = getattr(import_module(module), name)
    except ImportError as error:
        raise MissingDependencyError(
            "resampling needs imbalanced-learn: pip install imbalanced-learn"
        ) from error
    return made(random_state=seed, **settings)
