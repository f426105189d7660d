import itertools

import pytest
import torch
from torch import nn

from localmin.errors import InputError, ShapeError
from localmin.networks import DeepLinear


def random_network(*widths: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> DeepLinear:
    generator = torch.Generator().manual_seed(seed)
    return DeepLinear(
        tuple(
            torch.randn(after, before, generator=generator, dtype=dtype)
            for before, after in itertools.pairwise(widths)
        )
    )


def test_product_multiplies_later_weights_from_the_left() -> None:
    first = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
    second = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    network = DeepLinear((first, second))
    assert network.widths == (3, 2, 4)
    assert network.depth == 2
    assert network.product.tolist() == [[2.0, 4.0, 0.0], [1.0, 3.0, 1.0], [0.0, 3.0, 3.0], [1.0, 2.0, 0.0]]
    assert network.num_parameters == 14
    assert network.squared_norm.item() == 1 + 4 + 1 + 1 + 4 + 1 + 1 + 9 + 1


def test_forward_applies_the_product_to_rows() -> None:
    network = random_network(3, 5, 2, 4)
    x = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(network(x), x @ network.product.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_module_round_trip_keeps_values_order_and_dtype(dtype: torch.dtype) -> None:
    network = random_network(3, 4, 2, dtype=dtype)
    module = network.to_module()
    assert [type(part) for part in module] == [nn.Linear, nn.Linear]
    assert all(parameter.requires_grad for parameter in module.parameters())
    vector = torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])
    assert torch.equal(vector, network.parameter_vector())
    x = torch.ones(2, 3, dtype=dtype)
    torch.testing.assert_close(module(x), network(x))
    again = DeepLinear.from_module(module)
    assert again.dtype == dtype
    assert all(torch.equal(a, b) for a, b in zip(again.weights, network.weights, strict=True))


def test_reading_and_building_copy() -> None:
    module = nn.Sequential(
        nn.Flatten(), nn.Sequential(nn.Linear(2, 2, bias=False)), nn.Linear(2, 1, bias=False)
    )
    network = DeepLinear.from_module(module)
    before = network.product.clone()
    with torch.no_grad():
        for parameter in [*module.parameters(), *network.to_module().parameters()]:
            parameter.add_(1.0)
    assert torch.equal(network.product, before)
    assert not network.weights[0].requires_grad


def test_parameter_vector_round_trip() -> None:
    network = random_network(2, 3, 1)
    vector = torch.arange(9.0, dtype=torch.float32)
    moved = network.with_parameter_vector(vector)
    assert moved.weights[0].tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert moved.weights[1].tolist() == [[6.0, 7.0, 8.0]]
    assert torch.equal(moved.parameter_vector(), vector)
    with pytest.raises(ShapeError, match=r"expected a vector of shape \(9,\), got \(8,\)"):
        network.with_parameter_vector(vector[:8])


def test_gradients_flow_to_the_weights_given() -> None:
    weight = torch.tensor([[3.0, -2.0]], requires_grad=True)
    network = DeepLinear((weight, torch.tensor([[2.0]])))
    (gradient,) = torch.autograd.grad(network.product.sum() + network.squared_norm, weight)
    assert gradient.tolist() == [[2.0 + 6.0, 2.0 - 4.0]]


def test_to_converts_and_shares_what_fits() -> None:
    network = random_network(2, 2)
    assert network.to(dtype=torch.float32).dtype == torch.float32
    assert network.to(dtype=torch.float32).to(dtype=torch.float64).dtype == torch.float64
    assert network.to().weights[0] is network.weights[0]


def test_weights_that_do_not_chain_are_named() -> None:
    with pytest.raises(
        ShapeError, match=r"weight 3 of shape \(1, 4\) does not chain with weight 2 of shape \(2, 3\)"
    ):
        DeepLinear((torch.ones(3, 3), torch.ones(2, 3), torch.ones(1, 4)))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ((), "at least one weight matrix .* got none"),
        (torch.ones(2, 2), "got a single tensor"),
        ((torch.ones(2),), r"weight 1: expected a matrix \(d_1, d_0\), got shape \(2,\)"),
        ((torch.ones(2, 2), [[1.0, 2.0]]), r"weight 2: expected a torch tensor"),
        ((torch.ones(2, 2, dtype=torch.int64),), "floating-point"),
        (
            (torch.ones(2, 2), torch.ones(2, 2, dtype=torch.float64)),
            r"weight 2: expected dtype torch.float32",
        ),
        ((torch.ones(2, 2), torch.tensor([[1.0, float("nan")]])), "weight 2: every entry must be finite"),
        ((torch.ones(2, 2), torch.ones(2, 2, device="meta")), "weight 2: expected device cpu"),
    ],
)
def test_bad_weights_are_refused(weights: tuple[torch.Tensor, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DeepLinear(weights)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.ones(3, 4), r"expected x of shape \(n, 3\)"),
        (torch.ones(3), r"expected x of shape \(n, 3\)"),
        (torch.ones(4, 3), "expected x of dtype torch.float64"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x: torch.Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        random_network(3, 2)(x)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2)), "linear layer 1 has a bias"),
        (nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU()), r"module '1' \(ReLU\) cannot be read"),
        (nn.Sequential(), "at least one nn.Linear"),
        (torch.ones(2, 2), "expected a torch.nn.Module, got Tensor"),
    ],
)
def test_modules_that_are_not_linear_are_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(InputError, match=message):
        DeepLinear.from_module(module)
