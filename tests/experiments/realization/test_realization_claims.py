import numpy as np
import pytest
import torch

from localmin.experiments import check_claim, list_claims
from localmin.experiments.claim import ClaimCheck
from localmin.experiments.realization.line_problem import LineProblem

NAMES = [claim.name for claim in list_claims("realization")]
# The chain from parameter minima is empty for the class that is trained: "holds" would say too much.
EXPECTED_VERDICTS = {"re-almost-optimal": "partly"}


def test_every_claim_has_an_experiment() -> None:
    assert NAMES == [
        "re-convex",
        "re-degenerate",
        "re-inverse-stability",
        "re-parameter-minima",
        "re-almost-optimal",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_quick_checks(name: str) -> None:
    found = check_claim(name, quick=True)
    assert found.verdict == EXPECTED_VERDICTS.get(name, "holds")
    assert found.figures
    assert ClaimCheck.from_dict(found.to_dict()) == found


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_full_checks(name: str) -> None:
    assert check_claim(name, seed=1).verdict == EXPECTED_VERDICTS.get(name, "holds")


def line_problem(seed: int) -> LineProblem:
    nodes = np.sort(np.concatenate([[0.0, 1.0], np.random.default_rng(seed).random(9)]))
    return LineProblem(nodes, np.sin(9 * nodes), variation=5.0)


def test_few_kinks_stay_within_the_approximation_and_the_variation() -> None:
    generator = np.random.default_rng(0)
    for seed in range(20):
        problem = line_problem(seed)
        steps = generator.standard_normal(9)
        slopes = np.concatenate([[0.3], 0.3 + np.cumsum(5.0 * steps / np.abs(steps).sum())])
        function = problem.function(0.1, problem.nodes, slopes)
        for num_kinks in (1, 2, 4):
            few = problem.few_kinks(function, num_kinks)
            assert int((np.diff(few.slopes) != 0).sum()) <= num_kinks
            assert few.variation <= function.variation + 1e-12
            assert problem.distance(few, function) <= problem.approximation(num_kinks) + 1e-8


def test_the_minimum_of_the_class_is_in_it_and_beats_random_members() -> None:
    problem = line_problem(3)
    best = problem.minimum()
    assert best.variation <= 5.0 + 1e-7
    generator = np.random.default_rng(1)
    for _ in range(200):
        steps = generator.standard_normal(9)
        jumps = 5.0 * steps / np.abs(steps).sum()
        slopes = generator.standard_normal() + np.concatenate([[0.0], np.cumsum(jumps)])
        assert problem.function(generator.standard_normal(), problem.nodes, slopes).loss >= best.loss - 1e-9
    # Without a bound on the variation the class interpolates.
    assert LineProblem(problem.nodes, problem.targets, variation=1e4).minimum().loss < 1e-9


def test_the_minimum_with_given_kinks() -> None:
    problem = line_problem(5)
    best = problem.minimum()
    inner = problem.nodes[1:-1]
    assert problem.minimum_with_kinks(inner).loss == pytest.approx(best.loss, abs=1e-9)
    few = problem.minimum_with_kinks(inner[::3])
    assert few.loss >= best.loss - 1e-9
    assert few.variation <= 5.0 + 1e-7
    assert set(few.grid) <= {0.0, 1.0, *inner[::3]}
    line = problem.minimum_with_kinks(np.zeros(0))
    assert len(line.slopes) == 1


def test_distance_and_mix_of_functions_on_different_grids() -> None:
    problem = line_problem(0)
    a = problem.function(0.0, np.array([0.0, 0.5, 1.0]), np.array([1.0, -1.0]))
    b = problem.function(0.25, np.array([0.0, 0.25, 1.0]), np.array([0.0, 2.0]))
    assert problem.distance(a, b) == 3.0
    middle = problem.mix(a, b, 0.5)
    x = np.linspace(0, 1, 7)
    assert np.allclose(middle.values(x), (a.values(x) + b.values(x)) / 2)
    assert abs(a.loss - b.loss) <= problem.lipschitz * problem.distance(a, b)


def test_quick_checks_draw_nothing_from_the_global_generator() -> None:
    state = torch.random.get_rng_state()
    check_claim("re-convex", quick=True)
    assert torch.equal(torch.random.get_rng_state(), state)
