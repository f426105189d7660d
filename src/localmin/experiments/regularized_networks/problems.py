"""The data and networks that several of these experiments use."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from localmin.numerics import as_generator
from localmin.reduction import HomogeneousNetwork

__all__ = ["few_digits", "random_network", "random_points"]


def random_network(
    widths: Sequence[int], seed: int, *, bias: bool = True, slope: float = 0.0
) -> HomogeneousNetwork:
    """Draw normal weights of variance 1 over the inputs of a layer, and biases of variance 1/9.

    Args:
        widths: Layer widths, inputs first.
        seed: Of the draw.
        bias: Give every layer a bias.
        slope: Negative slope of all activations; 1 makes the network linear.

    Returns:
        Network in float64.
    """
    generator = as_generator(seed)
    weights = [
        torch.randn(after, before, generator=generator, dtype=torch.float64) / before**0.5
        for before, after in pairwise(widths)
    ]
    biases = [torch.randn(width, generator=generator, dtype=torch.float64) / 3 for width in widths[1:]]
    return HomogeneousNetwork(
        tuple(weights), tuple(biases) if bias else (None,) * len(weights), (slope,) * (len(weights) - 1)
    )


def random_points(num_points: int, num_inputs: int, seed: int) -> Tensor:
    """Draw standard normal points, one a row, float64."""
    return torch.randn(num_points, num_inputs, generator=as_generator(seed), dtype=torch.float64)


def few_digits(num_points: int, classes: Sequence[int] = tuple(range(10))) -> tuple[Tensor, Tensor]:
    """Take the first images of each class of the bundled digits.

    Args:
        num_points: Images together, a multiple of the number of classes.
        classes: Digits to take.

    Returns:
        Pixels from 0 to 1, shape ``(n, 64)``, and labels ``0, 1, ...`` in the order of ``classes``.
    """
    data = load_digits()
    inputs, digits = torch.tensor(data.data / 16.0), torch.tensor(data.target)
    each = num_points // len(classes)
    chosen = [torch.nonzero(digits == digit).flatten()[:each] for digit in classes]
    labels = torch.repeat_interleave(torch.arange(len(classes)), torch.tensor([len(part) for part in chosen]))
    return inputs[torch.cat(chosen)], labels
