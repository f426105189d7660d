"""Networks with several hidden layers: normal form, matching, verdicts that are sound in both directions."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.realization import deep_normal_form, match_neurons, same_function
from localmin.realization.deep_symmetries import deep_magnitude

F64 = torch.float64


def draw(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=F64)


def random_network(seed: int, *widths: int, bias: bool = True) -> ReLUNetwork:
    generator = torch.Generator().manual_seed(seed)
    pairs = list(itertools.pairwise(widths))
    biases = [draw(generator, after) for _, after in pairs] if bias else None
    return ReLUNetwork([draw(generator, after, before) for before, after in pairs], biases)


def disguise(network: ReLUNetwork, seed: int) -> ReLUNetwork:
    """In every hidden layer permute, rescale, split, add dead neurons and cancelling pairs."""
    generator = torch.Generator().manual_seed(seed)
    weights, biases = list(network.weights), list(network.bias_vectors)
    for layer in range(network.depth - 1):
        first = torch.cat([weights[layer], biases[layer][:, None]], dim=1)
        second = weights[layer + 1].T
        share = torch.rand(1, generator=generator, dtype=F64) * 3 - 1
        pair, dead = draw(generator, 1, first.shape[1]), draw(generator, 1, first.shape[1])
        if network.biases is None:
            pair[:, -1], dead[:, -1] = 0.0, 0.0
        output = draw(generator, 1, second.shape[1])
        first = torch.cat([first, 2.5 * first[:1], pair, 3 * pair, dead, 0 * dead])
        rows = torch.cat([second, share * second[:1] / 2.5, output, -output / 3, 0 * output, output])
        rows[0] = (1 - share) * rows[0]
        scale = torch.exp(draw(generator, len(first), 1))
        order = torch.randperm(len(first), generator=generator)
        first, rows = (scale * first)[order], (rows / scale)[order]
        weights[layer], biases[layer] = first[:, :-1], first[:, -1]
        weights[layer + 1] = rows.T
    return ReLUNetwork(weights, None if network.biases is None else biases)


def largest_ratio(a: ReLUNetwork, b: ReLUNetwork, seed: int) -> float:
    """Sampled ``max|f_a - f_b| / size``."""
    x = 3 * draw(torch.Generator().manual_seed(seed), 2000, a.widths[0])
    gap = (a(x) - b(x)).abs().amax(dim=1)
    return float((gap / torch.maximum(deep_magnitude(a, x), deep_magnitude(b, x))).max())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    widths=st.lists(st.integers(1, 6), min_size=4, max_size=5),
    bias=st.booleans(),
)
def test_disguises_are_equal_and_have_one_normal_form(seed: int, widths: list[int], bias: bool) -> None:
    network = random_network(seed, *widths, bias=bias)
    other = disguise(network, seed + 1)
    answer = same_function(network, other)
    assert answer.verdict == "equal"
    assert answer.upper_bound <= answer.tolerance_relative
    assert answer.recheck(network, other)
    forms = [deep_normal_form(each) for each in (network, other, deep_normal_form(network).network)]
    for form in forms:
        assert form.network.widths == forms[0].network.widths
        assert form.report.residual < 1e-12
        pairs = zip(forms[0].network.parameters(), form.network.parameters(), strict=True)
        for mine, yours in pairs:
            assert torch.allclose(mine, yours, rtol=1e-10, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), bias=st.booleans(), exponent=st.floats(-6, 0), data=st.data())
def test_perturbed_networks_are_never_equal(
    seed: int, bias: bool, exponent: float, data: st.DataObject
) -> None:
    network = random_network(seed, 3, 6, 5, 2, bias=bias)
    vector = network.parameter_vector().clone()
    vector[data.draw(st.integers(0, len(vector) - 1))] += 10.0**exponent
    changed = network.with_parameter_vector(vector)
    other = disguise(changed, seed + 1)
    answer = same_function(network, other)
    # A weight of a neuron that is never active may be without effect; then no input can show it.
    if answer.verdict == "different":
        assert answer.recheck(network, other)
    else:
        assert largest_ratio(network, changed, seed) <= answer.tolerance_relative
    match = match_neurons(network, changed)
    assert largest_ratio(network, changed, seed) <= match.bound * (1 + 1e-9) + 1e-14


def test_the_bound_is_attained_in_size() -> None:
    """Changing one output weight by a share changes the bound by a similar share, not by orders."""
    network = random_network(0, 2, 4, 3, 1)
    weights = [*network.weights[:2], network.weights[2] * (1 + 1e-5)]
    bound = match_neurons(network, ReLUNetwork(weights, network.biases)).bound
    assert 1e-7 < bound < 1e-4


def test_neurons_that_can_never_be_active_are_dropped() -> None:
    first = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=F64)
    second = torch.tensor([[-1.0, -2.0], [1.0, 3.0], [0.0, 0.0]], dtype=F64)
    bias = torch.tensor([-0.5, 0.3, 2.0], dtype=F64)
    last = torch.tensor([[7.0, 1.0, 5.0]], dtype=F64)
    network = ReLUNetwork([first, second, last], [None, bias, None])
    form = deep_normal_form(network)
    assert form.network.widths == (2, 2, 1, 1)
    assert (form.report.num_dead, form.report.num_constant, form.report.num_merged) == (1, 1, 0)
    assert form.network.bias_vectors[2].tolist() == [10.0]
    x = draw(torch.Generator().manual_seed(0), 50, 2)
    torch.testing.assert_close(form.network(x), network(x))
    assert form.report.to_dict()["widths_after"] == (2, 2, 1, 1)


def test_everything_cancels() -> None:
    first = torch.ones(2, 3, dtype=F64)
    network = ReLUNetwork([first, torch.tensor([[1.0, -1.0]], dtype=F64), torch.ones(2, 1, dtype=F64)])
    form = deep_normal_form(network)
    assert form.network.widths == (3, 0, 0, 2)
    zero = ReLUNetwork(
        [torch.zeros(1, 3, dtype=F64), torch.ones(1, 1, dtype=F64), torch.ones(2, 1, dtype=F64)]
    )
    assert same_function(network, zero).verdict == "equal"


def test_another_coincidence_is_undecided() -> None:
    """The flip identity of the star is no matter of single neurons: no proof, and no witness either."""
    star = torch.tensor([[-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], dtype=F64)
    second = torch.ones(1, 3, dtype=F64)
    a, b = (ReLUNetwork([side * star, second, torch.ones(1, 1, dtype=F64)]) for side in (1, -1))
    answer = same_function(a, b)
    assert (answer.verdict, answer.witness) == ("undecided", None)
    assert answer.upper_bound > answer.tolerance_relative
    assert not answer.recheck(a, b)


def test_matching_names_the_neurons_that_differ() -> None:
    network = random_network(3, 3, 5, 4, 2)
    weights = [weight.clone() for weight in network.weights]
    weights[1][2, 0] += 1e-3
    order = torch.tensor([4, 2, 0, 1, 3])
    weights[0], weights[1] = weights[0][order], weights[1][:, order]
    biases = [network.bias_vectors[0][order], *network.bias_vectors[1:]]
    found = match_neurons(network, ReLUNetwork(weights, biases))
    assert sorted(found.layers[0].pairs) == [(0, 2), (1, 3), (2, 1), (3, 4), (4, 0)]
    assert (found.layers[0].only_a, found.layers[0].only_b) == ((), ())
    assert (found.layers[1].only_a, found.layers[1].only_b, found.layers[1].num_common) == ((2,), (2,), 3)
    assert found.to_dict()["layers"][1]["only_a"] == (2,)


def test_different_depths_and_sizes() -> None:
    deep, shallow = random_network(0, 3, 4, 4, 2), random_network(0, 3, 4, 2)
    assert match_neurons(deep, shallow).bound == math.inf
    assert same_function(deep, shallow).verdict == "different"
    with pytest.raises(ShapeError, match="same input and output sizes"):
        match_neurons(deep, random_network(0, 2, 4, 2))
    with pytest.raises(InputError, match="hidden layer"):
        deep_normal_form(random_network(0, 3, 2))
    with pytest.raises(InputError, match="tolerance_relative"):
        deep_normal_form(deep, tolerance_relative=-1.0)


def test_nearly_parallel_neurons_are_reported() -> None:
    network = random_network(0, 2, 3, 3, 1)
    first = torch.cat(
        [network.weights[0], network.weights[0][:1] * (1 + torch.tensor([0.0, 1e-12], dtype=F64))]
    )
    bias = torch.cat([network.bias_vectors[0], network.bias_vectors[0][:1]])
    second = torch.cat([network.weights[1], torch.ones(3, 1, dtype=F64)], dim=1)
    near = ReLUNetwork([first, second, network.weights[2]], [bias, *network.bias_vectors[1:]])
    report = deep_normal_form(near).report
    assert report.num_merged == 0
    assert 1e-14 < report.smallest_near_gap < 2e-12
    assert deep_normal_form(near, tolerance_relative=1e-11).report.num_merged == 1


@pytest.mark.slow
def test_two_thousand_perturbations_of_deep_networks_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    for seed in range(2000):
        network = random_network(
            seed, 1 + seed % 4, 2 + seed % 6, 2 + seed % 5, 1 + seed % 3, bias=seed % 2 == 0
        )
        vector = network.parameter_vector()
        size = 10.0 ** float(-6 * torch.rand(1, generator=generator))
        step = draw(generator, len(vector))
        changed = network.with_parameter_vector(vector + size * step / step.abs().max())
        other = disguise(changed, seed)
        answer = same_function(network, other)
        if answer.verdict == "equal":  # a network may be the zero function, before and after
            assert largest_ratio(network, other, seed) <= answer.tolerance_relative, seed
            continue
        assert answer.verdict == "different", seed
        assert answer.recheck(network, other), seed
