"""Small networks trained by gradients, many at once, and brought to exact minima where there are any."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.networks import ReLUNetwork
from localmin.realization import (
    PatternMinimum,
    lift,
    lift_inputs,
    pattern_minimum,
    polish_in_pattern,
    restricted_space_membership,
)

__all__ = ["RegressionData", "certified_minimum", "train_networks"]

_MAX_ROUNDS = 40


@dataclass(frozen=True, eq=False)
class RegressionData:
    """Points in the plane and one target each, ``sin(2 x_1) + |x_2| / 2``.

    Args:
        x: Inputs, shape ``(n, 2)``.
        y: Targets, shape ``(n, 1)``.
    """

    x: Float[Tensor, "n 2"]
    y: Float[Tensor, "n 1"]

    @classmethod
    def draw(cls, num_points: int, generator: torch.Generator) -> "RegressionData":
        """Draw normal points."""
        x = torch.randn(num_points, 2, generator=generator, dtype=torch.float64)
        return cls(x, torch.sin(2 * x[:, :1]) + x[:, 1:].abs() / 2)

    @property
    def lifted(self) -> Float[Tensor, "n 4"]:
        """Inputs ``(x, 1, -1)``."""
        return lift_inputs(self.x)

    def loss(self, outputs: Tensor) -> Tensor:
        """Compute the mean squared residual of outputs."""
        return (outputs - self.y).square().mean()


def train_networks(
    data: RegressionData, *, num_networks: int, width: int, num_steps: int, generator: torch.Generator
) -> list[ReLUNetwork]:
    """Train networks with one hidden layer by Adam, all at once.

    Args:
        data: Points and targets.
        num_networks: Number of random starts.
        width: Hidden neurons.
        num_steps: Steps.
        generator: Source of the starts.

    Returns:
        The networks, with biases, float64.
    """

    def draw(*shape: int) -> Tensor:
        return torch.randn(num_networks, *shape, generator=generator, dtype=torch.float64).requires_grad_()

    first, bias, second = draw(width, 2), draw(width, 1), draw(1, width)
    shift = torch.zeros(num_networks, 1, 1, dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.Adam([first, bias, second, shift], lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for _ in range(num_steps):
        optimizer.zero_grad()
        outputs = second @ torch.relu(first @ data.x.T + bias) + shift
        torch.autograd.backward((outputs - data.y.T).square().mean(dim=(1, 2)).sum())
        optimizer.step()
        schedule.step()
    return [
        ReLUNetwork(
            [first[index].detach(), second[index].detach()],
            [bias[index, :, 0].detach(), shift[index, 0].detach()],
        )
        for index in range(num_networks)
    ]


def certified_minimum(network: ReLUNetwork, data: RegressionData) -> PatternMinimum | None:
    """Bring a trained network into the restricted space and to an exact minimum.

    Args:
        network: With biases.
        data: What it was trained on.

    Returns:
        The minimum over parameters with its radius; None where none was found: minima on a kink of the loss
        have no such certificate.
    """
    polished, is_minimum = polish_in_pattern(lift(network), data.lifted, data.loss, max_rounds=_MAX_ROUNDS)
    if not is_minimum:
        return None
    found = pattern_minimum(_oriented(polished), data.lifted, data.loss)
    is_inside = restricted_space_membership(found.network).is_inside
    return found if is_inside and found.radius > 0 else None


def _oriented(network: ReLUNetwork) -> ReLUNetwork:
    """Shift the last two coordinates of all directions alike, which no input ``(x, 1, -1)`` notices."""
    directions, outputs = (weight.clone() for weight in network.weights)
    smallest = directions[:, -2:].amin(dim=1, keepdim=True)
    floor = 0.1 * directions.abs().amax(dim=1, keepdim=True)
    directions[:, -2:] += (floor - smallest).clamp_min(0)
    return ReLUNetwork([directions, outputs])
