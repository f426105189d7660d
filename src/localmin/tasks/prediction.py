"""Forward passes over many examples: logits in batches, scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from localmin.tasks.examples import Examples
from localmin.tasks.kinds import classification_score as score
from localmin.tasks.task import Task

__all__ = ["batched_logits", "credits", "evaluation_mode", "predict", "score", "score_parts"]

_BATCH = 1_000


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and back into the mode each of its parts had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def batched_logits(
    model: nn.Module,
    task: Task,
    examples: Examples,
    *,
    indices: Int64[Tensor, " m"] | None = None,
    batch_size: int = _BATCH,
) -> Iterator[tuple[slice, Tensor]]:
    """Run a model over examples in evaluation mode without gradients.

    Args:
        model: On any device; its mode is restored.
        task: Gives the normalisation.
        examples: In order.
        indices: Look at these only, in this order; their inputs are gathered a batch at a time.
        batch_size: Examples at once.

    Yields:
        Positions as a slice, and the logits of those examples, on the model's device.
    """
    device = next(model.parameters()).device
    total = len(examples) if indices is None else len(indices)
    for start in range(0, total, batch_size):
        part = slice(start, min(start + batch_size, total))
        inputs = examples.inputs[part if indices is None else indices[part].to(examples.inputs.device)]
        # Between two batches the caller's code runs: it must find gradients and modes as it left them.
        with torch.no_grad(), evaluation_mode(model):
            logits = model(task.prepare(inputs.to(device)))
        yield part, logits


def predict(
    model: nn.Module, task: Task, examples: Examples, *, indices: Int64[Tensor, " m"] | None = None
) -> Shaped[Tensor, " m"]:
    """Predict each example, or those at ``indices``, on the CPU.

    Args:
        model: On any device.
        task: Its kind says what a prediction is: the most likely class, a number, the loss of a sequence.
        examples: To predict.
        indices: Look at these only, in this order.

    Returns:
        One prediction an example.
    """
    labels = examples.labels if indices is None else examples.labels[indices.to(examples.labels.device)]
    batches = batched_logits(model, task, examples, indices=indices)
    return torch.cat([
        task.kind.predict(logits, labels[part].to(logits.device)).cpu() for part, logits in batches
    ])  # fmt: skip


def credits(
    model: nn.Module, task: Task, examples: Examples, *, indices: Int64[Tensor, " m"] | None = None
) -> Float[Tensor, " m"]:
    """Judge a model on each example for a trial, by the kind's robust credit: 1 for a right class, else 0.

    Args:
        model: On any device.
        task: Gives the kind.
        examples: With labels as given.
        indices: Look at these only, in this order.

    Returns:
        One number an example, float64, on the CPU; higher is better.
    """
    labels = examples.labels if indices is None else examples.labels[indices.to(examples.labels.device)]
    return task.kind.credit(predict(model, task, examples, indices=indices), labels.cpu())


def score_parts(
    model: nn.Module, task: Task, *, parts: Sequence[str] = ("test", "validation")
) -> dict[str, float]:
    """Score a model on parts of its task, by the task's metric."""
    found = task.parts()
    return {
        part: task.kind.score(
            predict(model, task, found[part]),
            found[part].labels.cpu(),
            task.metric,
            num_classes=task.num_classes,
        )
        for part in parts
    }
