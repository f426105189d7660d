import pytest
import torch

from localmin.errors import InputError, ShapeError
from localmin.reduction import (
    ShallowSolution,
    bad_minimum_example,
    bipartite_example,
    certificate,
    reduce,
    solve_shallow,
    train_regularized,
)
from localmin.reduction.group_lasso import solve_group_lasso
from localmin.reduction.neuron_search import NeuronSearch
from localmin.testing.reduction_networks import random_network, random_points


def check(solution: ShallowSolution, x: torch.Tensor, y: torch.Tensor, penalty: float) -> None:
    network = solution.network
    loss = (network(x) - y).square().sum() / len(x) + penalty * network.squared_norm
    assert solution.value == pytest.approx(float(loss), rel=1e-10)
    assert solution.lower_bound <= solution.value * (1 + 1e-12)


@pytest.mark.parametrize(
    ("targets", "penalty"), [((1.0, 1.0), 0.05), ((-2.0, 0.5), 0.03), ((3.0, -1.0), 0.2)]
)
def test_two_points_in_closed_form(targets: tuple[float, float], penalty: float) -> None:
    # Each point has its own neuron: t minimises (|y| - t)²/2 + 2 penalty t.
    x, y = torch.tensor([[1.0], [-1.0]]).double(), torch.tensor(targets)[:, None].double()
    solution = solve_shallow(x, y, penalty)
    fitted = [max(abs(t) - 2 * penalty, 0.0) for t in targets]
    expected = sum((abs(t) - f) ** 2 / 2 + 2 * penalty * f for t, f in zip(targets, fitted, strict=True))
    check(solution, x, y, penalty)
    assert solution.value == pytest.approx(expected, rel=1e-9)
    assert solution.status == "optimal"


@pytest.mark.parametrize(("num_examples", "penalty"), [(2, 0.1), (4, 0.05), (4, 0.02)])
def test_bipartite_minimum(num_examples: int, penalty: float) -> None:
    example = bipartite_example(num_examples)
    solution = solve_shallow(example.x, example.y, penalty)
    check(solution, example.x, example.y, penalty)
    assert solution.value == pytest.approx(example.minimal_loss(penalty), rel=1e-8)
    assert solution.gap_relative < 1e-7


@pytest.mark.parametrize("num_outputs", [1, 2])
def test_random_problem_is_solved_with_proof(num_outputs: int) -> None:
    x, y = random_points(9, 2), random_points(9, num_outputs, seed=4)
    solution = solve_shallow(x, y, 0.02)
    check(solution, x, y, 0.02)
    assert solution.gap_relative < 1e-7
    trained = min(
        train_regularized(x, y, [30], 0.02, seed=seed, bias=False, num_adam_steps=400, max_lbfgs_steps=200)[1]
        for seed in range(3)
    )
    assert solution.lower_bound <= trained * (1 + 1e-9)
    assert trained <= solution.value * 1.05


def test_large_penalty_gives_the_empty_network() -> None:
    x, y = random_points(5, 2), random_points(5, 1, seed=1)
    solution = solve_shallow(x, y, 100.0)
    assert solution.network.widths == (2, 0, 1)
    assert solution.value == pytest.approx(float(y.square().mean()))
    assert solution.status == "optimal"


def test_too_many_cells_leave_an_honest_bound() -> None:
    x, y = random_points(8, 3), random_points(8, 1, seed=1)
    exact = solve_shallow(x, y, 0.02)
    coarse = solve_shallow(x, y, 0.02, max_cells=3)
    assert coarse.num_cells == 0
    assert coarse.lower_bound <= exact.value
    assert coarse.value >= exact.lower_bound
    assert coarse.status == "stalled"


def test_bad_input() -> None:
    x, y = random_points(4, 2), random_points(4, 1)
    with pytest.raises(InputError, match="penalty above 0"):
        solve_shallow(x, y, 0.0)
    with pytest.raises(ShapeError, match="expected x"):
        solve_shallow(x, y[:3], 0.1)


@pytest.mark.parametrize("slope", [0.0, 0.5])
@pytest.mark.parametrize("num_outputs", [1, 3])
def test_search_against_many_draws(slope: float, num_outputs: int) -> None:
    x, gains = random_points(7, 3), random_points(num_outputs, 7, seed=1)
    found = NeuronSearch(x, negative_slope=slope).strongest(gains)
    draws = torch.nn.functional.normalize(random_points(200_000, 3, seed=2))
    values = torch.nn.functional.leaky_relu(x @ draws.T, slope)
    sampled = float((gains @ values).norm(dim=0).max())
    assert sampled <= found.upper_bound
    assert found.upper_bound == pytest.approx(float(found.strengths[0]), rel=1e-9)
    assert float(found.strengths[0]) <= sampled * 1.01


def test_number_of_cells() -> None:
    assert NeuronSearch(random_points(6, 2)).num_cells == 12
    assert NeuronSearch(random_points(6, 3)).num_cells == 2 * (1 + 5 + 10)
    assert NeuronSearch(torch.eye(4).double()).num_cells == 16
    repeated = random_points(3, 2).repeat(2, 1)
    assert NeuronSearch(repeated).num_cells == 6


def test_group_lasso_optimality() -> None:
    features, targets = random_points(20, 6), random_points(20, 2, seed=1)
    solution = solve_group_lasso(features, targets, 0.1, torch.zeros(6, 2).double())
    pull = features.T @ (targets - features @ solution) / 20
    for row, force in zip(solution, pull, strict=True):
        if float(row.norm()) > 0:
            assert torch.allclose(force, 0.1 * row / row.norm(), atol=1e-10)
        else:
            assert float(force.norm()) <= 0.1


def test_certificate_proves_the_optimum_and_refutes_the_bad_minimum() -> None:
    example = bipartite_example(4)

    def mean_square(outputs: torch.Tensor) -> torch.Tensor:
        return (outputs - example.y).square().mean(dim=1).sum()

    solution = solve_shallow(example.x, example.y, 0.05)
    good = certificate(solution.network, example.x, mean_square, penalty=0.05)
    assert (good.scope, good.layers[0].verdict) == ("global", "proved")
    assert good.stationarity_relative == pytest.approx(0.0, abs=1e-6)
    assert torch.allclose(good.layers[0].used, torch.ones_like(good.layers[0].used), atol=1e-5)
    bad_example = bad_minimum_example(4, 0.1)
    bad = certificate(
        bad_example.network, bad_example.x, lambda out: (out - bad_example.y).square().sum(), penalty=0.1
    )
    assert bad.layers[0].verdict == "refuted"
    assert bad.layers[0].strength == pytest.approx(10.0)
    assert bad.layers[0].witness.tolist() == pytest.approx([-1.0])
    assert bad.to_dict()["layers"][0]["verdict"] == "refuted"
    with pytest.raises(InputError, match="penalty"):
        certificate(bad_example.network, bad_example.x, torch.sum)


def test_certificate_of_deep_networks_is_for_blocks_only() -> None:
    x = random_points(4, 2)
    network = random_network(2, 6, 5, 1)
    result = certificate(reduce(network, x).network, x, lambda out: out.square().sum(), penalty=0.1)
    assert result.scope == "block"
    assert len(result.layers) == 2
    assert all(layer.upper_bound >= layer.strength for layer in result.layers)
