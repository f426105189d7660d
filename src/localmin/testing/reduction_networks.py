"""Random networks and points for the tests of `localmin.reduction`."""

import itertools

import torch
from torch import nn

from localmin.reduction import HomogeneousNetwork

__all__ = ["as_sequential", "random_network", "random_points"]


def random_network(*widths: int, seed: int = 0, bias: bool = True, slope: float = 0.0) -> HomogeneousNetwork:
    """Draw normal weights of variance 1 over the inputs, and biases of variance 1/9.

    Args:
        widths: Layer widths, inputs first.
        seed: Seed of the draw.
        bias: Give every layer a bias.
        slope: Negative slope of all activations.

    Returns:
        Network in float64.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = [
        torch.randn(after, before, generator=generator, dtype=torch.float64) / before**0.5
        for before, after in itertools.pairwise(widths)
    ]
    biases = [torch.randn(width, generator=generator, dtype=torch.float64) / 3 for width in widths[1:]]
    return HomogeneousNetwork(
        tuple(weights), tuple(biases) if bias else (None,) * len(weights), (slope,) * (len(weights) - 1)
    )


def as_sequential(network: HomogeneousNetwork) -> nn.Sequential:
    """Build the module of a network with ReLU or leaky ReLU.

    Args:
        network: Network to copy.

    Returns:
        Linear layers and activations.
    """
    parts: list[nn.Module] = []
    for number, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=torch.float64)
        linear.weight.data = weight.clone()
        if bias is not None:
            linear.bias.data = bias.clone()
        parts.append(linear)
        if number < network.depth - 1:
            slope = network.negative_slopes[number]
            parts.append(nn.ReLU() if slope == 0.0 else nn.LeakyReLU(slope))
    return nn.Sequential(*parts)


def random_points(num_points: int, num_inputs: int, seed: int = 100) -> torch.Tensor:
    """Draw normal points.

    Args:
        num_points: Rows.
        num_inputs: Columns.
        seed: Seed of the draw.

    Returns:
        Shape ``(num_points, num_inputs)``, float64.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_points, num_inputs, generator=generator, dtype=torch.float64)
