"""What a reader finds in one file or folder, before labels are numbered."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from localmin.tasks.readers.image_tensor import ImageOptions
from localmin.tasks.readers.images import ImageForm
from localmin.tasks.readers.labels import RawLabels

__all__ = ["ReadOptions", "Reading", "row_name"]


@dataclass(frozen=True, eq=False)
class Reading:
    """Hold the examples of one file or folder.

    Args:
        path: Of the file or folder.
        inputs: uint8 images ``(n, channels, height, width)``, else float32 ``(n, ...)``.
        labels: One value per example.
        identifiers: Files, where there are some; None for row numbers.
        label: Name of the label column or array; None for a folder.
        columns: Names of the feature columns of a table; None for anything else.
        form: What images were brought to; None if nothing was decoded.
        origin: What to say about it in reports. JSON types only.
    """

    path: Path
    inputs: Tensor
    labels: RawLabels
    identifiers: tuple[str, ...] | None = None
    label: str | None = None
    columns: tuple[str, ...] | None = None
    form: ImageForm | None = None
    origin: dict[str, Any] = field(default_factory=dict)

    def describe(self, index: int) -> str:
        """Name example ``index`` in a message."""
        return row_name(index) if self.identifiers is None else self.identifiers[index]

    @property
    def where(self) -> str:
        """Name the labels in a message: the file and its column."""
        return str(self.path) if self.label is None else f"column {self.label!r} of {self.path}"


@dataclass(frozen=True)
class ReadOptions:
    """Say how a file or folder is to be read.

    Args:
        label: Name of the label column or array; None guesses.
        images: How images are to be read.
        training: The training data, when this is its test set: same columns, same size.
    """

    label: str | None = None
    images: ImageOptions = field(default_factory=ImageOptions)
    training: Reading | None = None


def row_name(index: int) -> str:
    """Name a row in a message; rows count from 0, the header is none."""
    return f"row {index}"
