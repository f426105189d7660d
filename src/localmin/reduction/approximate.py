"""Smaller than exact: keep the strongest neurons, refit, and say how large the error is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.reduction.homogeneous_network import HomogeneousNetwork, ModelT, read_model, read_points
from localmin.reduction.projection import balance

__all__ = ["ApproximateReduction", "approximate_reduction"]


@dataclass(frozen=True)
class ApproximateReduction(Generic[ModelT]):
    """Result of `approximate_reduction`: not exact.

    Attributes:
        network: Model of the kind that was given.
        widths_before: Layer widths before.
        widths_after: Layer widths after.
        norm_before: Squared norm before.
        norm_after: Squared norm after; it can be larger.
        output_error_relative: Root mean square output change on ``x`` over the root mean square output.
        drift_relative: The same on held-out points; None without them.
    """

    network: ModelT
    widths_before: tuple[int, ...]
    widths_after: tuple[int, ...]
    norm_before: float
    norm_after: float
    output_error_relative: float
    drift_relative: float | None


def approximate_reduction(
    model: ModelT,
    x: Float[Tensor, "n inputs"],
    hidden_widths: Sequence[int],
    *,
    ridge_relative: float = 1e-6,
    held_out_points: Float[Tensor, "held inputs"] | None = None,
) -> ApproximateReduction[ModelT]:
    """Keep the neurons with the largest ``||w_in|| ||w_out||`` of each hidden layer and refit the next layer.

    For more points than neurons, where exact removal is impossible. The refit is a ridge regression towards
    the original pre-activations; train on for a few steps afterwards.

    Args:
        model: As in `read_model`.
        x: Points, shape ``(n, n_0)``.
        hidden_widths: Neurons to keep in each hidden layer.
        ridge_relative: Ridge, as a share of the largest eigenvalue of the activations' Gram matrix.
        held_out_points: Points on which the drift is measured.

    Returns:
        The smaller model and its measured errors.

    Raises:
        InputError: If the widths do not fit or the ridge is negative.

    Source:
        Magnitude pruning with least-squares refit, textbook.

    Cost:
        One solve of the kept width a layer.
    """
    reading = read_model(model)
    original, points = reading.network, read_points("x", x, reading)
    hidden = original.widths[1:-1]
    fits = len(hidden_widths) == len(hidden) and all(
        1 <= new <= old for new, old in zip(hidden_widths, hidden, strict=False)
    )
    if not fits or ridge_relative < 0:
        raise InputError(
            f"expected one width from 1 to {list(hidden)} for each hidden layer and a ridge of at least 0, "
            f"got {list(hidden_widths)} and {ridge_relative}"
        )
    network = original
    targets = original.preactivations(points)
    incoming = points
    for layer, width in enumerate(hidden_widths, start=1):
        network = _keep_strongest(network, layer, width)
        incoming = network.activate(
            layer, torch.nn.functional.linear(incoming, network.weights[layer - 1], network.biases[layer - 1])
        )
        refit = _ridge(incoming, targets[layer], network.biases[layer] is not None, ridge_relative)
        network = network.with_layers({layer + 1: refit})
    rebuilt = balance(reading.rebuild(network))
    reduced = read_model(rebuilt).network
    held_out = None if held_out_points is None else read_points("held_out_points", held_out_points, reading)
    return ApproximateReduction(
        rebuilt,
        original.widths,
        reduced.widths,
        original.squared_norm,
        reduced.squared_norm,
        _error(reduced, original, points),
        None if held_out is None else _error(reduced, original, held_out),
    )


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


def _error(network: HomogeneousNetwork, original: HomogeneousNetwork, points: Tensor) -> float:
    reference = original(points)
    return float((network(points) - reference).norm() / reference.norm().clamp(min=1e-300))
