"""Forward passes over many examples: logits in batches, scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from localmin.tasks.examples import Examples
from localmin.tasks.task import Metric, Task

__all__ = ["batched_logits", "evaluation_mode", "predict", "score", "score_parts"]

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
) -> Int64[Tensor, " n"]:
    """Compute the most likely class of each example, or of those at ``indices``, on the CPU."""
    batches = batched_logits(model, task, examples, indices=indices)
    return torch.cat([logits.argmax(1).cpu() for _, logits in batches])


def score(
    predictions: Int64[Tensor, " n"], labels: Int64[Tensor, " n"], metric: Metric, *, num_classes: int
) -> float:
    """Compute accuracy, or its mean over the classes that occur.

    Args:
        predictions: Shape ``(n,)``.
        labels: Shape ``(n,)``.
        metric: ``"accuracy"`` or ``"balanced-accuracy"``.
        num_classes: C.

    Returns:
        A number in [0, 1].

    Example:
        >>> score(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1]), "balanced-accuracy", num_classes=2)
        0.5
    """
    hits: Bool[Tensor, " n"] = predictions == labels
    if metric == "accuracy":
        return float(hits.double().mean())
    counts = labels.bincount(minlength=num_classes)
    right = labels[hits].bincount(minlength=num_classes)
    present = counts > 0
    recall: Float[Tensor, " c"] = right[present].double() / counts[present].double()
    return float(recall.mean())


def score_parts(model: nn.Module, task: Task) -> dict[str, float]:
    """Score a model on the test and on the validation part of its task, by the task's metric."""
    return {
        part: score(
            predict(model, task, examples), examples.labels.cpu(), task.metric, num_classes=task.num_classes
        )
        for part, examples in (("test", task.test), ("validation", task.validation))
    }
