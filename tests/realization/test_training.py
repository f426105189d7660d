import math

import pytest
import torch
from torch import Tensor, nn

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.realization import (
    align,
    almost_optimality,
    balance_penalty,
    compare_networks,
    half_space_penalty,
    kink_differences,
    loss_along_path,
    opposite_penalty,
    parallel_penalty,
    parameter_minimum_example,
    project_module,
    same_function,
    seminorm_distance,
    transfer_minimum,
    transfer_radius,
)

F64 = torch.float64


def random_network(seed: int, *widths: int, bias: bool = True) -> ReLUNetwork:
    generator = torch.Generator().manual_seed(seed)
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    weights = [torch.randn(shape, generator=generator, dtype=F64) for shape in shapes]
    biases = [torch.randn(shape[0], generator=generator, dtype=F64) for shape in shapes]
    return ReLUNetwork(weights, biases if bias else None)


@pytest.mark.parametrize(
    ("constant", "exponent", "radius"), [(4.0, 0.5, 0.25), (2.0, 1.0, 1.0), (16.0, 3.0, 0.5)]
)
def test_transfer_radius(constant: float, exponent: float, radius: float) -> None:
    assert transfer_radius(2.0, constant=constant, exponent=exponent) == pytest.approx(radius)
    assert transfer_radius(2.0) == pytest.approx(4.0 / 8.0)
    with pytest.raises(InputError, match="constant > 0"):
        transfer_radius(1.0, constant=0.0)


def test_transfer_needs_the_restricted_space() -> None:
    inside = ReLUNetwork([torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0]])])
    found = transfer_minimum(inside, 0.4, constant=4.0)
    assert found.applies
    assert found.function_radius == pytest.approx(0.01)
    outside = transfer_minimum(parameter_minimum_example().network, 0.5)
    assert (outside.applies, outside.function_radius) == (False, 0.0)
    assert "not balanced" in outside.reason
    assert "biases" in transfer_minimum(random_network(0, 2, 3, 1), 0.5).reason
    assert "one hidden layer" in transfer_minimum(random_network(0, 2, 3, 3, 1, bias=False), 0.5).reason


@pytest.mark.parametrize("r", [0.5, 3.0])
def test_the_parameter_minimum_is_no_function_minimum(r: float) -> None:
    example = parameter_minimum_example(r)
    generator = torch.Generator().manual_seed(0)
    vector = example.network.parameter_vector()
    for _ in range(2000):
        step = example.parameter_radius * (2 * torch.rand(3, generator=generator, dtype=F64) - 1)
        assert example.loss(example.network.with_parameter_vector(vector + step)) >= 0.5
    for size in (1e-1, 1e-4):
        better = example.better_function(size)
        assert seminorm_distance(better, example.network).value == pytest.approx(size)
        assert example.loss(better) == pytest.approx((1 - size) ** 2 / 2)


