"""Find inputs at which two deep networks differ: where the neurons that differ are active."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.networks import ReLUNetwork
from localmin.realization.deep_symmetries import match_neurons

__all__ = ["deep_candidates"]

Score = Callable[[Tensor], Tensor]

_NUM_RANDOM = 1024
_MAX_RANDOM = 65_536
_MAX_RANDOM_WORK = 200_000_000
_MAX_UNITS = 48
_STARTS = 8
_NUM_STEPS = 30


def deep_candidates(
    a: ReLUNetwork, b: ReLUNetwork, *, generator: torch.Generator, score: Score
) -> Float[Tensor, "n d"]:
    """List inputs at which two deep networks are most likely to differ.

    Random inputs of several sizes; inputs that switch on, one by one, the neurons without a partner in the
    other network and some others; and ascents of the score from the best of all these.

    Args:
        a: First network, float64, detached.
        b: Second network, same sizes.
        generator: Source of the random points.
        score: What is to be above 1, one number a row, differentiable. The search ends once it is.

    Returns:
        Rows in no particular order.
    """
    first = _random_points(a.widths[0], _NUM_RANDOM, generator)
    if _is_shown(score, first):
        return first
    num_parameters = a.num_parameters + b.num_parameters
    num_more = min(max(_MAX_RANDOM_WORK // max(num_parameters, 1), _NUM_RANDOM), _MAX_RANDOM)
    found = [first, _random_points(a.widths[0], num_more, generator)]
    if _is_shown(score, found[1]):
        return found[1]
    for network, units in zip((a, b), _units_of_interest(a, b, generator), strict=True):
        found += _switch_on(network, units, first)
    points = torch.cat(found)
    best = torch.argsort(score(points).nan_to_num(0.0), descending=True)[:16]
    return torch.cat([points, *_ascend(score, points[best])])


def _random_points(num_inputs: int, count: int, generator: torch.Generator) -> Tensor:
    x = torch.randn(count, num_inputs, generator=generator, dtype=torch.float64)
    powers = 10.0 ** torch.randint(-2, 3, (count, 1), generator=generator).to(torch.float64)
    return torch.cat([x, powers * x, torch.zeros(1, num_inputs, dtype=torch.float64)])


def _is_shown(score: Score, points: Tensor) -> bool:
    return bool((score(points).nan_to_num(0.0, 0.0, 0.0) > 1).any())


def _units_of_interest(
    a: ReLUNetwork, b: ReLUNetwork, generator: torch.Generator
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """List (layer, neuron) of each network: those without a partner first, then random ones."""
    match = match_neurons(a, b)
    chosen = []
    for network, side in ((a, "only_a"), (b, "only_b")):
        lonely = [(layer, unit) for layer, found in enumerate(match.layers) for unit in getattr(found, side)]
        every = [(layer, unit) for layer, width in enumerate(network.widths[1:-1]) for unit in range(width)]
        order = torch.randperm(len(every), generator=generator).tolist()
        others = [every[index] for index in order[:_MAX_UNITS]]
        chosen.append((lonely[: _MAX_UNITS // 2] + others)[:_MAX_UNITS])
    return chosen[0], chosen[1]


def _switch_on(network: ReLUNetwork, units: list[tuple[int, int]], x: Tensor) -> list[Tensor]:
    points = []
    for layer in sorted({layer for layer, _ in units}):
        columns = torch.tensor([unit for other, unit in units if other == layer]).repeat_interleave(_STARTS)
        starts = x[torch.arange(len(columns)) % len(x)]
        points += _ascend(lambda x, k=layer, c=columns: _height(network, k, c, x), starts)  # type: ignore[misc]
    return points


def _height(network: ReLUNetwork, layer: int, columns: Tensor, x: Tensor) -> Tensor:
    """Compute how far a neuron is from being switched off, relative to the input."""
    values = network.preactivations(x)[layer].gather(1, columns[:, None])[:, 0]
    height: Tensor = values / (1 + torch.linalg.vector_norm(x, dim=1))
    return height


def _ascend(score: Score, x: Tensor) -> list[Tensor]:
    seen = []
    for step in range(_NUM_STEPS):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(score(x).sum(), x)
        length = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        reach = torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1
        move = torch.where(length > 0, gradient / length.clamp_min(1e-300), 0.0)
        x = (x + move * reach * 0.5 * 0.9**step).detach()
        seen.append(x)
    return seen
