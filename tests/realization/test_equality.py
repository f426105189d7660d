import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.realization import balance, normal_form, same_function

F64 = torch.float64


def draw(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=F64)


def random_network(seed: int, *widths: int, bias: bool = True) -> ReLUNetwork:
    generator = torch.Generator().manual_seed(seed)
    pairs = list(itertools.pairwise(widths))
    weights = [draw(generator, after, before) for before, after in pairs]
    biases = [draw(generator, after) for _, after in pairs] if bias else None
    return ReLUNetwork(weights, biases)


def disguise(network: ReLUNetwork, seed: int) -> ReLUNetwork:
    """Permute, rescale, split, add dead neurons and cancelling pairs; the function stays."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.cat([network.weights[0], network.bias_vectors[0][:, None]], dim=1)
    second = network.weights[1].T
    split = torch.rand(1, generator=generator, dtype=F64) * 3 - 1
    pair = draw(generator, 1, first.shape[1])
    output = draw(generator, 1, second.shape[1])
    dead = draw(generator, 1, first.shape[1])
    first = torch.cat([first, 2.5 * first[:1], pair, 3 * pair, dead, 0 * dead])
    rows = torch.cat([second, split * second[:1] / 2.5, output, -output / 3, 0 * output, output])
    rows[0] = (1 - split) * rows[0]
    scale = torch.exp(2 * draw(generator, len(first), 1))
    order = torch.randperm(len(first), generator=generator)
    first, rows = (scale * first)[order], (rows / scale)[order]
    biases = None if network.biases is None else [first[:, -1], network.bias_vectors[1]]
    return ReLUNetwork([first[:, :-1], rows.T], biases)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    d=st.integers(1, 5),
    m=st.integers(1, 7),
    outputs=st.integers(1, 3),
    bias=st.booleans(),
)
def test_disguises_are_equal_and_have_one_normal_form(
    seed: int, d: int, m: int, outputs: int, bias: bool
) -> None:
    network = random_network(seed, d, m, outputs, bias=bias)
    other = disguise(network, seed + 1)
    answer = same_function(network, other)
    assert answer.verdict == "equal"
    assert answer.upper_bound <= answer.tolerance_relative
    assert answer.witness is None
    assert answer.recheck(network, other)
    forms = [normal_form(each).network for each in (network, other, normal_form(network).network)]
    for form in forms[1:]:
        assert form.widths == forms[0].widths
        for mine, yours in zip(forms[0].parameters(), form.parameters(), strict=True):
            assert torch.allclose(mine, yours, rtol=1e-10, atol=1e-10)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), bias=st.booleans(), exponent=st.floats(-6, 0), where=st.integers(0, 10**6))
def test_perturbed_networks_are_different_with_a_valid_witness(
    seed: int, bias: bool, exponent: float, where: int
) -> None:
    network = random_network(seed, 3, 4, 2, bias=bias)
    vector = network.parameter_vector().clone()
    vector[where % len(vector)] += 10.0**exponent
    other = disguise(network.with_parameter_vector(vector), seed + 1)
    answer = same_function(network, other)
    assert answer.verdict == "different"
    assert answer.witness is not None
    assert answer.recheck(network, other)
    gap = (network(answer.witness[None]) - other(answer.witness[None])).abs().max()
    assert float(gap) == pytest.approx(answer.gap, abs=1e-12)
    assert answer.gap > answer.threshold


def test_the_flip_identity_holds_only_if_the_directions_add_up_to_zero() -> None:
    star = torch.tensor([[-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], dtype=F64)
    ones = torch.ones(1, 3, dtype=F64)
    assert same_function(ReLUNetwork([star, ones]), ReLUNetwork([-star, ones])).verdict == "equal"
    star[0, 0] = -1.0 + 1e-9
    answer = same_function(ReLUNetwork([star, ones]), ReLUNetwork([-star, ones]))
    assert answer.verdict == "different"


def test_the_question_is_relative_to_the_tolerance() -> None:
    network = random_network(0, 3, 4, 2)
    vector = network.parameter_vector().clone()
    vector[0] += 1e-6
    other = network.with_parameter_vector(vector)
    assert same_function(network, other, tolerance_relative=1e-4).verdict == "equal"
    assert same_function(network, other, tolerance_relative=1e-9).verdict == "different"
    between = [
        same_function(network, other, tolerance_relative=10.0**exponent).verdict
        for exponent in torch.linspace(-9, -4, 21).tolist()
    ]
    # A laxer question never turns "equal" into "different".
    order = {"different": 0, "undecided": 1, "equal": 2}
    assert between == sorted(between, key=order.__getitem__)
    assert "different" in between


def test_undecided_when_the_bounds_leave_a_gap() -> None:
    """Eight kinks of size s in general directions: the bound adds them up, no input sees them all."""
    generator = torch.Generator().manual_seed(0)
    network = random_network(1, 6, 8, 1, bias=False)
    extra = torch.cat([network.weights[0], draw(generator, 40, 6)])
    outputs = torch.cat([network.weights[1], 1e-6 * draw(generator, 1, 40)], dim=1)
    other = ReLUNetwork([extra, outputs])
    verdicts = {
        same_function(network, other, tolerance_relative=10.0**exponent).verdict
        for exponent in torch.linspace(-7, -4, 31).tolist()
    }
    assert verdicts == {"different", "undecided", "equal"}


def test_exact_arithmetic_sees_the_last_bit() -> None:
    network = random_network(3, 2, 3, 1)
    assert same_function(network, network, tolerance_relative=0.0).verdict == "equal"
    doubled = ReLUNetwork(
        [2 * network.weights[0], network.weights[1] / 2],
        [2 * network.bias_vectors[0], network.bias_vectors[1]],
    )
    answer = same_function(network, doubled, tolerance_relative=0.0)
    assert (answer.verdict, answer.method) == ("equal", "rational")
    assert answer.recheck(network, doubled)
    vector = network.parameter_vector().clone()
    vector[0] = math.nextafter(float(vector[0]), math.inf)
    other = network.with_parameter_vector(vector)
    answer = same_function(network, other, tolerance_relative=0.0)
    assert answer.verdict == "different"
    assert answer.recheck(network, other)
    assert same_function(network, other).verdict == "equal"


def test_exact_arithmetic_with_constant_neurons_and_opposite_pairs() -> None:
    first = torch.tensor([[0.0, 0.0], [1.0, 2.0], [-1.0, -2.0]], dtype=F64)
    network = ReLUNetwork(
        [first, torch.tensor([[3.0, 1.0, -1.0]], dtype=F64)],
        [torch.tensor([2.0, 0.5, -0.5], dtype=F64), torch.tensor([1.0], dtype=F64)],
    )
    affine = ReLUNetwork([torch.tensor([[1.0, 2.0]], dtype=F64)], [torch.tensor([7.5], dtype=F64)])
    wrong = ReLUNetwork([torch.tensor([[1.0, 2.0]], dtype=F64)], [torch.tensor([7.0], dtype=F64)])
    for tolerance in (None, 0.0):
        assert same_function(network, affine, tolerance_relative=tolerance).verdict == "equal"
        answer = same_function(network, wrong, tolerance_relative=tolerance)
        assert answer.verdict == "different"
        assert answer.recheck(network, wrong)


def test_float32_rescaling_is_equal_under_the_default() -> None:
    module = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 2))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    network = ReLUNetwork.from_module(module)
    scale = torch.linspace(0.1, 7.0, 9)
    other = ReLUNetwork(
        [network.weights[0] * scale[:, None], network.weights[1] / scale],
        [network.bias_vectors[0] * scale, network.bias_vectors[1]],
    )
    assert same_function(module, other).verdict == "equal"
    assert same_function(network.to(dtype=F64), other.to(dtype=F64)).verdict == "different"


@pytest.mark.parametrize("bias", [True, False])
def test_deep_networks_up_to_symmetry(bias: bool) -> None:
    network = random_network(5, 3, 6, 5, 4, 2, bias=bias)
    generator = torch.Generator().manual_seed(1)
    weights, biases = [w.clone() for w in network.weights], [b.clone() for b in network.bias_vectors]
    for layer in range(3):
        order = torch.randperm(len(weights[layer]), generator=generator)
        scale = torch.exp(draw(generator, len(order)))
        weights[layer] = (weights[layer] * scale[:, None])[order]
        biases[layer] = (biases[layer] * scale)[order]
        weights[layer + 1] = (weights[layer + 1] / scale)[:, order]
    other = ReLUNetwork(weights, biases if bias else None)
    answer = same_function(network, other)
    assert (answer.verdict, answer.method) == ("equal", "symmetry")
    assert answer.recheck(network, other)
    for size in (1e-6, 1e-3):
        weights[1] = weights[1].clone()
        weights[1][0, 0] += size
        wrong = ReLUNetwork(weights, biases if bias else None)
        answer = same_function(network, wrong)
        assert answer.verdict == "different"
        assert answer.recheck(network, wrong)


def test_numerically_parallel_neurons_are_reported_with_gap_and_tolerance() -> None:
    first = torch.tensor([[1.0, 0.0], [1.0, 1e-12]], dtype=F64)
    a = ReLUNetwork([first, torch.tensor([[1.0, 1.0]], dtype=F64)])
    b = ReLUNetwork([first[:1], torch.tensor([[2.0]], dtype=F64)])
    answer = same_function(a, b)
    assert answer.verdict == "different"
    assert answer.smallest_near_gap == pytest.approx(1e-12, rel=1e-3)
    assert "1.0e-12 apart count as different (tolerance 5.7e-14)" in answer.reason
    assert same_function(a, b, tolerance_relative=1e-11).verdict == "equal"
    assert same_function(a, a).smallest_near_gap == math.inf


def test_a_tolerance_below_rounding_falls_back_to_exact_arithmetic() -> None:
    network = random_network(3, 2, 3, 1)
    doubled = ReLUNetwork(
        [2 * network.weights[0], network.weights[1] / 2],
        [2 * network.bias_vectors[0], network.bias_vectors[1]],
    )
    answer = same_function(network, doubled, tolerance_relative=1e-18)
    assert (answer.verdict, answer.method, answer.upper_bound) == ("equal", "rational", 0.0)


@pytest.mark.parametrize("size", [1e-200, 1e150])
def test_extreme_weights_do_not_mislead(size: float) -> None:
    network = random_network(9, 3, 4, 2, bias=False)
    scaled = ReLUNetwork([network.weights[0] * size, network.weights[1] / size])
    assert same_function(network, scaled).verdict == "equal"
    wrong = ReLUNetwork([scaled.weights[0], scaled.weights[1] * (1 + 1e-6)])
    answer = same_function(network, wrong)
    assert answer.verdict == "different"
    assert answer.recheck(network, wrong)


def test_many_equal_neurons_do_not_drown_in_rounding() -> None:
    """A hundred thousand copies of a few neurons: the bound on rounding must stay below the tolerance."""
    network = random_network(1, 3, 4, 2)
    copies = torch.arange(100_000) % 4
    other = ReLUNetwork(
        [network.weights[0][copies] * 3.0, network.weights[1][:, copies] / 75_000.0],
        [network.bias_vectors[0][copies] * 3.0, network.bias_vectors[1]],
    )
    assert same_function(network, other).verdict == "equal"


def test_evidence_for_another_pair_fails_the_recheck() -> None:
    network, other = random_network(7, 3, 4, 2), random_network(8, 3, 4, 2)
    assert not same_function(network, other).recheck(network, network)
    assert not same_function(network, network).recheck(network, other)


def test_bad_input() -> None:
    network = random_network(0, 3, 4, 2)
    with pytest.raises(ShapeError, match="same input and output sizes"):
        same_function(network, random_network(0, 3, 4, 1))
    with pytest.raises(InputError, match="tolerance_relative"):
        same_function(network, network, tolerance_relative=-1.0)
    with pytest.raises(InputError, match="Tanh"):
        same_function(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), network)
    with pytest.raises(InputError, match="Conv2d"):
        same_function(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Linear(4, 2)), network)
    with pytest.raises(InputError, match="expected a ReLUNetwork"):
        same_function("network", network)  # type: ignore[arg-type]
    deep = random_network(0, 3, 4, 4, 2)
    with pytest.raises(InputError, match="at most one hidden layer"):
        same_function(deep, deep, tolerance_relative=0.0)


def test_to_dict_is_plain() -> None:
    network = random_network(0, 3, 4, 2)
    stored = same_function(network, random_network(1, 3, 4, 2)).to_dict()
    assert stored["verdict"] == "different"
    assert len(stored["witness"]) == 3
    assert same_function(network, balance(network)).to_dict()["witness"] is None


@pytest.mark.slow
def test_ten_thousand_perturbations_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    for seed in range(10_000):
        network = random_network(seed, 1 + seed % 4, 1 + seed % 6, 1 + seed % 3, bias=seed % 2 == 0)
        vector = network.parameter_vector()
        size = 10.0 ** float(-6 * torch.rand(1, generator=generator))
        step = draw(generator, len(vector))
        other = disguise(network.with_parameter_vector(vector + size * step / step.abs().max()), seed)
        answer = same_function(network, other)
        assert answer.verdict == "different", seed
        assert answer.recheck(network, other), seed
