import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from localmin.errors import InputError
from localmin.objective.gradient_graphs import build_gradient_graph, merge_gradient_graphs


def leaf(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def test_products_of_a_quartic_and_a_constant_gradient() -> None:
    first, second, third = leaf(2.0, -1.0), leaf(3.0), leaf(7.0)
    graph = build_gradient_graph((first**4).sum() * second.sum() + 5.0 * third.sum(), [first, second, third])
    assert [part.tolist() for part in graph.gradients] == [[96.0, -12.0], [17.0], [5.0]]
    v = [torch.tensor([1.0, 0.0], dtype=torch.float64), torch.zeros(1).double(), torch.ones(1).double()]
    products = graph.products(v, is_batched=False)
    assert [part.tolist() for part in products] == [[144.0, 0.0], [32.0], [0.0]]
    rows = [torch.stack([part, 2.0 * part]) for part in v]
    batched = graph.products(rows, is_batched=True)
    assert [part.tolist() for part in batched] == [
        [[144.0, 0.0], [288.0, 0.0]],
        [[32.0], [64.0]],
        [[0.0], [0.0]],
    ]


def test_a_loss_without_parameters_has_zero_products() -> None:
    parameter = leaf(1.0, 2.0)
    graph = build_gradient_graph(torch.tensor(3.0, dtype=torch.float64), [parameter])
    assert graph.gradients[0].tolist() == [0.0, 0.0]
    assert graph.products([torch.ones(2).double()], is_batched=False)[0].tolist() == [0.0, 0.0]


def test_merged_graphs_add() -> None:
    parameter = leaf(2.0)
    graphs = [build_gradient_graph((factor * parameter**3).sum(), [parameter]) for factor in (1.0, 2.0, 4.0)]
    merged = merge_gradient_graphs(graphs)
    assert merged.gradients[0].tolist() == [7.0 * 12.0]
    assert merged.products([torch.ones(1).double()], is_batched=False)[0].tolist() == [7.0 * 12.0]


def test_saved_memory_counts_each_storage_once_and_grows_with_the_batch() -> None:
    weight = torch.randn(50, 50, dtype=torch.float64, requires_grad=True)

    def saved(num_rows: int) -> int:
        x = torch.randn(num_rows, 50, dtype=torch.float64)
        return build_gradient_graph(torch.tanh(x @ weight).square().sum(), [weight]).num_saved_bytes

    row = 50 * 8
    small, large = saved(10), saved(1010)
    # At least x and the tanh, at most a dozen intermediate results of that size.
    assert 2 * 1000 * row <= large - small <= 12 * 1000 * row
    assert build_gradient_graph(weight.sum(), [weight]).num_saved_bytes == 0


class Once(torch.autograd.Function):
    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        x: Tensor = context.saved_tensors[0]  # type: ignore[attr-defined]
        return 2.0 * x * gradient


def once(x: Tensor) -> Tensor:
    y: Tensor = Once.apply(x)  # type: ignore[no-untyped-call]
    return y


def test_operations_without_a_second_derivative_are_named_as_the_cause() -> None:
    parameter = leaf(2.0)
    with pytest.raises(InputError, match=r"marked as once_differentiable; .*curvature='finite-difference'"):
        build_gradient_graph(once(parameter).square().sum(), [parameter])


def test_operations_that_torch_cannot_differentiate_twice_are_named_as_the_cause() -> None:
    query = torch.ones(1, 1, 2, 4, dtype=torch.float64, requires_grad=True)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        attended = F.scaled_dot_product_attention(query, query, query)
    graph = build_gradient_graph(attended.square().sum(), [query])
    with pytest.raises(InputError, match=r"cannot be differentiated twice \(.*\); build the objective"):
        graph.products([torch.ones_like(query)], is_batched=False)


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        # The second one belongs to this node alone.
        context.save_for_backward(x, torch.ones(10**6))
        return x**2

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        x: Tensor = context.saved_tensors[0]  # type: ignore[attr-defined]
        return 2.0 * x * gradient


def test_memory_saved_by_a_custom_function_counts() -> None:
    parameter = leaf(3.0)
    square: Tensor = Twice.apply(parameter)  # type: ignore[no-untyped-call]
    graph = build_gradient_graph(square.square().sum(), [parameter])
    assert 4 * 10**6 <= graph.num_saved_bytes < 4 * 10**6 + 1000
    assert graph.products([torch.ones(1).double()], is_batched=False)[0].tolist() == [12.0 * 9.0]


def test_other_failures_are_passed_on() -> None:
    parameter = leaf(2.0)
    graph = build_gradient_graph((parameter**3).sum(), [parameter])
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        graph.products([torch.ones(2).double()], is_batched=False)
