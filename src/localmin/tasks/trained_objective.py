"""The loss that a network was trained on, as an objective over the parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from localmin.objective import Objective
from localmin.tasks.trained import TrainedModel

__all__ = ["trained_objective"]

# Decoupled decay is no gradient of anything; these optimisers add the gradient of an L2 term.
_WITHOUT_L2 = ("adamw",)


def trained_objective(
    trained: TrainedModel,
    *,
    limit: int | None = None,
    dtype: torch.dtype | None = torch.float64,
    batch_size: int | None = None,
) -> Objective:
    """Build ``sum_i p_i loss_i + (weight_decay / 2) |theta|^2`` over the training examples.

    The ``p_i`` are the drawing probabilities of the run, so a policy that leaves examples out leaves them out
    here too; without a policy they are equal. Networks are in evaluation mode: batch normalisation uses its
    running statistics, dropout is off, and inputs are not augmented, so for networks with these the objective
    is near what was trained on, not equal to it. AdamW's decoupled decay is not part of it.

    Args:
        trained: From `open_trained`.
        limit: At most so many examples, evenly spaced; None takes all.
        dtype: Of the copy; None keeps the network's own.
        batch_size: Examples evaluated at once; it changes memory and speed, not the result.

    Returns:
        The objective. What cannot be differentiated is an `InputError`.

    Cost:
        One copy of the network and of the inputs.
    """
    inputs, labels = trained.examples("train", limit=limit)
    if dtype is not None and inputs.is_floating_point():
        inputs = inputs.to(dtype)
    weights = trained.relative_weights(limit=limit)
    recipe = trained.task.recipe
    decay = 0.0 if recipe.optimizer in _WITHOUT_L2 else recipe.weight_decay
    loss = _weighted_loss(trained, labels, weights)
    # The loss looks labels and weights up by position, whatever type the labels have.
    positions = torch.arange(len(labels))
    return Objective(
        trained.model, loss, (inputs, positions), weight_decay=decay, dtype=dtype, batch_size=batch_size
    )


def _weighted_loss(
    trained: TrainedModel, labels: Tensor, weights: Tensor
) -> Callable[[Tensor, Tensor], Tensor]:
    task = trained.task
    smoothing = task.recipe.label_smoothing

    def loss(outputs: Tensor, positions: Tensor) -> Tensor:
        chosen = labels[positions]
        if smoothing:
            values = nn.functional.cross_entropy(outputs, chosen, label_smoothing=smoothing, reduction="none")
        else:
            values = task.loss(outputs, chosen)
        return values * weights[positions].to(values.dtype)

    return loss