def test_almost_optimality_on_random_finite_sets() -> None:
    """Grid points are the set, their box the convex hull: every minimum within a radius obeys the bound."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.linspace(-1, 1, 9, dtype=F64)
    points = torch.cartesian_prod(axis, axis)
    eta, num_minima, num_tight = 0.125, 0, 0
    distances = torch.cdist(points, points, p=float("inf"))
    for _ in range(300):
        # A maximum of linear functions is convex, with the largest 1-norm of a slope as its constant.
        slopes = torch.randn(4, 2, generator=generator, dtype=F64)
        loss = (points @ slopes.T + torch.randn(4, generator=generator, dtype=F64)).amax(dim=1)
        lipschitz = float(slopes.abs().sum(dim=1).max())
        for radius in (2 * eta, 3 * eta, 4 * eta):
            is_minimum = (loss[None] >= loss[:, None]) | (distances > radius + 1e-12)
            for index in torch.nonzero(is_minimum.all(dim=1))[:, 0].tolist():
                num_minima += 1
                excess = float(loss[index] - loss.min())
                num_tight += excess > 0
                bound = almost_optimality(
                    lipschitz=lipschitz,
                    function_radius=radius,
                    distance=float(distances[index, loss.argmin()]),
                    approximation=eta,
                )
                assert bound.applies
                assert excess <= bound.excess_bound + 1e-12
    assert num_minima > 300
    assert num_tight > 0


def test_almost_optimality_needs_a_large_radius() -> None:
    found = almost_optimality(lipschitz=1.0, function_radius=0.1, distance=1.0, approximation=0.06)
    assert (found.applies, found.excess_bound) == (False, math.inf)
    with pytest.raises(InputError, match="function_radius"):
        almost_optimality(lipschitz=1.0, function_radius=0.0, distance=1.0, approximation=0.1)


def test_penalties_by_hand() -> None:
    directions = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]], dtype=F64)
    outputs = torch.tensor([[1.0, 1.0, 0.0], [0.0, -2.0, 1.0]], dtype=F64)
    assert balance_penalty(directions, outputs).item() == 4.0
    assert parallel_penalty(directions, margin=0.2).item() == 0.0
    assert parallel_penalty(directions, margin=1.5).item() == pytest.approx(0.25 + 0.25)
    assert opposite_penalty(directions, margin=0.2).item() == pytest.approx(0.04)
    # Coordinates of the unit rows: (1, 0), (0, 1), (-1, 0).
    assert half_space_penalty(directions, margin=0.5).item() == pytest.approx(0.25 + 0.25 + 2.25 + 0.25)
    with pytest.raises(ShapeError, match="outputs"):
        balance_penalty(directions, outputs.T)
    with pytest.raises(InputError, match="two inputs"):
        half_space_penalty(directions[:, :1])


def test_penalties_have_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(4, 3, generator=generator, dtype=F64, requires_grad=True)
    outputs = torch.randn(2, 4, generator=generator, dtype=F64, requires_grad=True)

    def total(a: Tensor, c: Tensor) -> Tensor:
        separate = parallel_penalty(a, margin=0.9) + opposite_penalty(a, margin=0.9)
        return balance_penalty(a, c) + separate + half_space_penalty(a, margin=0.3)

    assert torch.autograd.gradcheck(total, (directions, outputs))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("bias", [True, False])
def test_projection_after_each_step_keeps_the_function_and_balances(dtype: torch.dtype, bias: bool) -> None:
    module = random_network(0, 3, 8, 2, bias=bias).to(dtype=dtype).to_module()
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-2)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(1)).to(dtype)
    for _ in range(5):
        optimizer.zero_grad()
        module(x).square().mean().backward()
        optimizer.step()
        before = ReLUNetwork.from_module(module)
        project_module(module)
        assert same_function(before, module).verdict == "equal"
    assert project_module(module) < 10 * torch.finfo(dtype).eps
    shared = nn.Linear(2, 2)
    with pytest.raises(InputError, match="used twice"):
        project_module(nn.Sequential(shared, nn.ReLU(), shared))
    with pytest.raises(InputError, match="one hidden layer"):
        project_module(nn.Sequential(nn.Linear(2, 1)))


@pytest.mark.parametrize("bias", [True, False])
def test_alignment_recovers_a_hidden_permutation_and_scaling(bias: bool) -> None:
    for seed in range(3):
        network = random_network(seed, 4, 12, 10, 3, bias=bias)
        generator = torch.Generator().manual_seed(seed)
        weights, biases = [w.clone() for w in network.weights], [b.clone() for b in network.bias_vectors]
        for layer in range(2):
            order = torch.randperm(len(weights[layer]), generator=generator)
            scale = torch.exp(torch.randn(len(order), 1, generator=generator, dtype=F64))
            weights[layer] = (weights[layer] * scale)[order]
            biases[layer] = (biases[layer] * scale[:, 0])[order]
            weights[layer + 1] = (weights[layer + 1] / scale[:, 0])[:, order]
        moved = ReLUNetwork(weights, biases if bias else None)
        found = align(network, moved)
        assert same_function(found.network, moved).verdict == "equal"
        assert found.distance_after < 1e-6 * found.distance_before
        losses = loss_along_path(network, found.network, lambda net: float(net.squared_norm), num_points=5)
        assert torch.allclose(losses, losses[0].expand(5))


def test_alignment_never_increases_the_distance_and_scales_are_best() -> None:
    reference, network = random_network(0, 3, 6, 2), random_network(1, 3, 6, 2)
    found = align(reference, network)
    assert found.distance_after < found.distance_before
    assert same_function(found.network, network).verdict == "equal"
    best = found.network
    for neuron in range(6):
        for factor in (0.99, 1.01, 0.5, 2.0):
            scale = torch.ones(6, dtype=F64)
            scale[neuron] = factor
            other = ReLUNetwork(
                [best.weights[0] * scale[:, None], best.weights[1] / scale],
                [best.bias_vectors[0] * scale, best.bias_vectors[1]],
            )
            distance = float((other.parameter_vector() - reference.parameter_vector()).norm())
            assert distance >= found.distance_after - 1e-9
    with pytest.raises(ShapeError, match="same widths"):
        align(reference, random_network(0, 3, 5, 2))
    with pytest.raises(InputError, match="biases"):
        align(reference, random_network(0, 3, 6, 2, bias=False))


def test_loss_along_path_bad_input() -> None:
    network = random_network(0, 3, 6, 2)
    with pytest.raises(InputError, match="two points"):
        loss_along_path(network, network, lambda net: 0.0, num_points=1)
    with pytest.raises(ShapeError, match="same layers"):
        loss_along_path(network, random_network(0, 3, 5, 2), lambda net: 0.0)


def test_comparison_names_the_kinks_that_differ() -> None:
    first = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], dtype=F64)
    a = ReLUNetwork([first, torch.tensor([[1.0, 1.0, 1.0]], dtype=F64)])
    second = torch.tensor([[-2.0, 0.0], [0.0, 2.0], [1.0, -1.0]], dtype=F64)
    b = ReLUNetwork([second, torch.tensor([[0.5, 1.5, 3.0]], dtype=F64)])
    found = compare_networks(a, b)
    assert found.equality.verdict == "different"
    assert found.num_common_kinks == 1  # |x_1|, oriented the other way
    kinds = {each.kind: each for each in found.differences}
    assert set(kinds) == {"only-a", "only-b", "both"}
    assert kinds["only-b"].size == pytest.approx(3 * math.sqrt(2))
    assert (kinds["both"].jump_a, kinds["both"].jump_b) == ((2.0,), (3.0,))
    assert [each.size for each in found.differences] == sorted(
        (e.size for e in found.differences), reverse=True
    )
    assert found.to_dict()["seminorm"]["exact"]
    assert kink_differences(a, a) == ((), 3)


def test_comparison_of_deep_networks_gives_the_verdict_only() -> None:
    network = random_network(0, 2, 3, 3, 1)
    found = compare_networks(network, network)
    assert (found.equality.verdict, found.seminorm, found.differences) == ("equal", None, ())


def test_projection_merges_equal_neurons_and_leaves_their_places() -> None:
    network = random_network(3, 3, 5, 2)
    weights = [weight.clone() for weight in network.weights]
    biases = [bias.clone() for bias in network.bias_vectors]
    weights[0][4], biases[0][4] = 3 * weights[0][1], 3 * biases[0][1]
    module = ReLUNetwork(weights, biases).to_module()
    before = ReLUNetwork.from_module(module)
    project_module(module)
    assert int((ReLUNetwork.from_module(module).weights[0] != 0).any(dim=1).sum()) == 5
    project_module(module, merge_tolerance_relative=1e-12)
    after = ReLUNetwork.from_module(module)
    assert (after.weights[0] != 0).any(dim=1).tolist() == [True, True, True, True, False]
    assert same_function(before, after).verdict == "equal"
    assert project_module(module, merge_tolerance_relative=1e-12) < 1e-14
    with pytest.raises(InputError, match="merge_tolerance_relative"):
        project_module(module, merge_tolerance_relative=-1.0)
