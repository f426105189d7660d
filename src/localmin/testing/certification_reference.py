"""Slow, obvious references for the tests of `localmin.certification`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from localmin.certification import ConstructedPoint, construct_critical_point
from localmin.numerics import flatten_tensors, split_vector

__all__ = ["dense_deep_linear_hessian", "random_constructed_point"]


def dense_deep_linear_hessian(weights: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Differentiate half the sum of squares twice, automatically, as a function of all entries.

    Args:
        weights: ``W_1, ..., W_N``, float64.
        x: Inputs, shape ``(n, d_0)``.
        y: Targets, shape ``(n, d_N)``.

    Returns:
        The Hessian in the order of the flattened weights.
    """
    shapes = [tuple(weight.shape) for weight in weights]

    def loss(vector: Tensor) -> Tensor:
        outputs = x
        for weight in split_vector(vector, shapes):
            outputs = outputs @ weight.mT
        return 0.5 * (outputs - y).square().sum()

    hessian = torch.autograd.functional.hessian(loss, flatten_tensors(weights))  # type: ignore[no-untyped-call]
    return torch.as_tensor(hessian)


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

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    num_inputs, num_outputs = integer(1, 5), integer(1, 5)
    num_examples = integer(max(1, num_inputs - 1), 8)
    x, y = normal(num_examples, num_inputs), normal(num_examples, num_outputs)
    kind = integer(0, 5)
    if kind == 0:
        x[:, -1] = x[:, 0]
    elif kind == 1:
        y[:, -1] = y[:, 0]
    elif kind == 2:
        size = min(num_examples, num_inputs)
        x = torch.zeros(num_examples, num_inputs, dtype=torch.float64)
        x[:, :size] = torch.linalg.qr(normal(num_examples, size))[0]
        values = torch.tensor([2.0, 2.0, 1.0, 1.0, 1.0], dtype=torch.float64)[: min(size, num_outputs)]
        rotation = torch.linalg.qr(normal(num_outputs, num_outputs))[0]
        y = x[:, : len(values)] * values @ rotation[: len(values)]
    hidden = [integer(1, 5) for _ in range(integer(1, 4))]
    return construct_critical_point(x, y, hidden, seed=generator), x, y
