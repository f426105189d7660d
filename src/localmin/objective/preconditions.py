"""What a model must fulfil so that its loss is one fixed function of its parameters."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import DataError, InputError
from localmin.objective.example_losses import check_additive, sum_of_losses
from localmin.objective.loss_sums import LossSum

__all__ = ["check_mode", "examine"]

_BATCH_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
_DROPOUTS = (nn.modules.dropout._DropoutNd, nn.RNNBase, nn.MultiheadAttention)


def check_mode(model: nn.Module) -> None:
    """Refuse a model with batch normalisation or dropout in training mode.

    Args:
        model: Any module.

    Raises:
        InputError: If the loss of an example depends on its batch or on random draws; the message names
            the module.
    """
    for name, module in model.named_modules():
        label = (
            f"module '{name}' ({type(module).__name__})" if name else f"the model ({type(module).__name__})"
        )
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise InputError(
                f"{label} keeps no running statistics, so every example's loss depends on its batch; "
                "build it with track_running_stats=True"
            )
        if not module.training:
            continue
        if isinstance(module, _BATCH_NORMS) and module.track_running_stats:
            raise InputError(
                f"{label} is in training mode: it normalises by the batch and changes its statistics "
                "at every evaluation; call model.eval() first"
            )
        if isinstance(module, _DROPOUTS) and _dropout_rate(module) > 0.0:
            raise InputError(
                f"{label} is in training mode and drops units at random; call model.eval() first"
            )


def examine(loss_sum: LossSum, point: Float[Tensor, " n"]) -> int:
    """Refuse a loss that is stochastic, mixes examples or is no mean over them; count the examples.

    Model and loss are tried on the first batch. Data that are produced anew in every pass are gone through
    twice as a whole, because they may be drawn or augmented at random.

    Args:
        loss_sum: The sum of losses.
        point: Parameters at which it is tried.

    Returns:
        Number of examples.

    Raises:
        InputError: If one of these conditions fails.
        DataError: If there are no data, or their number changes from pass to pass.
    """
    parameters = loss_sum.layout.split(point)
    with torch.no_grad():
        x, y = next(iter(loss_sum.batches), (None, None))
        if x is None or y is None:
            raise DataError("expected at least one batch, got none")
        output = loss_sum.output(parameters, x)
        _check_repeatable(output, loss_sum.output(parameters, x), "the model on one batch")
        first = sum_of_losses(loss_sum.loss, output, y)
        _check_repeatable(first, sum_of_losses(loss_sum.loss, output, y), "the loss on one batch")
        if len(x) > 1:
            cut = len(x) // 2
            _check_independent(output[:cut], loss_sum.output(parameters, x[:cut]))
        check_additive(loss_sum.loss, output, y)
    if loss_sum.batches.num_examples is not None:
        return loss_sum.batches.num_examples
    (first_total, num_examples), (second_total, again) = (loss_sum.total(point) for _ in range(2))
    if num_examples != again:
        raise DataError(f"one pass over the data has {num_examples} examples, the next one {again}")
    totals = torch.tensor([first_total, second_total], dtype=point.dtype)
    _check_repeatable(totals[0], totals[1], "the whole data")
    return num_examples


def _check_repeatable(first: Tensor, second: Tensor, what: str) -> None:
    scale, difference = _scale_and_difference(first, second)
    # The order of summation may change between evaluations; anything stochastic differs far more.
    eps = torch.finfo(first.dtype).eps
    if difference > 1e3 * eps * scale + eps:
        raise InputError(
            f"two evaluations of {what} differ by {difference:.3g} (size {scale:.3g}), so the loss is "
            "stochastic; call model.eval(), and remove random noise, dropout or augmentation"
        )


def _check_independent(together: Tensor, alone: Tensor) -> None:
    scale, difference = _scale_and_difference(together, alone)
    # Loose on purpose: matrix products of other sizes round differently, and deep models amplify that.
    # Outputs may also be nothing but what rounding left of a cancellation, and then differ altogether.
    eps = torch.finfo(together.dtype).eps
    if difference > eps**0.5 * scale + 1e3 * eps:
        raise InputError(
            f"the model's output for an example changes by {difference:.3g} with the rest of its batch, so "
            "the loss depends on how the data are cut into batches; does it normalise over the batch?"
        )


def _scale_and_difference(first: Tensor, second: Tensor) -> tuple[float, float]:
    scale = float(torch.maximum(first.abs().max(), second.abs().max()))
    return scale, float((first - second).abs().max())


def _dropout_rate(module: nn.Module) -> float:
    # Dropout layers call the rate p, recurrent layers and attention call it dropout.
    return float(getattr(module, "p", getattr(module, "dropout", 0.0)))
