"""Each representation solves an attraction and repulsion problem, and interpolates from input to output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from localmin.charts import Chart, Series
from localmin.experiments.claim import ClaimCheck
from localmin.experiments.regularized_networks.problems import few_digits, random_network, random_points
from localmin.networks import ReLUNetwork
from localmin.reduction import (
    attraction_repulsion,
    layer_pictures,
    minimal_linear_network,
    representations,
    train_regularized,
)

__all__ = ["check_attraction_repulsion"]

_BALANCE_RELATIVE = 1e-10


def check_attraction_repulsion(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Check the balance of forces where it can be exact, and look at trained networks on digits.

    Exact: minimal linear networks of depth 2 to 6, whose layers have kernels ``S^{2l/L}``. Trained: three
    digits, 42 points, two hidden layers of 50, as in the paper's first figure, with 8 x 8 images.

    Args:
        seed: Of data and networks.
        quick: Fewer depths and a shorter training.

    Returns:
        The verdict.
    """
    depths = (2, 3) if quick else (2, 3, 4, 5, 6)
    rows = [_linear_row(depth, seed) for depth in depths]
    elsewhere = _imbalance(*_random_case(seed))
    x, labels = few_digits(42, (7, 8, 9))
    targets = torch.eye(3).double()[labels]
    steps = (300, 100) if quick else (1000, 1000)
    network, _ = train_regularized(
        x, targets, [50, 50], 1e-3, seed=seed, num_adam_steps=steps[0], max_lbfgs_steps=steps[1]
    )
    alignment = _alignment(network, x)
    towards_output = all(a < b for a, b in zip(alignment["output"], alignment["output"][1:], strict=False))
    from_input = all(a > b for a, b in zip(alignment["input"], alignment["input"][1:], strict=False))
    balanced = max(row["imbalance_relative"] for row in rows)
    kernels = max(row["kernel_error_relative"] for row in rows)
    exact = balanced <= _BALANCE_RELATIVE and kernels <= 1e-9 and elsewhere > 1e-2
    return ClaimCheck(
        claim="l2-attraction-repulsion",
        verdict="holds"
        if exact and towards_output and from_input
        else "partly"
        if exact
        else "does-not-hold",
        expected="attraction and repulsion cancel at minima and not elsewhere; kernels interpolate between "
        "inputs and outputs; ranks and effective dimensions fall to what the output needs",
        measured={
            "largest_imbalance_at_linear_minima": balanced,
            "largest_kernel_error_at_linear_minima": kernels,
            "imbalance_of_a_random_network": elsewhere,
            "trained_alignment_with_input": alignment["input"],
            "trained_alignment_with_output": alignment["output"],
            "trained_effective_dimension": alignment["dimension"],
        },
        tolerance="1e-10 relative for forces, 1e-9 for kernels, in float64; monotone for the trained network",
        remark="At minima of ReLU networks many pre-activations sit on the kink, where a gradient is one of "
        "many: the cancellation is exact, and checked, for linear networks. The digits are 8 x 8, not MNIST.",
        rows=tuple(rows),
        figures=(*layer_pictures(network, x, 1, labels=labels), _alignment_chart(alignment)),
    )


def _linear_row(depth: int, seed: int) -> dict[str, Any]:
    x = random_points(9, 6, seed)
    y = x @ random_points(6, 6, seed + 1)
    network = minimal_linear_network(x, y, depth)
    layers = representations(network, x).layers
    worst, kernel_error = _imbalance(network, x), 0.0
    product = (torch.linalg.pinv(x) @ y).T
    _, values, right = torch.linalg.svd(product)
    for level in range(1, depth):
        expected = x @ right.T @ torch.diag(values ** (2 * level / depth)) @ right @ x.T
        error = float((layers[level].gram - expected).norm() / expected.norm())
        kernel_error = max(kernel_error, error)
    return {
        "case": f"linear, depth {depth}",
        "imbalance_relative": worst,
        "kernel_error_relative": kernel_error,
        "norm": float(network.squared_norm),
        "norm_closed_form": depth * float((values ** (2 / depth)).sum()),
    }


def _random_case(seed: int) -> tuple[Any, Tensor]:
    return random_network((6, 12, 3), seed), random_points(5, 6, seed + 1)


def _imbalance(network: Any, x: Tensor) -> float:
    # Only what lies in the span of the features below can be changed by the weights.
    layers = representations(network, x).layers
    worst = 0.0
    for forces in attraction_repulsion(network, x):
        below = layers[forces.layer - 1].features
        span = below @ torch.linalg.pinv(below, rtol=1e-11)
        total = span @ (forces.attraction + forces.repulsion)
        worst = max(worst, float(total.norm() / forces.attraction.norm()))
    return worst


def _alignment(network: ReLUNetwork, x: Tensor) -> dict[str, list[float]]:
    layers = representations(network, x).layers
    grams = [_centred(layer.gram) for layer in layers]
    dimension = [float(gram.trace() ** 2 / gram.square().sum()) for gram in grams]
    return {
        "input": [_cosine(gram, grams[0]) for gram in grams],
        "output": [_cosine(gram, grams[-1]) for gram in grams],
        "dimension": dimension,
    }


def _centred(gram: Tensor) -> Tensor:
    shifted = gram - gram.mean(dim=0, keepdim=True)
    centred: Tensor = shifted - shifted.mean(dim=1, keepdim=True)
    return centred


def _cosine(first: Tensor, second: Tensor) -> float:
    return float((first * second).sum() / (first.norm() * second.norm()))


def _alignment_chart(alignment: dict[str, list[float]]) -> Chart:
    layers = tuple(float(level) for level in range(len(alignment["input"])))
    return Chart(
        "alignment",
        "Kernels from input to output, trained on digits 7, 8, 9",
        "layer",
        "alignment of centred kernels",
        (
            Series("with the input", layers, tuple(alignment["input"]), emphasis="muted"),
            Series("with the output", layers, tuple(alignment["output"]), emphasis="accent"),
        ),
        note="Each layer's kernel looks less like the inputs and more like the outputs.",
    )
