"""Values that are known in closed form or by counting, across the package."""

import pytest
import torch
from scipy.optimize import minimize_scalar, nnls
from torch import Tensor

from localmin.networks import DeepLinear
from localmin.reduction import (
    HomogeneousNetwork,
    bipartite_example,
    certificate,
    minimal_linear_network,
    reduce,
    representations,
    solve_shallow,
)
from localmin.reduction.caratheodory import recombine
from localmin.reduction.neuron_selection import path_network, view_layer
from localmin.reduction.projection import projected
from localmin.reduction.vertex_problem import VertexProblem
from localmin.testing.reduction_networks import random_network, random_points


@pytest.mark.parametrize("bias", [True, False])
def test_one_layer(bias: bool) -> None:
    # R = Tr[Y Yᵀ (K_0^s)^+] with K_0^s = X Xᵀ + 1 1ᵀ under a bias.
    network, x = random_network(6, 2, bias=bias), random_points(4, 6)
    y = network(x)
    gram = x @ x.T + (1.0 if bias else 0.0)
    expected = float((torch.linalg.inv(gram) * (y @ y.T)).sum())
    found = representations(network, x)
    assert found.representation_norm == pytest.approx(expected, rel=1e-10)
    assert found.covariance_norm == pytest.approx(expected, rel=1e-10)
    assert reduce(network, x).norm_after == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("depth", [2, 3])
def test_linear_fit_with_a_penalty(depth: int) -> None:
    # Sum of squares with X = I: each singular value t minimises (t - s)² + penalty L t^(2/L).
    penalty, target = 0.05, random_points(3, 3, seed=4)
    left, values, right = torch.linalg.svd(target)
    fitted, expected = [], 0.0
    for value in values.tolist():

        def scalar(t: float, s: float = value) -> float:
            return float((t - s) ** 2 + penalty * depth * max(t, 0.0) ** (2 / depth))

        best = minimize_scalar(
            scalar, bounds=(0.0, value), method="bounded", options={"xatol": 1e-12, "maxiter": 500}
        )
        fitted.append(best.x if best.fun < scalar(0.0) else 0.0)
        expected += min(float(best.fun), scalar(0.0))
    y = left @ torch.diag(torch.tensor(fitted).double()) @ right
    network = minimal_linear_network(torch.eye(3), y, depth)
    loss = float((network(torch.eye(3).double()) - target).square().sum() + penalty * network.squared_norm)
    assert loss == pytest.approx(expected, rel=1e-9)
    # No small change of the weights is better.
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        moved = DeepLinear(
            [w + 1e-3 * torch.randn(w.shape, generator=generator).double() for w in network.weights]
        )
        assert (moved(torch.eye(3).double()) - target).square().sum() + penalty * moved.squared_norm >= loss


@pytest.mark.parametrize(("depth", "expected"), [(2, 10 / 3), (3, 4.21716333)])
def test_one_point_needs_one_neuron_a_layer(depth: int, expected: float) -> None:
    # R = L (||y|| / ||x||)^(2/L).
    x, y = torch.tensor([[1.0, 2.0, 2.0]]).double(), torch.tensor([[3.0, -4.0]]).double()
    width = 20
    middle = random_network(3, *(width,) * (depth - 1), 2, bias=False, seed=1)
    last = middle.weights[-1]
    hidden = middle.activate(depth - 1, middle.preactivations(x)[-2])
    fitted = middle.with_layers({depth: (last + (torch.linalg.pinv(hidden) @ (y - middle(x))).T, None)})
    assert torch.allclose(fitted(x), y)
    result = reduce(fitted, x)
    assert result.widths_after[1:-1] == (1,) * (depth - 1)
    assert result.norm_after == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("first", "second"), [(1.0, 1.0), (-2.0, 0.5), (3.0, -1.0)])
