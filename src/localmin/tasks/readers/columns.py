"""Which column of a table is the label, which are features, and which are only names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from localmin.errors import DataError

__all__ = ["Column", "Columns", "choose_columns", "choose_label"]

_LABEL_NAMES = ("label", "target", "class")
# Only without one of the others: x and y are often coordinates.
_LAST_LABEL_NAME = "y"
# Texts under these names tell examples apart; they are not read as features.
_TEXT_NAMES = frozenset(
    (
        *("id", "index", "idx", "key", "uuid", "guid", "row_id", "image_id", "name", "url"),
        *("path", "file", "filename", "file_name", "filepath", "file_path", "image_path"),
    )
)
# Numbers under these names only count rows. pandas writes its index under the last three.
_NUMBER_NAMES = frozenset(("id", "index", "idx", "row_id", "", "unnamed: 0", "__index_level_0__"))
_FILE_NAMES = ("path", "file_path", "filepath", "image_path", "file_name", "filename", "file", "name", "id")
_MAX_SHOWN = 30


@dataclass(frozen=True)
class Column:
    """Describe a column.

    Args:
        name: As in the file.
        kind: ``"number"``, ``"text"``, ``"image"``, or what else it holds, in words.
        example: Gives a value that is no number, for messages; looked for only when one is needed.
    """

    name: str
    kind: str
    example: Callable[[], str] | None = None


@dataclass(frozen=True)
class Columns:
    """Say what each column of a table is for.

    Args:
        label: The classes.
        image: Encoded images, or None for a table of numbers.
        features: Columns of numbers; empty with images.
        names: Text column that names the example (a file), or None.
        ignored: All others.
        clean_label: Right labels beside the given ones, or None; never a feature.
    """

    label: str
    image: str | None
    features: tuple[str, ...]
    names: str | None
    ignored: tuple[str, ...]
    clean_label: str | None = None


def choose_columns(
    columns: Sequence[Column],
    *,
    label: str | None,
    path: Path,
    training: tuple[str, ...] | None = None,
    clean_label: str | None = None,
) -> Columns:
    """Decide what each column is for.

    With an image column every other column but the label is ignored. Without one, all columns of
    numbers are features, except those whose name says that they count rows; a column of texts is
    ignored if its name says that it names the example, and refused otherwise.

    Args:
        columns: All columns of the file.
        label: Name of the label column, or None to guess it.
        path: The file, for messages.
        training: Feature columns of the training data, when this is its test set.
        clean_label: Name of the column of right labels, or None; may be absent from a test set.

    Returns:
        The choice.

    Raises:
        DataError: If there is no such label column, no feature, or a column that is neither.
    """
    names = [column.name for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} has more than one column named {twice[0]!r}; rename one of them")
    if clean_label is not None and clean_label not in names:
        if training is None:
            raise DataError(f"{path} has no column {clean_label!r}; its columns are {show_names(names)}")
        clean_label = None
    chosen = choose_label([name for name in names if name != clean_label], label=label, path=path)
    others = [column for column in columns if column.name not in (chosen, clean_label)]
    images = [column.name for column in others if column.kind == "image"]
    if len(images) > 1:
        raise DataError(f"{path} has several image columns ({', '.join(images)}); keep one")
    texts = {column.name.lower(): column.name for column in others if column.kind == "text"}
    naming = next((texts[name] for name in _FILE_NAMES if name in texts), None)
    if images:
        rest = tuple(column.name for column in others if column.name not in (images[0], naming))
        return Columns(chosen, images[0], (), naming, rest, clean_label)
    ignored = tuple(column.name for column in others if _only_names(column))
    wrong = [column for column in others if column.name not in ignored and column.kind != "number"]
    if wrong:
        raise DataError(_explain_wrong(wrong, path))
    features = tuple(column.name for column in others if column.name not in ignored)
    if not features:
        raise DataError(f"{path} has no column of numbers or images beside the label {chosen!r}")
    if training is not None:
        features = _in_training_order(features, training, path)
    return Columns(chosen, None, features, naming, ignored, clean_label)


def choose_label(names: Sequence[str], *, label: str | None, path: Path) -> str:
    """Find the label column.

    Args:
        names: Of all columns or arrays.
        label: What the user said, or None to look for label, target, class, else y, in any case.
        path: The file, for messages.

    Returns:
        Its name as in the file.

    Raises:
        DataError: If there is none, or more than one could be it.
    """
    if label is not None:
        if label not in names:
            raise DataError(f"{path} has no column {label!r}; its columns are {show_names(names)}")
        return label
    found = [name for name in names if name.lower() in _LABEL_NAMES]
    found = found or [name for name in names if name.lower() == _LAST_LABEL_NAME]
    if len(found) == 1:
        return found[0]
    problem = f"both {' and '.join(map(repr, found))} could be it" if found else "none has a usual name"
    raise DataError(f"name the label column of {path}: {problem}; its columns are {show_names(names)}")


def show_names(names: Sequence[str]) -> str:
    """List names for a message; a long list is cut.

    Args:
        names: Any number.

    Returns:
        The names, separated by commas.
    """
    shown = ", ".join(name or "(no name)" for name in names[:_MAX_SHOWN])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > _MAX_SHOWN else shown


def _only_names(column: Column) -> bool:
    name = column.name.lower()
    return name in (
        _NUMBER_NAMES if column.kind == "number" else _TEXT_NAMES if column.kind == "text" else ()
    )


def _explain_wrong(wrong: Sequence[Column], path: Path) -> str:
    listed = ", ".join(
        f"{column.name!r} ({column.kind if column.example is None else column.example()})"
        for column in wrong[:_MAX_SHOWN]
    )
    return (
        f"{path} has columns that are not numbers: {listed}; turn them into numbers, remove them, or name "
        "one as the label"
    )


def _in_training_order(features: tuple[str, ...], training: tuple[str, ...], path: Path) -> tuple[str, ...]:
    missing = [name for name in training if name not in features]
    extra = [name for name in features if name not in training]
    if missing or extra:
        parts = [f"lacks {show_names(missing)}"] * bool(missing) + [f"also has {show_names(extra)}"] * bool(
            extra
        )
        raise DataError(
            f"the test file {path} has other feature columns than the training data: it {' and '.join(parts)}"
        )
    return training
