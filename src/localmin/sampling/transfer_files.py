"""The files of a finished training."""

from __future__ import annotations

from pathlib import Path

from localmin.sampling.model_files import write_model
from localmin.sampling.transfer import TrainResult
from localmin.tasks.environment import versions
from localmin.tasks.schemas import write_versioned
from localmin.tasks.storage import write_tensors
from localmin.tasks.task import Task

__all__ = ["write_training"]


def write_training(path: Path, task: Task, result: TrainResult) -> None:
    """Write the model, the weights and the result of a training into its run folder.

    Args:
        path: The run folder.
        task: That was trained.
        result: Of the training.
    """
    write_model(path, task, result.model, trained_by="uniform" if result.weights is None else "policy")
    if result.weights is not None:
        write_tensors(path / "features.safetensors", {"weights": result.weights, "labels": task.train.labels})
    content = result.to_dict() | {"task": task.to_dict(), "versions": versions()}
    write_versioned(path / "result.json", "training", content)
