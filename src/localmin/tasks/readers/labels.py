"""From label values as they stand in a file to class numbers 0 to C - 1."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from localmin.errors import DataError

__all__ = ["Classes", "RawLabels", "Targets", "labels_from_array"]

_MAX_SHOWN = 10


@dataclass(frozen=True, eq=False)
class RawLabels:
    """Hold the labels of one file: its distinct values, and which of them each example has.

    Args:
        values: Distinct values, in any order: all integers or all texts.
        codes: Position in ``values`` for each example, shape ``(n,)``, int64.
        names: What to call a value in reports, where the file says so.
    """

    values: tuple[int | str, ...]
    codes: np.ndarray[Any, np.dtype[np.int64]]
    names: Mapping[int | str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Folders and text columns often hold numbers: "2" comes before "10".
        if self.values and all(isinstance(value, str) and _is_integer(value) for value in self.values):
            object.__setattr__(self, "values", tuple(int(value) for value in self.values))


@dataclass(frozen=True, eq=False)
class Targets:
    """Hold the targets of a regression.

    Args:
        values: One number for each example, finite, shape ``(n,)``.
    """

    values: np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Classes:
    """Number the classes of the training data; integers in numerical order, texts in alphabetical order.

    Labels that are 0 to C - 1 already keep their number.

    Args:
        values: In the order of their numbers.
        names: One per class, for reports.

    Example:
        >>> import numpy as np
        >>> labels = RawLabels((10, 2), np.array([0, 1, 1]))
        >>> classes = Classes.of(labels, where="data.csv")
        >>> classes.names, classes.number(labels, where="data.csv", describe=str).tolist()
        (('2', '10'), [1, 0, 0])
    """

    values: tuple[int | str, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, labels: RawLabels, *, where: str) -> Classes:
        """Find the classes of the training data.

        Args:
            labels: As read.
            where: The file and column, for messages.

        Returns:
            The classes.

        Raises:
            DataError: If there is a single class, or nearly as many classes as examples.
        """
        if len(labels.values) == 1:
            raise DataError(
                f"every example of {where} has the label {labels.values[0]!r}; a classifier needs at least "
                "two classes"
            )
        if len(labels.values) > max(2, len(labels.codes) // 2):
            raise DataError(
                f"{where} has {len(labels.values)} different labels for {len(labels.codes)} examples, too "
                "few for each class; if it is a measured quantity, use --kind regression, if an identifier, "
                "name another label column"
            )
        values = tuple(sorted(labels.values, key=lambda value: (isinstance(value, str), value)))
        return cls(values, tuple(labels.names.get(value, str(value)) for value in values))

    def number(self, labels: RawLabels, *, where: str, describe: Callable[[int], str]) -> Int64[Tensor, " n"]:
        """Replace label values by class numbers.

        Args:
            labels: Of the training or of the test data.
            where: The file and column, for messages.
            describe: Names example i, for messages.

        Returns:
            Class numbers, shape ``(n,)``.

        Raises:
            DataError: If a label is none of the classes.
        """
        # As text: a test file may store as "7" what the training file stores as 7.
        numbers = {str(value): number for number, value in enumerate(self.values)}
        table = np.array([numbers.get(str(value), -1) for value in labels.values], dtype=np.int64)
        numbered = table[labels.codes]
        if (table < 0).any() and (numbered < 0).any():
            first = int(np.flatnonzero(numbered < 0)[0])
            known = ", ".join(str(value) for value in self.values[:_MAX_SHOWN])
            more = ", ..." if len(self.values) > _MAX_SHOWN else ""
            value = labels.values[labels.codes[first]]
            raise DataError(
                f"{describe(first)} of {where} has the label {value!r}, which does not "
                f"occur in the training data; its labels are {known}{more}"
            )
        return torch.from_numpy(numbered)


def labels_from_array(
    array: np.ndarray[Any, Any], *, where: str, row: Callable[[int], str], kind: str | None = "classification"
) -> RawLabels | Targets:
    """Read labels from a numpy array of integers, truth values, floating-point numbers or texts.

    Args:
        array: Shape ``(n,)``.
        where: The file and column, for messages.
        row: Names row i, for messages.
        kind: ``"classification"`` refuses fractions; ``"regression"`` takes any numbers; None takes numbers
            of which one is a fraction as a regression, all else as classes.

    Returns:
        The labels.

    Raises:
        DataError: If a label is missing, or does not go with the kind, or is of another type.
    """
    if kind == "regression" or (kind is None and _has_fractions(array)):
        return _targets(array, where, row)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "f":
        array = _whole(array, where, row)
    if array.dtype.kind not in "iubU":
        raise DataError(f"{where} holds {array.dtype} values; labels are integers or texts")
    distinct, codes = np.unique(array, return_inverse=True)
    kept: tuple[int | str, ...]
    if array.dtype.kind == "U":
        kept = tuple(str(value) for value in distinct)
        check_no_empty_text(kept, codes, where=where, row=row)
    else:
        kept = tuple(int(value) for value in distinct)
    names: dict[int | str, str] = {0: "false", 1: "true"} if array.dtype.kind == "b" else {}
    return RawLabels(kept, codes.astype(np.int64).reshape(-1), names)


def check_no_empty_text(
    values: tuple[int | str, ...],
    codes: np.ndarray[Any, Any],
    *,
    where: str,
    row: Callable[[int], str],
) -> None:
    """Refuse labels that are empty or blank texts.

    Args:
        values: Distinct values.
        codes: Position in ``values`` for each example.
        where: The file and column, for messages.
        row: Names row i, for messages.

    Raises:
        DataError: If there is one.
    """
    blank = [code for code, value in enumerate(values) if not str(value).strip()]
    if blank:
        first = int(np.flatnonzero(np.isin(codes, blank))[0])
        raise DataError(f"{where} is empty in {row(first)}; every example needs a label")


def _whole(
    array: np.ndarray[Any, Any], where: str, row: Callable[[int], str]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    missing = ~np.isfinite(array)
    if missing.any():
        raise DataError(f"{where} is empty in {row(int(missing.argmax()))}; every example needs a label")
    broken = array != np.floor(array)
    if broken.any():
        first = int(broken.argmax())
        raise DataError(
            f"{where} holds {array[first]} in {row(first)}: labels must be classes, whole numbers or texts; "
            "to predict a quantity, use --kind regression"
        )
    return array.astype(np.int64)


def _has_fractions(array: np.ndarray[Any, Any]) -> bool:
    if array.dtype.kind != "f":
        return False
    finite = array[np.isfinite(array)]
    return bool((finite != np.floor(finite)).any())


def _targets(array: np.ndarray[Any, Any], where: str, row: Callable[[int], str]) -> Targets:
    if array.dtype.kind not in "iuf":
        raise DataError(f"{where} holds {array.dtype} values; the target of a regression is a number")
    values = array.astype(np.float64)
    missing = ~np.isfinite(values)
    if missing.any():
        raise DataError(
            f"{where} is empty or infinite in {row(int(missing.argmax()))}; every example needs a target"
        )
    return Targets(values)


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"0|-?[1-9][0-9]*", text) is not None
