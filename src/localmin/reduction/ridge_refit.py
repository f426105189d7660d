"""Smaller than exact: keep the strongest neurons, refit by ridge regression, train on for a little."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.reduction.approximate_result import ApproximateReduction, Measurement, settled
from localmin.reduction.fine_tuning import fine_tuned
from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.model_reading import ModelT, read_model
from localmin.reduction.projection import balanced

__all__ = ["approximate_reduction"]

_RIDGES = (0.0, 1e-8, 1e-6, 1e-4, 1e-2)
_DEFAULT_RIDGE = 1e-6


def approximate_reduction(
    model: ModelT,
    x: Float[Tensor, "n inputs"],
    hidden_widths: Sequence[int],
    *,
    ridge_relative: float | None = None,
    num_balance_steps: int = 50,
    held_out_points: Float[Tensor, "held inputs"] | None = None,
    loss: Callable[[Tensor], Tensor] | None = None,
    penalty: float | None = None,
    num_fine_tune_steps: int = 0,
) -> ApproximateReduction[ModelT]:
    """Keep the neurons with the largest ``||w_in|| ||w_out||`` of each hidden layer and refit the next layer.

    For more points than neurons, where exact removal is impossible, or when a width is given. The refit is a
    ridge regression towards the original pre-activations. With at least as many neurons as points and a ridge
    of zero the outputs on the points are kept exactly, but the norm can grow: look at the result.

    Args:
        model: As in `read_model`.
        x: Points, shape ``(n, n_0)``.
        hidden_widths: Neurons to keep in each hidden layer.
        ridge_relative: Ridge, as a share of the largest eigenvalue of the activations' Gram matrix. None:
            with a loss the best of five by the regularised loss, else 1e-6.
        num_balance_steps: Alternations of balance and min-norm solve at the end, which lower the norm at the
            same outputs.
        held_out_points: Points on which the drift is measured.
        loss: Maps the outputs on ``x`` to the unregularised loss.
        penalty: Factor of the squared norm, with a loss.
        num_fine_tune_steps: L-BFGS steps on the regularised loss afterwards; needs a loss.

    Returns:
        The smaller model and its measured errors.

    Raises:
        InputError: If the widths do not fit, the ridge is negative, or fine-tuning comes without a loss.

    Source:
        Magnitude pruning with least-squares refit, textbook.

    Cost:
        One solve of the kept width a layer and ridge; a fine-tune step is one pass over the points.

    Example:
        >>> from localmin.networks import ReLUNetwork
        >>> model = ReLUNetwork([torch.tensor([[3.0], [1.0]]), torch.tensor([[1.0, 1.0]])])
        >>> result = approximate_reduction(model, torch.tensor([[1.0], [2.0]]), [1], ridge_relative=0.0)
        >>> result.widths_after, round(result.output_error_relative, 9)
        ((1, 1, 1), 0.0)
    """
    reading = read_model(model)
    hidden = reading.network.widths[1:-1]
    fits = len(hidden_widths) == len(hidden) and all(
        1 <= new <= old for new, old in zip(hidden_widths, hidden, strict=False)
    )
    if not fits or (ridge_relative is not None and ridge_relative < 0):
        raise InputError(
            f"expected one width from 1 to {list(hidden)} for each hidden layer and a ridge of at least 0, "
            f"got {list(hidden_widths)} and {ridge_relative}"
        )
    if num_fine_tune_steps > 0 and loss is None:
        raise InputError("fine-tuning needs the loss and the penalty that were trained with")
    measurement = Measurement(reading, x, held_out_points, loss, penalty)
    ridges: tuple[float, ...] = (_DEFAULT_RIDGE,) if loss is None else _RIDGES
    if ridge_relative is not None:
        ridges = (ridge_relative,)
    candidates = [_refitted(measurement, hidden_widths, ridge, num_balance_steps) for ridge in ridges]
    values = [measurement.regularized(candidate) for candidate in candidates]
    best = min(range(len(ridges)), key=lambda number: values[number] or 0.0)
    network = candidates[best]
    if loss is not None and penalty is not None and num_fine_tune_steps > 0:
        network = fine_tuned(network, measurement.points, loss, penalty, num_fine_tune_steps)
    settings: dict[str, Any] = {
        "hidden_widths": list(hidden_widths),
        "ridge_relative": ridges[best],
        "num_balance_steps": num_balance_steps,
        "num_fine_tune_steps": num_fine_tune_steps,
    }
    return measurement.result(network, "ridge-refit", settings)


def _refitted(
    measurement: Measurement[ModelT], hidden_widths: Sequence[int], ridge: float, num_balance_steps: int
) -> HomogeneousNetwork:
    network = measurement.original
    targets = network.preactivations(measurement.points)
    incoming = measurement.points
    for layer, width in enumerate(hidden_widths, start=1):
        network = _keep_strongest(network, layer, width)
        incoming = network.activate(
            layer, torch.nn.functional.linear(incoming, network.weights[layer - 1], network.biases[layer - 1])
        )
        refit = _ridge(incoming, targets[layer], network.biases[layer] is not None, ridge)
        network = network.with_layers({layer + 1: refit})
    return settled(balanced(network), measurement.points, num_balance_steps)


def _keep_strongest(network: HomogeneousNetwork, layer: int, width: int) -> HomogeneousNetwork:
    strength = network.incoming_norms_squared(layer).sqrt() * network.weights[layer].norm(dim=0)
    kept = strength.argsort(descending=True, stable=True)[:width].sort().values
    bias = network.biases[layer - 1]
    return network.with_layers(
        {
            layer: (network.weights[layer - 1][kept], None if bias is None else bias[kept]),
            layer + 1: (network.weights[layer][:, kept], network.biases[layer]),
        }
    )


def _ridge(
    features: Tensor, targets: Tensor, with_bias: bool, ridge_relative: float
) -> tuple[Tensor, Tensor | None]:
    augmented = torch.cat([features, features.new_ones(len(features), 1)], dim=1) if with_bias else features
    left, values, right = torch.linalg.svd(augmented, full_matrices=False)
    ridge = ridge_relative * float(values[0]) ** 2
    gains = torch.where(values > 1e-11 * values[0], values / (values.square() + ridge), 0.0)
    solution = right.T @ (gains[:, None] * (left.T @ targets))
    if not with_bias:
        return solution.T.contiguous(), None
    return solution[:-1].T.contiguous(), solution[-1].clone()
