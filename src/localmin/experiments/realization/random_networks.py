"""Random networks of the experiments."""

import itertools

import torch

from localmin.networks import ReLUNetwork
from localmin.realization import balance

__all__ = ["perturbed", "random_network", "random_restricted"]


def random_network(generator: torch.Generator, *widths: int) -> ReLUNetwork:
    """Draw a network without biases, normal weights.

    Args:
        generator: Source.
        *widths: Layer widths.

    Returns:
        Float64.
    """
    shapes = [(after, before) for before, after in itertools.pairwise(widths)]
    return ReLUNetwork([torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes])


def random_restricted(generator: torch.Generator, num_inputs: int, num_neurons: int) -> ReLUNetwork:
    """Draw a network of one output in the restricted space.

    Args:
        generator: Source.
        num_inputs: At least 2.
        num_neurons: Width.

    Returns:
        Balanced, the last two coordinates of all directions positive.
    """
    directions = torch.randn(num_neurons, num_inputs, generator=generator, dtype=torch.float64)
    directions[:, -2:] = directions[:, -2:].abs() + 1e-3
    outputs = torch.randn(1, num_neurons, generator=generator, dtype=torch.float64)
    return balance(ReLUNetwork([directions, outputs]))


def perturbed(network: ReLUNetwork, generator: torch.Generator, *, is_new: bool) -> ReLUNetwork:
    """Change the outputs of a restricted network a little.

    Args:
        network: In the restricted space.
        generator: Source.
        is_new: Replace one neuron by a light one of another direction too.

    Returns:
        Another network in the restricted space.
    """
    directions, outputs = (weight.clone() for weight in network.weights)
    size = 10.0 ** (-4 * float(torch.rand(1, generator=generator)))
    outputs += size * torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
    if is_new:
        other = random_restricted(generator, directions.shape[1], 1)
        directions[0], outputs[:, 0] = other.weights[0][0], size * other.weights[1][:, 0]
    return balance(ReLUNetwork([directions, outputs]))
