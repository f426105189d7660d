import copy
import itertools
import warnings

import pytest
import torch
from torch import nn

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork

INF = float("inf")


def random_module(*widths: int, bias: bool = True, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        parts += [nn.Linear(before, after, bias=bias, dtype=dtype), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def test_forward_by_hand() -> None:
    network = ReLUNetwork(
        (torch.tensor([[1.0, 2.0], [-1.0, 1.0]]), torch.tensor([[3.0, -1.0]])),
        (torch.tensor([0.5, -2.0]), torch.tensor([4.0])),
    )
    x = torch.tensor([[1.0, 1.0], [-4.0, 1.0]])
    first, second = network.preactivations(x)
    assert first.tolist() == [[3.5, -2.0], [-1.5, 3.0]]
    assert [layer.tolist() for layer in network.hidden(x)] == [[[3.5, 0.0], [0.0, 3.0]]]
    assert second.tolist() == [[14.5], [1.0]]
    assert torch.equal(network(x), second)
    assert (network.depth, network.widths, network.num_parameters) == (2, (2, 2, 1), 9)
    assert network.squared_norm.item() == 1 + 4 + 1 + 1 + 0.25 + 4 + 9 + 1 + 16


def test_the_output_is_not_rectified_and_one_layer_is_affine() -> None:
    network = ReLUNetwork([torch.tensor([[2.0]])], [torch.tensor([-10.0])])
    assert network(torch.tensor([[1.0]])).tolist() == [[-8.0]]
    assert network.hidden(torch.tensor([[1.0]])) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
def test_module_round_trip(dtype: torch.dtype, bias: bool) -> None:
    module = random_module(3, 7, 5, 2, bias=bias, dtype=dtype)
    network = ReLUNetwork.from_module(module)
    assert network.dtype == dtype
    assert network.widths == (3, 7, 5, 2)
    assert (network.biases is None) == (not bias)
    x = torch.randn(11, 3, dtype=dtype)
    assert torch.equal(network(x), module(x))
    built = network.to_module()
    assert torch.equal(built(x), module(x))
    assert [type(part) for part in built] == [type(part) for part in module]
    assert list(built.state_dict()) == list(module.state_dict())
    assert network.num_parameters == sum(parameter.numel() for parameter in module.parameters())


def test_parameters_come_in_the_order_of_the_module() -> None:
    module = nn.Sequential(
        nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)
    )
    network = ReLUNetwork.from_module(module)
    expected = torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])
    assert torch.equal(network.parameter_vector(), expected)
    moved = network.with_parameter_vector(expected + 1.0)
    assert moved.biases is not None
    assert moved.biases[0] is None
    assert torch.equal(moved.parameter_vector(), expected + 1.0)
    assert torch.equal(moved.weights[2], network.weights[2] + 1.0)
    with pytest.raises(ShapeError, match="flatten in the same order"):
        network.with_parameter_vector(expected[1:])


def test_no_bias_is_kept_apart_from_a_bias_of_zero() -> None:
    weights = (torch.ones(2, 1), torch.ones(1, 2))
    without = ReLUNetwork(weights)
    zeros = ReLUNetwork(weights, (torch.zeros(2), torch.zeros(1)))
    mixed = ReLUNetwork(weights, (torch.zeros(2), None))
    assert [network.num_parameters for network in (without, zeros, mixed)] == [4, 7, 6]
    assert without.biases is None
    assert zeros.biases is not None
    assert [
        [part.bias is None for part in network.to_module() if isinstance(part, nn.Linear)]
        for network in (without, zeros, mixed)
    ] == [[True, True], [False, False], [False, True]]
    for network in (without, zeros, mixed):
        assert [vector.tolist() for vector in network.bias_vectors] == [[0.0, 0.0], [0.0]]
        assert network(torch.ones(1, 1)).tolist() == [[2.0]]


def test_a_tuple_of_none_is_no_biases_at_all() -> None:
    assert ReLUNetwork((torch.ones(1, 1),), (None,)).biases is None


def test_bias_vectors_are_the_biases_where_they_exist() -> None:
    bias = torch.tensor([3.0, 4.0])
    network = ReLUNetwork((torch.ones(2, 1), torch.ones(1, 2)), (bias, None))
    assert network.bias_vectors[0] is bias


def test_weights_are_kept_as_given() -> None:
    weights = (torch.ones(2, 1), torch.ones(1, 2))
    network = ReLUNetwork(weights)
    assert all(a is b for a, b in zip(network.weights, weights, strict=True))
    assert isinstance(ReLUNetwork(list(weights), [None, torch.ones(1)]).weights, tuple)
    assert isinstance(ReLUNetwork(list(weights), [None, torch.ones(1)]).biases, tuple)
    with pytest.raises(AttributeError):
        network.weights = ()  # type: ignore[misc]


def test_gradients_flow_to_the_tensors_given() -> None:
    weight = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    network = ReLUNetwork((weight, torch.tensor([[5.0, 7.0]])))
    (gradient,) = torch.autograd.grad(network(torch.tensor([[2.0]])).sum(), weight)
    assert gradient.tolist() == [[10.0], [0.0]]


def test_nested_modules_a_leading_flatten_and_shared_relus_are_read() -> None:
    relu = nn.ReLU(inplace=True)

    class Perceptron(nn.Sequential):
        pass

    module = nn.Sequential(
        nn.Flatten(), Perceptron(nn.Linear(4, 3), relu, nn.Sequential(nn.Linear(3, 3), relu)), nn.Linear(3, 2)
    )
    network = ReLUNetwork.from_module(module)
    images = torch.randn(5, 2, 2)
    torch.testing.assert_close(network(images.reshape(5, 4)), module(images))
    flat = network.to_module(flatten=True)
    assert isinstance(flat[0], nn.Flatten)
    torch.testing.assert_close(flat(images), module(images))


