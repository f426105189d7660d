"""re-convex: losses are convex in the function, although the set of functions is not."""

import math

import torch
from torch import Tensor

from localmin.charts import Chart, Series
from localmin.experiments.claim import Claim, ClaimCheck
from localmin.experiments.realization.random_networks import random_network
from localmin.networks import ReLUNetwork
from localmin.numerics import as_generator
from localmin.realization import invariants

__all__ = ["CLAIM"]

_NUM_SHARES = 21


def check(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Follow losses along function segments and parameter segments; find a midpoint outside the set.

    Args:
        seed: Of networks and data.
        quick: A tenth of the pairs.

    Returns:
        Largest negative second difference along function segments, relative to the loss; the share of
        parameter segments with one; kinks of a midpoint of two functions of one neuron.
    """
    generator = as_generator(seed)
    worst, num_pairs, num_bent = -math.inf, 20 if quick else 200, 0
    shares = torch.linspace(0, 1, _NUM_SHARES, dtype=torch.float64)
    shown: tuple[Tensor, Tensor] | None = None
    for _ in range(num_pairs):
        x = torch.randn(30, 3, generator=generator, dtype=torch.float64)
        labels = torch.arange(30) % 4
        ends = [random_network(generator, 3, 6, 4) for _ in range(2)]
        y = torch.randn(30, 4, generator=generator, dtype=torch.float64)
        by_function = _along_functions(ends, shares, x)
        entropy = torch.stack([torch.nn.functional.cross_entropy(rows, labels) for rows in by_function])
        for losses in (_squared(by_function, y), entropy):
            worst = max(worst, float((-_bends(losses) / losses.max()).max()))
        # The same function twice, with its neurons in another order: nothing could be closer.
        copies = [ends[0], _permuted(ends[0], generator)]
        y = ends[0](x) + y / 10
        pair = (
            _squared(_along_functions(copies, shares, x), y),
            _squared(_along_parameters(copies, shares, x), y),
        )
        if bool((_bends(pair[1]) < -1e-6 * pair[1].max()).any()):
            num_bent += 1
            shown = shown or pair
    num_kinks = _kinks_of_midpoint()
    holds = worst <= 1e-12 and num_kinks > 1 and num_bent > 0
    figures = () if shown is None else (_chart(shares, *shown),)
    return ClaimCheck(
        "re-convex",
        "holds" if holds else "does-not-hold",
        "no negative second difference of squared error and cross-entropy along function segments; the "
        "midpoint of two functions of one neuron has two kinks, so one neuron cannot be it",
        {
            "largest_negative_bend_relative": max(worst, 0.0),
            "share_of_parameter_segments_bent": num_bent / num_pairs,
            "kinks_of_midpoint": num_kinks,
            "num_pairs": num_pairs,
        },
        "1e-12 of the loss: rounding of a second difference",
        "segments between random networks; convexity itself is elementary",
        figures=figures,
    )


def _along_functions(ends: list[ReLUNetwork], shares: Tensor, x: Tensor) -> Tensor:
    first, second = (net(x) for net in ends)
    return torch.stack([(1 - t) * first + t * second for t in shares])


def _along_parameters(ends: list[ReLUNetwork], shares: Tensor, x: Tensor) -> Tensor:
    first, second = (net.parameter_vector() for net in ends)
    return torch.stack([ends[0].with_parameter_vector((1 - t) * first + t * second)(x) for t in shares])


def _permuted(network: ReLUNetwork, generator: torch.Generator) -> ReLUNetwork:
    order = torch.randperm(network.widths[1], generator=generator)
    return ReLUNetwork([network.weights[0][order], network.weights[1][:, order]])


def _squared(outputs: Tensor, y: Tensor) -> Tensor:
    return (outputs - y).square().mean(dim=(1, 2))


def _bends(losses: Tensor) -> Tensor:
    return losses[:-2] + losses[2:] - 2 * losses[1:-1]


def _kinks_of_midpoint() -> int:
    halves = torch.eye(2, dtype=torch.float64), torch.full((1, 2), 0.5, dtype=torch.float64)
    return invariants(ReLUNetwork(halves)).num_kinks


def _chart(shares: Tensor, by_function: Tensor, by_parameters: Tensor) -> Chart:
    x = tuple(shares.tolist())
    return Chart(
        "re-convex-segments",
        "Squared error between two orders of one network's neurons",
        "share of the second order",
        "mean squared error",
        (
            Series("mixing functions", x, tuple(by_function.tolist()), emphasis="accent"),
            Series("mixing parameters", x, tuple(by_parameters.tolist()), emphasis="muted"),
        ),
        note="Both ends are the same function, so mixing functions changes nothing; mixing parameters does.",
    )


CLAIM = Claim(
    "re-convex",
    "Squared error and cross-entropy are convex in the function, although the set of functions that networks "
    "of one size realise is not convex.",
    check,
)
