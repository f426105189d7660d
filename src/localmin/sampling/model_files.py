"""A trained model as safetensors, with what is needed to use it elsewhere beside it."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from localmin.tasks.environment import versions
from localmin.tasks.schemas import write_versioned
from localmin.tasks.storage import write_tensors
from localmin.tasks.task import Task

__all__ = ["write_model"]


def write_model(path: Path, task: Task, model: nn.Module, *, trained_by: str) -> None:
    """Write ``model.safetensors`` and ``model.json``: network, classes, input shape, normalisation.

    Args:
        path: Folder.
        task: Describes the network.
        model: Its weights.
        trained_by: ``"uniform"``, ``"searched"`` or ``"policy"``.
    """
    assert task.normalization is not None  # set by Task
    write_tensors(path / "model.safetensors", dict(model.state_dict()))
    write_versioned(
        path / "model.json",
        "model",
        {
            "model": task.model_name,
            "num_classes": task.num_classes,
            "class_names": list(task.class_names),
            "input_shape": list(task.train.inputs.shape[1:]),
            "normalization": task.normalization.to_dict(),
            "trained_by": trained_by,
            "versions": versions(),
        },
    )
