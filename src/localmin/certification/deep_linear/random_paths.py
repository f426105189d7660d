"""The random-path model whose mean is a deep linear network; it is not a ReLU network."""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.certification.deep_linear.data import read_problem
from localmin.errors import InputError
from localmin.numerics import as_generator

__all__ = ["RandomPathMean", "random_path_mean"]

_MAX_PATHS = 10_000


@dataclass(frozen=True, eq=False)
class RandomPathMean:
    """Monte Carlo mean of the outputs of the random-path model.

    Args:
        mean: Mean over the draws, shape ``(n, d_N)``.
        standard_error: Its standard error, same shape.
        expected: Output of the deep linear network, same shape.
    """

    mean: Float[Tensor, "n outputs"]
    standard_error: Float[Tensor, "n outputs"]
    expected: Float[Tensor, "n outputs"]

    @property
    def largest_deviation(self) -> float:
        """Largest ``|mean - expected|`` in standard errors."""
        return float(((self.mean - self.expected).abs() / self.standard_error).max())


def random_path_mean(
    weights: Sequence[Float[Tensor, "_ _"]],
    x: Float[Tensor, "n inputs"],
    *,
    probability: float,
    num_draws: int,
    seed: int | torch.Generator = 0,
) -> RandomPathMean:
    """Average ``q Σ_path x Z_path Π w`` over Bernoulli variables ``Z``, with ``q = 1 / probability``.

    Every path from an input to an output is open or closed at random, independently of the input and the
    weights. A real ReLU network opens paths as a function of both, so what follows for this model says
    nothing about it.

    Args:
        weights: ``W_1, ..., W_N``; at most 10,000 paths.
        x: Inputs, shape ``(n, d_0)``.
        probability: Probability that a path is open, above 0 and below 1.
        num_draws: Independent draws of all paths for all examples, at least 2.
        seed: Integer or CPU generator.

    Returns:
        Mean, standard error and the exact expectation.

    Raises:
        InputError: If an option is out of range, or there are too many paths.
        ShapeError: If shapes do not chain.

    Source:
        Kawaguchi 2016, Corollary 3.2 and its assumptions of independence.

    Cost:
        ``num_draws * n * number of paths`` random numbers.
    """
    if not 0.0 < probability < 1.0 or num_draws < 2:
        raise InputError(
            f"expected probability between 0 and 1 and num_draws >= 2, got {probability} and {num_draws}"
        )
    widths = [weights[0].shape[1], *(weight.shape[0] for weight in weights)]
    checked, inputs, _ = read_problem(weights, x, x.new_zeros(len(x), widths[-1]))
    if math.prod(widths) > _MAX_PATHS:
        raise InputError(f"expected at most {_MAX_PATHS} paths, got {math.prod(widths)}; take smaller widths")
    generator = as_generator(seed)
    paths = list(itertools.product(*(range(width) for width in widths)))
    strengths = torch.stack(
        [
            torch.stack([w[b, a] for w, a, b in zip(checked, path, path[1:], strict=False)]).prod()
            for path in paths
        ]
    )
    signals = inputs[:, [path[0] for path in paths]] * strengths / probability
    ends = torch.nn.functional.one_hot(torch.tensor([path[-1] for path in paths]), widths[-1]).to(inputs)
    total = inputs.new_zeros(len(inputs), widths[-1])
    squares = torch.zeros_like(total)
    for _ in range(num_draws):
        is_open = torch.rand(signals.shape, generator=generator, dtype=torch.float64).to(inputs) < probability
        outputs = (signals * is_open) @ ends
        total += outputs
        squares += outputs.square()
    mean = total / num_draws
    variance = (squares / num_draws - mean.square()).clamp(min=0.0) * num_draws / (num_draws - 1)
    expected = inputs @ functools.reduce(lambda product, weight: weight @ product, checked).mT
    return RandomPathMean(mean, (variance / num_draws).sqrt(), expected)
