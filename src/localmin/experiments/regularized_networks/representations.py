"""The loss can be written in the layers' representations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from localmin.experiments.claim import ClaimCheck
from localmin.experiments.regularized_networks.problems import random_network, random_points
from localmin.reduction import project, representations

__all__ = ["check_representations"]

_SHAPES = ((5, 12, 3), (7, 12, 11, 3), (4, 9, 8, 7, 2))
_PENALTY = 0.1
_TOLERANCE_RELATIVE = 1e-9


def check_representations(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Check that both forms of the loss agree at projected weights and the new one is nowhere above.

    Random networks with and without bias, slopes 0 (ReLU), 0.2 and 1 (linear), more and fewer points than
    neurons.

    Args:
        seed: Of networks and points.
        quick: One draw each instead of ten.

    Returns:
        The verdict.
    """
    rows: list[dict[str, Any]] = []
    for widths in _SHAPES:
        for bias in (True, False):
            for slope in (0.0, 0.2, 1.0):
                for draw in range(1 if quick else 10):
                    for num_points in (4, 15):
                        rows.append(_row(widths, bias, slope, num_points, seed + 1000 * draw))
    worst = max(row["difference_at_projected_weights"] for row in rows)
    lowest = min(row["excess_of_weights"] for row in rows)
    beyond = min(row["rise_after_adding_what_no_point_sees"] for row in rows if row["has_room"])
    holds = worst <= _TOLERANCE_RELATIVE and lowest >= -1e-12 and beyond > 0
    return ClaimCheck(
        claim="l2-representations",
        verdict="holds" if holds else "does-not-hold",
        expected="C + penalty sum ||Z_l (Z_{l-1}^s)^+||^2 equals the loss at weights without a part that "
        "acts on no point, and is below it otherwise",
        measured={
            "num_networks": len(rows),
            "largest_relative_difference_at_projected_weights": worst,
            "smallest_relative_excess_of_the_weights": lowest,
            "smallest_relative_rise_off_the_projection": beyond,
        },
        tolerance="1e-9 relative at projected weights (float64), -1e-12 for the inequality",
        remark="That local minima of both forms correspond is proved, not measured: the pseudo-inverse jumps "
        "where a rank changes, so the new form cannot be searched naively.",
        rows=tuple(rows),
    )


def _row(widths: tuple[int, ...], bias: bool, slope: float, num_points: int, seed: int) -> dict[str, Any]:
    network = random_network(widths, seed, bias=bias, slope=slope)
    points = random_points(num_points, widths[0], seed + 1)
    targets = random_points(num_points, widths[-1], seed + 2)

    def loss(outputs: Tensor) -> Tensor:
        return (outputs - targets).square().mean()

    loose = representations(network, points)
    in_weights, in_representations, _ = loose.losses(loss, _PENALTY)
    projected = project(network, points).network
    tight_weights, tight_representations, _ = representations(projected, points).losses(loss, _PENALTY)
    # A direction of the inputs that no point has: adding it to the first layer changes no output.
    augmented = torch.cat([points, torch.ones(num_points, 1).double()], dim=1) if bias else points
    _, values, right = torch.linalg.svd(augmented, full_matrices=True)
    rank = int((values > 1e-11 * values[0]).sum())
    has_room, rise = rank < augmented.shape[1], 0.0
    if has_room:
        unseen = right[-1]
        weight, first_bias = projected.weights[0], projected.biases[0]
        moved = projected.with_layers(
            {
                1: (
                    weight + 0.1 * unseen[: widths[0]],
                    None if first_bias is None else first_bias + 0.1 * unseen[-1],
                )
            }
        )
        rise = representations(moved, points).losses(loss, _PENALTY)[0] / tight_weights - 1
    return {
        "widths": "-".join(map(str, widths)),
        "bias": bias,
        "slope": slope,
        "num_points": num_points,
        "excess_of_weights": (in_weights - in_representations) / in_weights,
        "difference_at_projected_weights": abs(tight_weights - tight_representations) / tight_weights,
        "has_room": has_room,
        "rise_after_adding_what_no_point_sees": rise,
    }
