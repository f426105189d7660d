import itertools
import math

import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.realization import (
    SHARP_CONSTANT,
    Pathology,
    all_parametrizations,
    balance,
    complete_unbalancedness,
    exploding_gradient,
    half_space_form,
    half_space_stability,
    inverse_stability,
    lift,
    lift_inputs,
    nearest_parametrization,
    opposite_directions_one,
    opposite_directions_two,
    redundant_directions,
    restricted_space_membership,
    same_function,
    seminorm_distance,
    sharp_pair,
    sup_distance,
)
from localmin.realization.assignments import bottleneck_assignment

F64 = torch.float64


def net(first: list[list[float]], second: list[list[float]]) -> ReLUNetwork:
    return ReLUNetwork([torch.tensor(first, dtype=F64), torch.tensor(second, dtype=F64)])


def random_network(generator: torch.Generator, d: int, m: int, outputs: int, *, bias: bool) -> ReLUNetwork:
    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=F64)

    return ReLUNetwork([draw(m, d), draw(outputs, m)], [draw(m), draw(outputs)] if bias else None)


def restricted(generator: torch.Generator, d: int, m: int, outputs: int) -> ReLUNetwork:
    network = random_network(generator, d, m, outputs, bias=False)
    first = network.weights[0].clone()
    first[:, -2:] = first[:, -2:].abs() + 1e-3
    return balance(ReLUNetwork([first, network.weights[1]]))


def largest_change(a: ReLUNetwork, b: ReLUNetwork) -> float:
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return max(float((x - y).abs().max()) for x, y in pairs)


