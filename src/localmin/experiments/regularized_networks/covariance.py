"""For homogeneous activations the loss can be written in covariances, convex in each block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from localmin.experiments.claim import ClaimCheck
from localmin.experiments.regularized_networks.problems import random_network, random_points
from localmin.reduction import HomogeneousNetwork, representations

__all__ = ["check_covariance"]

_TIMES = (0.1, 0.25, 0.5, 0.75, 0.9)


def check_covariance(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Check equality, convexity in each block, joint convexity for two layers and its failure for three.

    A block is the pair of covariances of one hidden layer; two networks that share all other layers' values
    give two points of it, and the segment between them stays in the cone (sums of the same neurons).

    Args:
        seed: Of networks and points.
        quick: 10 segments of each kind instead of 200.

    Returns:
        The verdict.
    """
    count = 10 if quick else 200
    equality = max(_equality(seed + k) for k in range(count))
    block = [_block_gap(seed + k) for k in range(count)]
    joint = [_joint_gap(seed + k) for k in range(count)]
    three = _three_layer_gap()
    rows: list[dict[str, Any]] = [
        {"segments": "one block, three layers", "count": count, "smallest_gap": min(block)},
        {"segments": "all blocks, two layers", "count": count, "smallest_gap": min(joint)},
        {"segments": "both hidden blocks, three layers, by hand", "count": 1, "smallest_gap": three},
    ]
    holds = equality <= 1e-7 and min(block) >= -1e-9 and min(joint) >= -1e-9 and three < -1e-2
    return ClaimCheck(
        claim="l2-covariance",
        verdict="holds" if holds else "does-not-hold",
        expected="same loss in covariances; chord above curve for one block at a time and for two layers "
        "jointly; chord below curve somewhere for two hidden blocks at once",
        measured={
            "largest_relative_difference": equality,
            "smallest_relative_gap_one_block": min(block),
            "smallest_relative_gap_two_layers": min(joint),
            "gap_of_the_three_layer_example": three,
        },
        tolerance="1e-7 relative for the equality (Gram matrices square condition numbers), -1e-9 for chords",
        remark="Gap: chord minus curve over the chord, smallest of five places. Partial convexity does not "
        "make local minima global; only with two layers and a convex loss the whole problem is convex.",
        rows=tuple(rows),
    )


def _equality(seed: int) -> float:
    network = random_network((5, 12, 11, 3), seed, bias=seed % 2 == 0, slope=0.2 * (seed % 3))
    found = representations(network, random_points(5, 5, seed + 1))
    return abs(found.covariance_norm / found.representation_norm - 1)


def _block_gap(seed: int) -> float:
    # The first hidden layer varies; the inputs, and the values above that read it, stay.
    points = random_points(5, 5, seed)
    first, second = (random_network((5, 12, 4), seed + k, slope=0.0) for k in (1, 2))
    above = first(points)

    def value(gram: Tensor, features: Tensor) -> Tensor:
        inputs = torch.cat([points, torch.ones(len(points), 1).double()], dim=1)
        into = (gram * torch.linalg.pinv(inputs @ inputs.T)).sum()
        total: Tensor = into + (above * (torch.linalg.pinv(features) @ above)).sum()
        return total

    ends = [_pair(network, points) for network in (first, second)]
    return _gap([value(*end) for end in ends], [value(*_between(ends, t)) for t in _TIMES])


def _joint_gap(seed: int) -> float:
    # Two layers: covariances of the hidden layer and outputs move together.
    points = random_points(5, 5, seed)
    targets = random_points(5, 4, seed + 9)
    networks = [random_network((5, 12, 4), seed + k) for k in (1, 2)]

    def value(gram: Tensor, features: Tensor, outputs: Tensor) -> Tensor:
        inputs = torch.cat([points, torch.ones(len(points), 1).double()], dim=1)
        into = (gram * torch.linalg.pinv(inputs @ inputs.T)).sum()
        out_of = (outputs * (torch.linalg.pinv(features) @ outputs)).sum()
        total: Tensor = (outputs - targets).square().sum() + 0.1 * (into + out_of)
        return total

    ends = [(*_pair(network, points), network(points)) for network in networks]
    return _gap([value(*end) for end in ends], [value(*_between(ends, t)) for t in _TIMES])


def _three_layer_gap() -> float:
    # One point, one neuron a layer: the coupling of two hidden blocks is K_2 / K_1.
    ends = [(1.0, 1.0), (2.0, 3.0)]
    middle = (1.5, 2.0)
    chord = sum(second / first for first, second in ends) / 2
    return (chord - middle[1] / middle[0]) / chord


def _pair(network: HomogeneousNetwork, points: Tensor) -> tuple[Tensor, Tensor]:
    layer = representations(network, points).layers[1]
    return layer.gram, layer.feature_gram


def _between(ends: Sequence[tuple[Tensor, ...]], time: float) -> tuple[Tensor, ...]:
    return tuple((1 - time) * a + time * b for a, b in zip(*ends, strict=True))


def _gap(ends: list[Tensor], inside: list[Tensor]) -> float:
    gaps = []
    for time, value in zip(_TIMES, inside, strict=True):
        chord = (1 - time) * float(ends[0]) + time * float(ends[1])
        gaps.append((chord - float(value)) / chord)
    return min(gaps)
