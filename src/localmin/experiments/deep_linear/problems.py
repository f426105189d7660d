"""Random problems, and critical points of known kind, for the experiments on deep linear networks."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from localmin.certification import ConstructedPoint, construct_critical_point
from localmin.certification.deep_linear import half_squared_loss
from localmin.networks import DeepLinear
from localmin.objective import HessianOperator, Objective

__all__ = ["dense_hessian", "diagonal_problem", "escapes_to", "normal", "random_constructed_point"]


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw independent standard normal numbers, float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def diagonal_problem(*values: float) -> tuple[Tensor, Tensor]:
    """Give the problem without structure in the inputs whose singular values are as given."""
    return torch.eye(len(values), dtype=torch.float64), torch.diag(torch.tensor(values, dtype=torch.float64))


def random_constructed_point(generator: torch.Generator) -> tuple[ConstructedPoint, Tensor, Tensor]:
    """Draw data and a critical point of known kind: depth 2 to 5, all widths 1 to 5.

    Outputs may outnumber inputs and examples be fewer than inputs; every second problem has inputs of
    deficient rank, targets of deficient rank, or repeated singular values.

    Args:
        generator: Source of everything.

    Returns:
        The point, its inputs and its targets.
    """

    def integer(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    num_inputs, num_outputs = integer(1, 5), integer(1, 5)
    num_examples = integer(max(1, num_inputs - 1), 8)
    x, y = normal(generator, num_examples, num_inputs), normal(generator, num_examples, num_outputs)
    kind = integer(0, 5)
    if kind == 0:
        x[:, -1] = x[:, 0]
    elif kind == 1:
        y[:, -1] = y[:, 0]
    elif kind == 2:
        size = min(num_examples, num_inputs)
        x = torch.zeros(num_examples, num_inputs, dtype=torch.float64)
        x[:, :size] = torch.linalg.qr(normal(generator, num_examples, size))[0]
        values = torch.tensor([2.0, 2.0, 1.0, 1.0, 1.0], dtype=torch.float64)[: min(size, num_outputs)]
        rotation = torch.linalg.qr(normal(generator, num_outputs, num_outputs))[0]
        y = x[:, : len(values)] * values @ rotation[: len(values)]
    hidden = [integer(1, 5) for _ in range(integer(1, 4))]
    return construct_critical_point(x, y, hidden, seed=generator), x, y


def dense_hessian(weights: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Differentiate half the sum of squares twice, automatically; knows nothing of linear networks."""
    objective = Objective(DeepLinear(weights).to_module(), F.mse_loss, (x, y))
    # From the mean over all entries to half their sum.
    return HessianOperator(objective).dense() * (0.5 * y.numel())


def escapes_to(weights: tuple[Tensor, ...], direction: tuple[Tensor, ...], x: Tensor, y: Tensor) -> float:
    """Find the lowest loss along both rays of a direction, on steps that are powers of two.

    Args:
        weights: The point.
        direction: Of the shapes of the weights.
        x: Inputs.
        y: Targets.

    Returns:
        The lowest loss, which may be that of the point.
    """
    losses = [half_squared_loss(weights, x, y)]
    for exponent in range(30):
        for step in (2.0**-exponent, -(2.0**-exponent)):
            moved = [weight + step * part for weight, part in zip(weights, direction, strict=True)]
            losses.append(half_squared_loss(moved, x, y))
    return min(losses)
