"""The same task with wrong labels in its training part, and in its validation part unless told otherwise."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from localmin.errors import InputError
from localmin.tasks.examples import Examples
from localmin.tasks.noise import NoiseKind, NoiseRecord, check_noise
from localmin.tasks.task import Task

__all__ = ["add_noise", "with_clean_labels"]

# Independent streams of one seed.
_TRAIN, _VALIDATION = 300, 400


def add_noise(
    task: Task, rate: float, *, kind: NoiseKind | None = None, clean_validation: bool = False, seed: int
) -> Task:
    """Make a share of the labels wrong and remember the right ones for measuring.

    Args:
        task: With right labels.
        rate: Share of wrong labels, in [0, 1]; 0 gives the task back.
        kind: One that the kind of task knows: classes ``"symmetric"`` or ``"pair"``, regression
            ``"outliers"`` or ``"shuffle"``, language models ``"shuffle"`` or ``"random"``; None is the first.
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
    kind = kind or task.kind.noise_kinds[0]  # type: ignore[assignment]
    assert kind is not None
    check_noise(rate, kind, task.kind.noise_kinds)
    if rate == 0:
        return task
    if task.clean_train_labels is not None:
        raise InputError(f"{task.name} knows its clean labels already; add noise once, or not at all")

    def flip(examples: Examples, stream: int) -> Examples:
        return task.kind.corrupt(
            examples, rate, kind, num_classes=task.num_classes, seed=seed * 1_000 + stream
        )

    train = flip(task.train, _TRAIN)
    validation = task.validation if clean_validation else flip(task.validation, _VALIDATION)
    record = NoiseRecord(
        kind,
        rate,
        realised=float(task.kind.differs(train.labels, task.train.labels).double().mean()),
        validation_realised=float(
            task.kind.differs(validation.labels, task.validation.labels).double().mean()
        ),
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


def with_clean_labels(task: Task, train: Tensor, validation: Tensor) -> Task:
    """Set right labels beside those of annotators, for measuring only: no search looks at them.

    Args:
        task: With labels as given.
        train: Right labels of the training part, in its order.
        validation: Right labels of the validation part.

    Returns:
        The task with clean labels and a record of how many given ones differ from them.
    """
    wrong = task.kind.differs(task.train.labels.cpu(), train.cpu()).double()
    wrong_validation = task.kind.differs(task.validation.labels.cpu(), validation.cpu()).double()
    realised = float(wrong.mean())
    record = NoiseRecord("annotators", realised, realised, float(wrong_validation.mean()))
    return replace(task, clean_train_labels=train, clean_validation_labels=validation, noise=record)
