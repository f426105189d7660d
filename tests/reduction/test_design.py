import pytest
import torch

from localmin.reduction import DesignProblem, bipartite_example, reweight, solve_design
from localmin.testing.reduction_networks import random_network, random_points
from localmin.testing.reduction_reference import group_lasso_value


def random_problem(with_bias: bool) -> DesignProblem:
    generator = torch.Generator().manual_seed(1)
    features = torch.rand(40, 5, generator=generator, dtype=torch.float64)
    bias = torch.rand(5, generator=generator, dtype=torch.float64) if with_bias else torch.zeros(5).double()
    targets = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    return DesignProblem(features, bias, targets, features.square().sum(dim=1) * 1.7)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("accelerate", [False, True])
def test_monotone_with_a_valid_bound(with_bias: bool, accelerate: bool) -> None:
    problem = random_problem(with_bias)
    short = solve_design(problem, max_steps=60, gap_tolerance_relative=0.0, accelerate=accelerate)
    best = solve_design(problem, max_steps=5000, gap_tolerance_relative=1e-9)
    assert all(after <= before for before, after in zip(short.values, short.values[1:], strict=False))
    assert max(short.lower_bounds) <= best.value
    assert best.gap_relative < 1e-6
    assert float(best.optimality.max()) < 1.001


def test_the_value_is_the_norm_it_claims_to_be() -> None:
    problem = random_problem(True)
    result = solve_design(problem, max_steps=30)
    gram = problem.features.T @ (result.weights[:, None] * problem.features)
    gram = gram + torch.outer(problem.bias_feature, problem.bias_feature)
    trace = torch.trace(problem.targets @ torch.linalg.pinv(gram) @ problem.targets.T)
    assert result.value == pytest.approx(float(problem.costs @ result.weights + trace), rel=1e-10)


def test_equals_the_group_lasso() -> None:
    problem = random_problem(False)
    reference = group_lasso_value(problem.features.T, problem.targets.T, problem.costs, 3000)
    value = solve_design(problem, max_steps=5000, gap_tolerance_relative=1e-8).value
    assert value == pytest.approx(reference, rel=1e-5)


def test_an_optimal_design_is_recognised_at_once() -> None:
    example = bipartite_example(6)
    result = reweight(example.network, example.x, 1)
    assert len(result.design.values) == 1
    assert result.design.value == pytest.approx(36.0, rel=1e-12)
    assert result.design.lower_bound == pytest.approx(36.0, rel=1e-12)
    assert torch.allclose(result.design.optimality, torch.ones(9).double())


def test_weights_that_are_too_large_do_not_pass_for_optimal() -> None:
    problem = random_problem(False)
    large = solve_design(problem, weights=torch.full((40,), 1e3).double(), max_steps=1)
    assert float(large.optimality.max()) < 1.0
    assert large.gap_relative > 0.1


def test_reweight_keeps_outputs_and_lowers_the_norm() -> None:
    network, points = random_network(4, 30, 3, seed=2), random_points(6, 4)
    result = reweight(network, points, 1)
    assert torch.allclose(result.network(points), network(points), atol=1e-11)
    assert result.norm_after < result.norm_before
