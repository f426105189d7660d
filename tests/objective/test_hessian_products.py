import pytest
import torch
from torch import Tensor

from localmin.objective import hessian_products
from localmin.objective.gradient_graphs import GradientGraph, build_gradient_graph
from localmin.objective.hessian_products import products_by_differences, products_of_graphs

MATRIX = torch.tensor([[2.0, -3.0, 0.5], [-3.0, 1.0, 4.0], [0.5, 4.0, -1.0]], dtype=torch.float64)


def quadratic_graph(scale: float, first: Tensor, second: Tensor) -> GradientGraph:
    theta = torch.cat([first, second])
    return build_gradient_graph(scale * 0.5 * theta @ MATRIX @ theta, [first, second])


@pytest.mark.parametrize("limit", [1, 10**9])
def test_rows_are_multiplied_together_or_one_by_one_with_the_same_result(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hessian_products, "_CPU_BLOCK_BYTES", limit)
    first = torch.ones(1, dtype=torch.float64, requires_grad=True)
    second = torch.ones(2, dtype=torch.float64, requires_grad=True)
    graphs = [quadratic_graph(scale, first, second) for scale in (1.0, 2.0)]
    rows = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(products_of_graphs(graphs, rows), 3.0 * rows @ MATRIX)
    torch.testing.assert_close(products_of_graphs(graphs, rows[0]), 3.0 * MATRIX @ rows[0])
    assert products_of_graphs(graphs, rows[:0]).shape == (0, 3)
    assert products_of_graphs(graphs, rows[:1]).shape == (1, 3)


class Branching(torch.autograd.Function):
    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        x: Tensor = context.saved_tensors[0]  # type: ignore[attr-defined]
        if gradient.abs().max().item() == 0.0:
            return torch.zeros_like(x)
        return 2.0 * x * gradient


def test_rows_fall_back_to_one_by_one_when_an_operation_looks_at_values() -> None:
    parameter = torch.tensor([2.0, -1.0], dtype=torch.float64, requires_grad=True)
    square: Tensor = Branching.apply(parameter)  # type: ignore[no-untyped-call]
    graph = build_gradient_graph(square.square().sum(), [parameter])
    rows = torch.tensor([[1.0, 0.0], [2.0, 5.0]], dtype=torch.float64)
    expected = rows * 12.0 * torch.tensor([4.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(products_of_graphs([graph], rows), expected)


@pytest.mark.parametrize("length", [1e-8, 1.0, 1e6])
def test_differences_are_exact_for_a_quadratic_whatever_the_length_of_the_vector(length: float) -> None:
    vector = length * torch.tensor([1.0, -2.0, 0.3], dtype=torch.float64)
    point = torch.tensor([10.0, 0.0, -3.0], dtype=torch.float64)
    product = products_by_differences(lambda theta: MATRIX @ theta, point, vector)
    torch.testing.assert_close(product, MATRIX @ vector, rtol=1e-9, atol=1e-9 * length)


def test_differences_of_a_quartic_have_the_promised_accuracy() -> None:
    point = torch.tensor([0.7, -1.2], dtype=torch.float64)
    rows = torch.tensor([[1.0, 0.0], [0.0, 0.0], [3.0, 1.0]], dtype=torch.float64)
    products = products_by_differences(lambda theta: 4.0 * theta**3, point, rows)
    torch.testing.assert_close(products, 12.0 * point**2 * rows, rtol=1e-9, atol=1e-9)
    assert products[1].tolist() == [0.0, 0.0]
