"""Every local minimum is reached with at most N(N+1) neurons a layer; and what that does not say."""

from __future__ import annotations

from typing import Any

import torch

from localmin.charts import Chart, Series
from localmin.experiments.claim import ClaimCheck
from localmin.experiments.regularized_networks.problems import few_digits
from localmin.networks import ReLUNetwork
from localmin.numerics import as_generator
from localmin.reduction import (
    ExactMode,
    bad_minimum_example,
    neuron_bounds,
    reduce,
    train_regularized,
)
from localmin.reduction.model_reading import read_model
from localmin.reduction.neuron_selection import path_network, view_layer
from localmin.reduction.projection import projected
from localmin.reduction.vertex_problem import VertexProblem

__all__ = ["check_sparsity"]

_MODES: tuple[ExactMode, ...] = ("pair", "vertex-c", "vertex-b", "design")
_PENALTY = 1e-3


def check_sparsity(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Reduce networks trained on digits in every mode and compare with the counts of the theorems.

    Args:
        seed: Of the initial weights.
        quick: 10 digits and width 150 instead of 20 digits and width 500.

    Returns:
        The verdict.
    """
    num_points, width = (10, 150) if quick else (20, 500)
    x, labels = few_digits(num_points)
    y = torch.eye(10).double()[labels]
    network, loss = train_regularized(
        x,
        y,
        [width, width],
        _PENALTY,
        seed=seed,
        num_adam_steps=200,
        max_lbfgs_steps=100 if quick else 600,
    )
    rows = [_row(network, mode, x, y) for mode in _MODES]
    limits = neuron_bounds(num_points, 10)
    theorem = {"pair": (limits.pair,) * 2, "vertex-c": (limits.covariance,) * 2}
    sharper = (limits.covariance, limits.next_layer)
    within = all(
        all(
            after <= bound
            for after, bound in zip(row["widths"], theorem.get(row["mode"], sharper), strict=True)
        )
        for row in rows
    )
    same = all(row["max_output_change_relative"] <= 1e-10 for row in rows)
    not_larger = all(row["loss"] <= row["loss_before"] * (1 + 1e-12) for row in rows)
    again = reduce(reduce(network, x, mode="pair").network, x, mode="pair")
    path = _path_spread(network, x)
    bad = _bad_minimum_stays(seed)
    holds = within and same and not_larger and path <= 1e-9 and bad >= -1e-12
    return ClaimCheck(
        claim="l2-sparsity",
        verdict="holds" if holds else "does-not-hold",
        expected="same outputs, no larger loss, at most N(N+1) neurons a layer ('pair'), N(N+1)/2 "
        "('vertex-c'), c N - c(c-1)/2 in the last hidden layer ('vertex-b', 'design')",
        measured={
            "num_points": num_points,
            "width": width,
            "loss": loss,
            "bounds": {"pair": limits.pair, "covariance": limits.covariance, "last_layer": limits.next_layer},
            "widths": {row["mode"]: row["widths"] for row in rows},
            "second_pair_reduction": list(again.widths_after[1:-1]),
            "largest_relative_loss_change_on_the_path": path,
            "smallest_loss_near_the_bad_minimum_above_it": bad,
        },
        tolerance="outputs 1e-10 and loss 1e-12 relative; loss along the path of a 'pair' step 1e-9",
        remark="The claim starts from a minimum and gives a smaller network with the same loss. It does not "
        "say that networks of width N(N+1) have no bad local minima: the example with two points has one at "
        "width 10 (loss 1.19, global 0.38; 6 = N(N+1)), and no random step near it goes lower. Counts from "
        "N(N+1)/2 on are derived here, not the paper's.",
        is_scaled_down=True,
        rows=tuple(rows),
        figures=(_chart(rows, limits.pair),),
    )


def _row(network: ReLUNetwork, mode: ExactMode, x: torch.Tensor, y: torch.Tensor) -> dict[str, Any]:
    result = reduce(
        network, x, mode=mode, loss=lambda out: (out - y).square().sum() / len(y), penalty=_PENALTY
    )
    return {
        "mode": mode,
        "widths": list(result.widths_after[1:-1]),
        "bounds_from_ranks": list(result.bounds),
        "loss_before": result.loss_before,
        "loss": result.loss_after,
        "norm_change_relative": result.norm_after / result.norm_before - 1,
        "max_output_change_relative": result.max_output_change_relative,
        "seconds": result.seconds,
    }


def _path_spread(network: ReLUNetwork, x: torch.Tensor) -> float:
    """Largest relative change of the norm along the path of a 'pair' step; the outputs stay on the way."""
    start, _ = projected(read_model(network).network, x)
    layer = start.depth - 1
    selection = VertexProblem.of(view_layer(start, x, layer), "pair").solve()
    if selection is None:
        return 0.0
    norm, outputs = start.squared_norm, start(x)
    worst = 0.0
    for time in torch.linspace(0, 1, 11).tolist():
        between = path_network(start, x, selection, time)
        worst = max(worst, abs(between.squared_norm / norm - 1))
        worst = max(worst, float((between(x) - outputs).abs().max() / outputs.abs().max()))
    return worst


def _bad_minimum_stays(seed: int) -> float:
    example = bad_minimum_example(10, 0.1)
    generator = as_generator(seed)
    first, second = example.network.weights
    lowest = float("inf")
    for scale in (1e-1, 1e-2, 1e-3):
        for _ in range(100):
            noise = torch.rand(2, 10, generator=generator, dtype=torch.float64) * 2 - 1
            moved = ReLUNetwork(
                [first + scale * first.min() * noise[0, :, None], second + scale * noise[1, None, :]]
            )
            lowest = min(lowest, example.regularized_loss(moved) - example.loss)
    return lowest


def _chart(rows: list[dict[str, Any]], limit: int) -> Chart:
    places = tuple(float(k) for k in range(len(rows)))
    series = [
        Series(
            f"layer {layer + 1}", places, tuple(float(row["widths"][layer]) for row in rows), kind="points"
        )
        for layer in range(2)
    ]
    return Chart(
        "neurons-by-mode",
        "Neurons left by each mode",
        "mode",
        "neurons",
        tuple(series),
        y_log=True,
        categories=tuple(row["mode"] for row in rows),
        note=f"The paper's count is {limit} neurons a layer.",
    )
