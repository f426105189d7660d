"""What a reader finds in one file or folder, before labels are numbered."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from localmin.tasks.readers.image_tensor import ImageOptions
from localmin.tasks.readers.images import ImageForm
from localmin.tasks.readers.labels import RawLabels, Targets

__all__ = ["ReadOptions", "Reading", "row_name"]


@dataclass(frozen=True, eq=False)
class Reading:
    """Hold the examples of one file or folder.

    Args:
        path: Of the file or folder.
        inputs: uint8 images ``(n, channels, height, width)``, else float32 ``(n, ...)``.
        labels: One value per example: classes, or the targets of a regression.
        identifiers: Files, where there are some; None for row numbers.
        label: Name of the label column or array; None for a folder.
        columns: Names of the feature columns of a table; None for anything else.
        form: What images were brought to; None if nothing was decoded.
        origin: What to say about it in reports. JSON types only.
        clean_labels: Right labels, where there is a second column of them.
    """

    path: Path
    inputs: Tensor
    labels: RawLabels | Targets
    identifiers: tuple[str, ...] | None = None
    label: str | None = None
    columns: tuple[str, ...] | None = None
    form: ImageForm | None = None
    origin: dict[str, Any] = field(default_factory=dict)
    clean_labels: RawLabels | Targets | None = None

    def describe(self, index: int) -> str:
        """Name example ``index`` in a message."""
        return row_name(index) if self.identifiers is None else self.identifiers[index]

    @property
    def classes(self) -> RawLabels:
        """The labels of a classification."""
        assert isinstance(self.labels, RawLabels)
        return self.labels

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
        kind: ``"classification"`` or ``"regression"``; None is a regression if a label is a fraction.
        clean_label: Name of a column of right labels; it may be absent from a test set.
    """

    label: str | None = None
    images: ImageOptions = field(default_factory=ImageOptions)
    training: Reading | None = None
    kind: str | None = None
    clean_label: str | None = None


def row_name(index: int) -> str:
    """Name a row in a message; rows count from 0, the header is none."""
    return f"row {index}"
