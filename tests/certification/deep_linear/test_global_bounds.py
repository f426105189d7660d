import itertools
import math

import pytest
import torch

from localmin.certification.deep_linear import (
    classify_deep_linear,
    construct_critical_point,
    critical_values,
    global_minimum_loss,
    half_squared_loss,
    optimality_gap,
)
from localmin.errors import InputError, ShapeError

X = torch.eye(2, dtype=torch.float64)
Y = torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))


def test_critical_values_in_closed_form() -> None:
    found = critical_values(X, Y, (2, 2, 2))
    assert [value.loss for value in found] == pytest.approx([0.0, 0.5, 4.5, 5.0])
    assert [value.selected for value in found] == [(1, 2), (1,), (2,), ()]
    assert [value.loss for value in critical_values(X, Y, (2, 1, 2))] == pytest.approx([0.5, 4.5, 5.0])
    assert found[1].to_dict() == {"loss": pytest.approx(0.5), "selected": [1]}


def test_every_critical_value_is_taken_by_a_constructed_point() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    for value in critical_values(x, y, (3, 2, 4, 4)):
        point = construct_critical_point(x, y, (2, 4), selected=value.selected, seed=generator)
        assert half_squared_loss(point.weights, x, y) == pytest.approx(value.loss, rel=1e-10)
        assert classify_deep_linear(point.weights, x, y).selected == value.selected


def test_global_minimum_is_reached_by_descent() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(8, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(8, 3, generator=generator, dtype=torch.float64)
    for width in (1, 2, 3):
        weights = [torch.randn(width, 3, generator=generator, dtype=torch.float64).requires_grad_()]
        weights.append(torch.randn(3, width, generator=generator, dtype=torch.float64).requires_grad_())
        optimizer = torch.optim.LBFGS(
            weights, max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
        )

        def closure(weights: list[torch.Tensor] = weights) -> torch.Tensor:
            loss = 0.5 * (x @ weights[0].T @ weights[1].T - y).square().sum()
            gradients = torch.autograd.grad(loss, weights)
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        assert half_squared_loss(weights, x, y) == pytest.approx(
            global_minimum_loss(x, y, (3, width, 3)), rel=1e-9
        )


def test_gap_bound_holds_and_is_attained() -> None:
    generator = torch.Generator().manual_seed(2)
    for depth, _ in itertools.product((1, 2, 3, 4), range(60)):
        x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
        y = torch.randn(5, 2, generator=generator, dtype=torch.float64)
        if depth == 3:
            x[:, 2] = x[:, 0]
        widths = (3, *(4,) * (depth - 1), 2)
        weights = [
            torch.randn(b, a, generator=generator, dtype=torch.float64) for a, b in itertools.pairwise(widths)
        ]
        gap = half_squared_loss(weights, x, y) - global_minimum_loss(x, y, widths)
        assert gap <= optimality_gap(weights, x, y) * (1 + 1e-9)
    orthogonal = [torch.zeros(2, 2, dtype=torch.float64), 1.7 * torch.eye(2, dtype=torch.float64)]
    assert optimality_gap(orthogonal, X, Y) == pytest.approx(5.0)


def test_gap_bound_is_infinite_where_it_says_nothing() -> None:
    singular = [X, torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64))]
    assert optimality_gap(singular, X, Y) == math.inf
    bottleneck = [torch.ones(1, 2, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)]
    assert optimality_gap(bottleneck, X, Y) == math.inf


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="max_values"):
        critical_values(X, Y, (2, 2, 2), max_values=3)
    with pytest.raises(ShapeError, match="widths"):
        critical_values(X, Y, (3, 2, 2))
    with pytest.raises(InputError, match="not negative"):
        global_minimum_loss(X, Y, (2, -1, 2))
