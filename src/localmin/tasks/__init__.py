"""Tasks: data, network, recipe and metric; readers for a user's data; the training loop."""

from localmin.tasks.assembly import build_task
from localmin.tasks.builtin import BUILTIN, digits
from localmin.tasks.examples import Examples
from localmin.tasks.factories import (
    FileModel,
    FileTask,
    is_factory,
    load_model_factory,
    load_task_factory,
    open_task,
)
from localmin.tasks.noise import NoiseRecord, flip_labels
from localmin.tasks.normalization import Normalization
from localmin.tasks.readers import ReadProgress, open_source
from localmin.tasks.recipe import Recipe
from localmin.tasks.source import DataSource
from localmin.tasks.task import Task
from localmin.tasks.trained import TrainedModel, open_trained
from localmin.tasks.trained_objective import trained_objective

__all__ = [
    "BUILTIN",
    "DataSource",
    "Examples",
    "FileModel",
    "FileTask",
    "NoiseRecord",
    "Normalization",
    "ReadProgress",
    "Recipe",
    "Task",
    "TrainedModel",
    "build_task",
    "digits",
    "flip_labels",
    "is_factory",
    "load_model_factory",
    "load_task_factory",
    "open_source",
    "open_task",
    "open_trained",
    "trained_objective",
]