def test_balance_by_hand_and_dead_neurons() -> None:
    found = balance(net([[2.0, 0.0], [0.0, 0.0], [1.0, 1.0]], [[0.5, 3.0, 0.0]]))
    assert found.weights[0].tolist() == [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    assert found.weights[1].tolist() == [[1.0, 0.0, 0.0]]


def test_membership_names_the_condition_that_fails() -> None:
    assert restricted_space_membership(net([[-3.0, 1.0, 2.0]], [[3.0]])).is_inside
    assert not restricted_space_membership(net([[1.0, 2.0]], [[1.0]])).is_balanced
    twice = restricted_space_membership(net([[1.0, 2.0], [2.0, 4.0]], [[2.0, 4.0]]))
    assert (twice.is_balanced, twice.is_distinct, twice.is_oriented) == (True, False, True)
    turned = restricted_space_membership(net([[1.0, -0.5]], [[1.0]]))
    assert (turned.is_oriented, turned.smallest_coordinate, turned.is_inside) == (False, -0.5, False)
    assert restricted_space_membership(net([[0.0, 0.0]], [[0.0]])).is_inside
    with pytest.raises(InputError, match="without biases"):
        restricted_space_membership(ReLUNetwork([torch.ones(1, 2), torch.ones(1, 1)], [torch.ones(1), None]))
    with pytest.raises(InputError, match="two inputs"):
        restricted_space_membership(net([[1.0]], [[1.0]]))


def test_lift_by_hand() -> None:
    network = ReLUNetwork(
        [torch.tensor([[1.0, 2.0], [1.0, 2.0]]), torch.tensor([[1.0, 2.0]])],
        [torch.tensor([-1.0, -1.0]), torch.tensor([0.5])],
    )
    lifted = lift(network)
    assert restricted_space_membership(lifted).is_inside
    x = torch.tensor([[0.7, 0.4], [0.0, 0.0]], dtype=F64)
    assert lifted(lift_inputs(x)).flatten().tolist() == pytest.approx([2.0, 0.5], abs=1e-12)


def test_lift_of_random_networks_with_duplicates_and_constants() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        network = random_network(generator, 3, 6, 2, bias=True)
        first, bias = network.weights[0].clone(), network.bias_vectors[0].clone()
        first[1], bias[1] = 2 * first[0], 2 * bias[0]
        first[2], bias[2] = 0.0, 1.5
        first[3], bias[3] = 0.0, -0.5
        network = ReLUNetwork([first, network.weights[1]], [bias, network.bias_vectors[1]])
        lifted = lift(network)
        assert lifted.widths == (5, 7, 2)
        assert restricted_space_membership(lifted).is_inside
        x = torch.randn(50, 3, generator=generator, dtype=F64)
        assert float((lifted(lift_inputs(x)) - network(x)).abs().max()) < 1e-12


def test_bottleneck_assignment_against_all_permutations() -> None:
    generator = torch.Generator().manual_seed(0)
    for size in range(1, 6):
        for _ in range(10):
            costs = torch.randint(0, 8, (size, size), generator=generator).to(F64)
            columns, worst = bottleneck_assignment(costs)
            rows = torch.arange(size)
            expected = min(
                float(costs[rows, torch.tensor(order)].max()) for order in itertools.permutations(range(size))
            )
            assert worst == expected == float(costs[rows, columns].max())
            assert sorted(columns.tolist()) == list(range(size))
    with pytest.raises(ShapeError, match="square"):
        bottleneck_assignment(torch.zeros(2, 3))


PATHOLOGIES = [
    exploding_gradient(10.0),
    complete_unbalancedness(100.0, r=5.0),
    redundant_directions(100.0),
    opposite_directions_one(100.0),
    opposite_directions_one(7.0, direction=(-2.0, 0.5)),
    opposite_directions_two(100.0),
    sharp_pair(1e-2),
    sharp_pair(1e-4, height=0.3, spread=1e-4, weight=20.0),
]


@pytest.mark.parametrize("example", PATHOLOGIES, ids=lambda example: example.name)
def test_pathologies_have_their_known_distances(example: Pathology) -> None:
    found = inverse_stability(example.network, example.target)
    assert found.epsilon.exact
    assert found.epsilon.value == pytest.approx(example.epsilon, rel=1e-9)
    if example.distance_kind == "exact":
        assert found.nearest.exact
        assert found.nearest.distance == pytest.approx(example.distance, rel=1e-9)
    else:
        assert found.nearest.lower >= example.distance * (1 - 1e-9)
    assert found.nearest.network is not None
    assert same_function(found.nearest.network, example.target).verdict == "equal"
    moved = largest_change(found.nearest.network, example.network)
    assert moved == pytest.approx(found.nearest.distance, abs=1e-12)


def test_the_uniform_norm_of_the_exploding_example_is_small() -> None:
    for k in (4.0, 40.0):
        example = exploding_gradient(k)
        box = torch.ones(2, dtype=F64)
        assert sup_distance(example.network, example.target, -box, box).upper <= 1.001 / k
        assert inverse_stability(example.network, example.target).nearest.lower >= k / math.sqrt(2)


def test_the_sharp_pair_attains_the_constant_and_four_is_safe() -> None:
    for epsilon in (1e-1, 1e-2, 1e-3):
        pair = sharp_pair(epsilon)
        found = inverse_stability(pair.network, pair.target)
        assert found.applies
        assert found.ratio == pytest.approx(SHARP_CONSTANT, rel=1e-7)
        assert inverse_stability(pair.network, pair.target, constant=4.0).verdict == "holds"
        assert inverse_stability(pair.network, pair.target, constant=2.8).verdict == "violated"


def test_the_bound_holds_on_the_restricted_space() -> None:
    generator = torch.Generator().manual_seed(1)
    for index in range(300):
        network = restricted(generator, 3, 2 + index % 3, 1 + index % 2)
        size = 10.0 ** -(index % 5)
        noise = size * torch.randn(network.weights[1].shape, generator=generator, dtype=F64)
        target = balance(ReLUNetwork([network.weights[0], network.weights[1] + noise]))
        if index % 3 == 0:
            other = restricted(generator, 3, target.widths[1], target.widths[2])
            target = balance(
                ReLUNetwork(
                    [
                        torch.cat([target.weights[0][1:], other.weights[0][:1]]),
                        torch.cat([target.weights[1][:, 1:], size * other.weights[1][:, :1]], dim=1),
                    ]
                )
            )
        found = inverse_stability(network, target)
        assert found.applies
        assert found.epsilon.exact
        assert found.verdict == "holds"
        assert found.ratio <= SHARP_CONSTANT
        assert found.nearest.network is not None
        assert same_function(found.nearest.network, target).verdict == "equal"


def test_equal_functions_hold_whatever_the_rounding() -> None:
    generator = torch.Generator().manual_seed(4)
    for _ in range(20):
        network = restricted(generator, 3, 4, 2)
        order = torch.randperm(4, generator=generator)
        other = balance(ReLUNetwork([3.7 * network.weights[0][order], network.weights[1][:, order] / 3.7]))
        found = inverse_stability(network, other)
        assert found.verdict == "holds"
        assert found.nearest.distance < 1e-12
        assert half_space_stability(network, other).holds


def test_outside_the_restricted_space_the_bound_is_not_claimed() -> None:
    example = redundant_directions(1e4)
    found = inverse_stability(example.network, example.target)
    assert (found.applies, found.verdict) == (False, "violated")


def test_all_parametrizations_of_the_star() -> None:
    star = net([[-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], [[1.0, 1.0, 1.0]])
    found = all_parametrizations(star)
    assert len(found) == 2
    assert all(same_function(star, each).verdict == "equal" for each in found)
    tilted = net([[-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], [[1.5, 1.0, 1.0]])
    assert len(all_parametrizations(tilted)) == 1
    assert all_parametrizations(net([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], [[1.0, 1.0, -1.0]])) == []


def test_all_parametrizations_with_biases_against_every_choice_of_signs() -> None:
    generator = torch.Generator().manual_seed(3)
    bias = torch.tensor([0.5, -1.0, 2.0, 0.0], dtype=F64)
    first = torch.tensor([[1.0], [-1.0], [1.0], [1.0]], dtype=F64)
    second = torch.tensor([[1.0, 1.0, 1.0, 1.0]], dtype=F64)
    network = ReLUNetwork([first, second], [bias, torch.randn(1, generator=generator, dtype=F64)])
    found = all_parametrizations(network)
    # Slopes of +-1 with the sum 2: three of the four point to the right.
    assert len(found) == 4
    assert all(same_function(network, each).verdict == "equal" for each in found)


def best_by_search(a: ReLUNetwork, rows: Tensor, outputs: Tensor) -> float:
    """Largest parameter change over all scales, by a general-purpose optimiser."""
    mine = torch.cat([a.weights[0], a.bias_vectors[0][:, None]], dim=1)

    def worst(logs: Tensor) -> float:
        scale = torch.as_tensor(logs, dtype=F64).exp()[:, None]
        inner = (scale * rows - mine).abs().max()
        return float(torch.maximum(inner, (outputs / scale - a.weights[1].T).abs().max()))

    options = {"xatol": 1e-10, "fatol": 1e-10}
    return float(minimize(worst, [0.0] * len(rows), method="Nelder-Mead", options=options).fun)


def test_nearest_parametrization_with_biases_equals_a_numerical_search() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        a, b = (random_network(generator, 2, 2, 1, bias=True) for _ in range(2))
        found = nearest_parametrization(a, b)
        assert found.exact
        assert found.network is not None
        assert largest_change(found.network, a) == pytest.approx(found.distance, abs=1e-12)
        best = math.inf
        for each in all_parametrizations(b):
            shift = float((each.bias_vectors[1] - a.bias_vectors[1]).abs().max())
            rows = torch.cat([each.weights[0], each.bias_vectors[0][:, None]], dim=1)
            for order in ([0, 1], [1, 0]):
                search = best_by_search(a, rows[order], each.weights[1].T[order])
                best = min(best, max(search, shift))
        assert found.distance == pytest.approx(best, abs=1e-6)


def test_nearest_parametrization_with_too_few_and_with_spare_neurons() -> None:
    one, two = net([[1.0, 0.5]], [[1.0]]), net([[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0]])
    few = nearest_parametrization(one, two)
    assert (few.network, few.distance, few.exact) == (None, math.inf, True)
    spare = nearest_parametrization(two, one)
    assert spare.network is not None
    assert spare.lower <= spare.distance
    assert same_function(spare.network, one).verdict == "equal"
    same = nearest_parametrization(two, two)
    assert same.distance == pytest.approx(0.0, abs=1e-9)


def test_nearest_parametrization_gives_bounds_where_trying_all_orientations_is_too_much() -> None:
    generator = torch.Generator().manual_seed(0)
    # One input: every jump is a number, so only one orientation follows from the others.
    first, second = (random_network(generator, 1, 24, 1, bias=True) for _ in range(2))
    with pytest.raises(InputError, match="8388608 choices"):
        all_parametrizations(second)
    found = nearest_parametrization(first, second)
    assert "bounds only" in found.reason
    assert "8388608 choices" in found.reason
    assert not found.exact
    assert 0 < found.lower <= found.distance < math.inf
    assert found.network is not None
    assert same_function(found.network, second).verdict == "equal"


def test_nearest_parametrization_bad_input() -> None:
    network = net([[1.0, -0.5]], [[1.0]])
    with pytest.raises(InputError, match="restricted space"):
        nearest_parametrization(network, network, within="restricted")
    with pytest.raises(ShapeError, match="equal input and output sizes"):
        nearest_parametrization(network, net([[1.0]], [[1.0]]))
    biased = ReLUNetwork(network.weights, [torch.zeros(1, dtype=F64), torch.zeros(1, dtype=F64)])
    with pytest.raises(InputError, match="both"):
        nearest_parametrization(network, biased)


def test_half_space_form_is_the_same_function_and_stable() -> None:
    generator = torch.Generator().manual_seed(2)
    for index in range(200):
        d = 1 + index % 2
        a = random_network(generator, d, 3, 1 + index % 2, bias=True)
        x = torch.randn(20, d, generator=generator, dtype=F64)
        form = half_space_form(a)
        assert torch.allclose(form(x), a(x), atol=1e-11)
        assert (form.weights[:, -1] > 0).all()
        noise = 10.0 ** -(index % 4) * torch.randn(a.weights[1].shape, generator=generator, dtype=F64)
        other = random_network(generator, d, 3, 1 + index % 2, bias=True)
        b = ReLUNetwork([a.weights[0], a.weights[1] + noise], a.biases) if index % 3 else other
        found = half_space_stability(a, b)
        assert found.epsilon.exact
        assert found.holds
        assert found.neuron_distance <= found.neuron_bound


def test_the_lift_does_not_help_on_the_slice_but_the_half_space_form_does() -> None:
    for k in (10.0, 1000.0):
        star = opposite_directions_two(k)
        lifted = inverse_stability(lift(star.network), lift(star.target))
        assert lifted.applies
        assert lifted.verdict == "holds"
        assert lifted.epsilon.value >= 1.0  # although the functions are at 1 / k on the slice
        assert seminorm_distance(star.network, star.target).value == pytest.approx(1 / k)
        assert half_space_stability(star.network, star.target).neuron_distance < 1 / k


def test_pathologies_refuse_bad_parameters() -> None:
    with pytest.raises(InputError, match="parallel"):
        opposite_directions_one(2.0, direction=(2.0, 2.0))
    with pytest.raises(InputError, match="positive"):
        redundant_directions(-1.0)
    with pytest.raises(InputError, match="k >= 1"):
        exploding_gradient(0.5)
    with pytest.raises(InputError, match="spread"):
        sharp_pair(1e-2, spread=0.6)