def test_two_opposite_points(first: float, second: float) -> None:
    # R(X, Y) = 2 (|a| + |b|): each point has a neuron of its own.
    x, y = torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([[first], [second]]).double()
    weight = torch.tensor([[2.0], [-3.0], [1.0], [-1.0]]).double()
    hidden = torch.relu(x @ weight.T)
    outgoing = (torch.linalg.pinv(hidden) @ y).T
    result = reduce(HomogeneousNetwork((weight, outgoing), (None, None), (0.0,)), x)
    assert result.widths_after == (1, 2, 1)
    assert result.norm_after == pytest.approx(2 * (abs(first) + abs(second)), rel=1e-9)


@pytest.mark.parametrize("num_examples", [2, 4, 6])
def test_strongest_neurons_of_the_bipartite_minimum(num_examples: int) -> None:
    penalty = 0.05
    example = bipartite_example(num_examples)
    solution = solve_shallow(example.x, example.y, penalty)
    assert solution.value == pytest.approx(example.minimal_loss(penalty), rel=1e-7)

    def loss(outputs: Tensor) -> Tensor:
        return (outputs - example.y).square().sum() / num_examples

    layer = certificate(solution.network, example.x, loss, penalty=penalty, tolerance_relative=1e-5).layers[0]
    assert (layer.verdict, round(layer.strength, 5)) == ("proved", 1.0)
    # Delta = I - v vᵀ / N; every edge reaches 1, and a step off an edge does not.
    signs = torch.ones(num_examples).double()
    signs[num_examples // 2 :] = -1.0
    delta = torch.eye(num_examples).double() - torch.outer(signs, signs) / num_examples
    pulls = (example.incidence @ delta).norm(dim=1) / example.incidence.norm(dim=1)
    assert torch.allclose(pulls, torch.ones_like(pulls))
    off = example.incidence + 0.1 * torch.eye(num_examples).double()[0]
    assert bool(((torch.relu(off) @ delta).norm(dim=1) / off.norm(dim=1) <= 1 + 1e-12).all())


@pytest.mark.parametrize(
    ("num_outputs", "smallest_weights", "any_weights"), [(1, 8, 8), (3, 21, 24), (8, 36, 64)]
)
def test_constraints_of_vertex_b(num_outputs: int, smallest_weights: int, any_weights: int) -> None:
    points = random_points(8, 8)
    network, _ = projected(random_network(8, 200, num_outputs, bias=False), points)
    view = view_layer(network, points, 1)
    problem = VertexProblem.of(view, "vertex-b")
    columns = torch.cat([block.columns() for block in problem.blocks])
    assert problem.num_rows == smallest_weights
    assert int(torch.linalg.matrix_rank(columns)) == smallest_weights
    arbitrary = random_network(8, 200, num_outputs, bias=False, seed=9).weights[1]
    products = (arbitrary.T[:, :, None] * view.features.T[:, None, :]).flatten(1)
    assert int(torch.linalg.matrix_rank(products)) == any_weights


def test_the_path_of_vertex_c_lowers_the_cost_evenly() -> None:
    points = random_points(5, 4)
    network, _ = projected(random_network(4, 60, 2), points)
    selection = VertexProblem.of(view_layer(network, points, 1), "vertex-c").solve()
    assert selection is not None
    times = torch.linspace(0, 1, 11).tolist()
    costs = [
        float(path_network(network, points, selection, time).incoming_norms_squared(1).sum())
        for time in times
    ]
    assert costs[-1] < 0.99 * costs[0]
    between = [costs[0] + time * (costs[-1] - costs[0]) for time in times]
    assert costs == pytest.approx(between, rel=1e-12)


def test_plain_nnls_may_cost_more_and_the_cost_row_does_not() -> None:
    raised = 0
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        columns = torch.rand(10, 60, generator=generator, dtype=torch.float64)
        costs = torch.rand(60, generator=generator, dtype=torch.float64)
        ones = torch.ones(60).double()
        plain, _ = nnls(columns.numpy(), (columns @ ones).numpy())
        raised += float(costs @ torch.from_numpy(plain)) > 1.01 * float(costs.sum())
        with_row = recombine(columns, ones, costs, solver="nnls")
        assert with_row.cost_after <= with_row.cost_before * (1 + 1e-9)
    assert raised > 0
