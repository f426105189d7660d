"""The same task with wrong labels in its training part, and in its validation part unless told otherwise."""

from __future__ import annotations

from dataclasses import replace

from localmin.errors import InputError
from localmin.tasks.examples import Examples
from localmin.tasks.noise import NoiseKind, NoiseRecord, check_noise, flip_labels
from localmin.tasks.task import Task

__all__ = ["add_noise"]

# Independent streams of one seed.
_TRAIN, _VALIDATION = 300, 400


def add_noise(
    task: Task, rate: float, *, kind: NoiseKind = "symmetric", clean_validation: bool = False, seed: int
) -> Task:
    """Make a share of the labels wrong and remember the right ones for measuring.

    Args:
        task: With right labels.
        rate: Share of wrong labels, in [0, 1]; 0 gives the task back.
        kind: ``"symmetric"`` or ``"pair"``.
        clean_validation: Keep the validation labels right.
        seed: Of the choice.

    Returns:
        The task with noisy labels, the clean ones beside them, and the realised rates.

    Raises:
        InputError: If the rate or kind is out of range, or the task has noise already.

    Example:
        >>> from localmin.tasks import digits
        >>> add_noise(digits(seed=0), 0.2, seed=0).noise.realised
        0.2
    """
    check_noise(rate, kind)
    if rate == 0:
        return task
    if task.clean_train_labels is not None:
        raise InputError(f"{task.name} knows its clean labels already; add noise once, or not at all")

    def flip(examples: Examples, stream: int) -> Examples:
        labels = flip_labels(
            examples.labels, rate, num_classes=task.num_classes, kind=kind, seed=seed * 1_000 + stream
        )
        return examples.with_labels(labels)

    train = flip(task.train, _TRAIN)
    validation = task.validation if clean_validation else flip(task.validation, _VALIDATION)
    record = NoiseRecord(
        kind,
        rate,
        realised=float((train.labels != task.train.labels).double().mean()),
        validation_realised=float((validation.labels != task.validation.labels).double().mean()),
    )
    return replace(
        task,
        train=train,
        validation=validation,
        clean_train_labels=task.train.labels,
        clean_validation_labels=task.validation.labels,
        noise=record,
        provenance=task.provenance | {"clean_validation": clean_validation},
    )