def test_a_repeated_linear_layer_is_read_twice() -> None:
    linear = nn.Linear(3, 3)
    network = ReLUNetwork.from_module(nn.Sequential(linear, nn.ReLU(), linear))
    assert network.depth == 2
    assert torch.equal(network.weights[0], network.weights[1])


def test_a_single_linear_module_is_read() -> None:
    linear = nn.Linear(3, 2)
    x = torch.randn(4, 3)
    assert torch.equal(ReLUNetwork.from_module(linear)(x), linear(x))


def test_reading_does_not_tie_the_network_to_the_module() -> None:
    module = random_module(2, 3, 1)
    state = copy.deepcopy(module.state_dict())
    network = ReLUNetwork.from_module(module)
    built = network.to_module()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(1.0)
        network.weights[0].add_(5.0)
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


def test_a_network_without_neurons_is_a_constant() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = ReLUNetwork((torch.ones(0, 3), torch.ones(2, 0)), (torch.ones(0), torch.tensor([1.0, 2.0])))
        module = network.to_module()
    assert network(torch.ones(4, 3)).tolist() == [[1.0, 2.0]] * 4
    assert module(torch.ones(1, 3)).tolist() == [[1.0, 2.0]]
    assert ReLUNetwork.from_module(module).widths == (3, 0, 2)
    assert repr(module[0]) == "Linear(in_features=3, out_features=0, bias=True)"


def test_building_a_module_draws_no_random_number() -> None:
    network = ReLUNetwork((torch.ones(3, 3), torch.ones(3, 3)))
    state = torch.random.get_rng_state()
    network.to_module()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_to_converts_weights_and_biases() -> None:
    network = ReLUNetwork((torch.ones(1, 1), torch.ones(1, 1)), (torch.ones(1), None)).to(dtype=torch.float64)
    assert network.dtype == torch.float64
    assert network.biases is not None
    assert network.biases[0] is not None
    assert network.biases[0].dtype == torch.float64
    assert network.biases[1] is None


class Doubled(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2.0 * super().forward(input)


class Skipping(nn.Sequential):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        for part in self:
            input = input + part(input)
        return input


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 2)), r"module '1' \(GELU\) cannot be read"),
        (
            nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.BatchNorm1d(2)), nn.Linear(2, 2)),
            r"module '1.1' \(BatchNorm1d\)",
        ),
        (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), r"module '1' \(Linear\) follows linear layer '0'"),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU()), r"'1' \(ReLU\) is the last module"),
        (nn.Sequential(nn.ReLU(), nn.Linear(2, 2)), r"module '0' \(ReLU\) must follow a linear layer"),
        (
            nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.ReLU(), nn.Linear(2, 2)),
            r"module '2' \(ReLU\) must follow",
        ),
        (
            nn.Sequential(nn.Linear(2, 2), nn.Flatten(), nn.Linear(2, 2)),
            r"module '2' \(Linear\) follows linear layer '0'",
        ),
        (nn.Sequential(nn.Flatten(0), nn.Linear(2, 2)), r"module '0' \(Flatten\) cannot be read"),
        (nn.Sequential(nn.Flatten()), "at least one nn.Linear"),
        (Doubled(2, 2), r"the module \(Doubled\) cannot be read"),
        (nn.Sequential(Skipping(nn.Linear(2, 2))), r"module '0' \(Skipping\) cannot be read"),
        (nn.LazyLinear(2), r"the module \(LazyLinear\) cannot be read"),
        (torch.nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "cannot be read"),
    ],
)
def test_other_modules_are_refused_by_name(module: nn.Module, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ReLUNetwork.from_module(module)


def test_hooks_are_refused() -> None:
    module = random_module(2, 2, 2)
    module[0].register_forward_hook(lambda part, inputs, output: 2.0 * output)
    with pytest.raises(InputError, match=r"module '0' \(Linear\) carries forward hooks"):
        ReLUNetwork.from_module(module)


@pytest.mark.parametrize(
    ("biases", "message"),
    [
        ((torch.ones(2),), "expected 2 biases, one for each weight"),
        ((torch.ones(2), torch.ones(2)), r"bias 2: expected a vector \(1,\), got \(2,\)"),
        ((torch.ones(2), torch.ones(1, 1)), r"bias 2: expected a vector \(1,\), got \(1, 1\)"),
        ((torch.ones(2), 0.0), r"bias 2: expected a vector \(1,\), got <class 'float'>"),
        ((torch.ones(2, dtype=torch.float64), None), "bias 1: expected dtype torch.float32"),
        ((torch.tensor([1.0, -INF]), None), "bias 1: every entry must be finite"),
    ],
)
def test_bad_biases_are_refused(biases: tuple[torch.Tensor | None, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ReLUNetwork((torch.ones(2, 3), torch.ones(1, 2)), biases)


def test_inputs_in_columns_are_refused() -> None:
    network = ReLUNetwork((torch.ones(2, 3), torch.ones(1, 2)))
    for method in (network, network.hidden, network.preactivations):
        with pytest.raises(
            ShapeError, match=r"expected x of shape \(n, 3\), one example a row, got \(3, 5\)"
        ):
            method(torch.ones(3, 5))
