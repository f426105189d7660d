"""Readers of a user's own data: folders of images, Parquet, CSV, NPZ; tasks from a Python file."""

from localmin.tasks.factories import is_factory, load_model_factory, load_task_factory, open_task
from localmin.tasks.readers.images import ReadProgress
from localmin.tasks.readers.opening import open_source

__all__ = [
    "ReadProgress",
    "is_factory",
    "load_model_factory",
    "load_task_factory",
    "open_source",
    "open_task",
]
