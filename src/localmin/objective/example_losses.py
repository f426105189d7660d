"""From what a loss function gives to the sum of the losses of the examples in a batch."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError

__all__ = ["LossFunction", "check_additive", "losses_of_examples", "sum_of_losses"]

LossFunction = Callable[[Tensor, Tensor], Tensor]


def sum_of_losses(loss: LossFunction, output: Tensor, target: Tensor) -> Float[Tensor, ""]:
    """Compute the sum of the losses of the examples in a batch.

    Args:
        loss: Gives one number, taken as the mean over the examples, or ``(n, ...)`` values, which are
            averaged over all axes but the first, as torch's own mean reduction does.
        output: Outputs, examples along the first axis.
        target: Targets, examples along the first axis.

    Returns:
        A scalar: the sum over examples.

    Raises:
        InputError: If the loss gives something else.
    """
    values = loss(output, target)
    num_examples = len(output)
    if not isinstance(values, Tensor) or not values.is_floating_point():
        came = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise InputError(f"expected the loss to give a floating-point tensor, got {came}")
    if values.numel() == 1:
        return values.reshape(()) * num_examples
    if values.shape[:1] != (num_examples,):
        raise InputError(
            "expected the loss to give the mean over the examples, or one value for each of the "
            f"{num_examples} examples, got shape {tuple(values.shape)}"
        )
    return values.sum() * (num_examples / values.numel())


def losses_of_examples(loss: LossFunction, output: Tensor, target: Tensor) -> Float[Tensor, " n"]:
    """Compute the loss of each example in a batch.

    Args:
        loss: As in `sum_of_losses`.
        output: Outputs, examples along the first axis.
        target: Targets, examples along the first axis.

    Returns:
        Shape ``(n,)``; its sum is `sum_of_losses`.

    Raises:
        InputError: If the loss gives something else.

    Cost:
        One evaluation of the loss for each example where it only gives the mean.
    """
    values = loss(output, target)
    if isinstance(values, Tensor) and values.numel() != 1 and values.shape[:1] == (len(output),):
        return values.reshape(len(output), -1).mean(dim=1)
    return torch.stack(
        [sum_of_losses(loss, output[row : row + 1], target[row : row + 1]) for row in range(len(output))]
    )


def check_additive(loss: LossFunction, output: Tensor, target: Tensor) -> None:
    """Refuse a loss that is no mean over the examples, by comparing a batch with its two parts.

    Otherwise the objective would depend on how the data are cut into batches.

    Args:
        loss: As in `sum_of_losses`.
        output: Outputs, examples along the first axis.
        target: Targets, examples along the first axis.

    Raises:
        InputError: If whole and parts disagree: the loss is a sum, or is divided by something else
            than the number of examples.
    """
    if len(output) == 1:
        output, target = torch.cat([output, output]), torch.cat([target, target])
    # Unequal parts: with equal ones a sum and a mean could not always be told apart.
    cut = max(1, len(output) // 3)
    whole = float(sum_of_losses(loss, output, target))
    head = float(sum_of_losses(loss, output[:cut], target[:cut]))
    tail = float(sum_of_losses(loss, output[cut:], target[cut:]))
    tolerance = torch.finfo(output.dtype).eps ** 0.5 * (abs(whole) + abs(head) + abs(tail))
    if abs(whole - head - tail) > tolerance:
        raise InputError(
            "the loss is no mean over examples: a batch and its two parts disagree. It may sum "
            "(use reduction='mean'), or divide by class weights or by the targets that are not ignored "
            "(use reduction='none': the objective then averages over all examples)"
        )
