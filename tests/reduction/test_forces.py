import pytest
import torch

from localmin.reduction import (
    attraction_repulsion,
    balance,
    minimal_linear_network,
    neuron_balance,
    representations,
)
from localmin.testing.reduction_networks import random_network, random_points
from localmin.testing.reduction_reference import neighbour_norms


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("slope", [0.0, 0.3])
@pytest.mark.parametrize("layer", [1, 2])
def test_losses_and_gradients_against_autograd(bias: bool, slope: float, layer: int) -> None:
    network, points = random_network(7, 12, 14, 3, bias=bias, slope=slope), random_points(5, 7)
    forces = attraction_repulsion(network, points)[layer - 1]
    values = network.preactivations(points)[layer - 1].requires_grad_(True)
    into, out_of = neighbour_norms(network, points, layer, values)
    assert forces.attraction_loss == pytest.approx(into.item(), rel=1e-9)
    assert forces.repulsion_loss == pytest.approx(out_of.item(), rel=1e-9)
    for loss, gradient in ((into, forces.attraction), (out_of, forces.repulsion)):
        (expected,) = torch.autograd.grad(loss, values)
        assert float((gradient - expected).norm()) <= 1e-8 * float(expected.norm())


def test_forces_cancel_at_the_minimum_of_a_linear_network() -> None:
    x = random_points(9, 6)
    network = minimal_linear_network(x, x @ random_points(6, 6, seed=3), 3)
    layers = representations(network, x).layers
    for below, forces in zip(layers[:-2], attraction_repulsion(network, x), strict=True):
        size = float(forces.attraction.norm())
        assert size > 0.1
        # Only what lies in the span of the features below can be changed by the weights.
        span = below.features @ torch.linalg.pinv(below.features, rtol=1e-11)
        total = span @ (forces.attraction + forces.repulsion)
        assert float(total.norm()) < 1e-10 * size


def test_forces_do_not_cancel_elsewhere() -> None:
    forces = attraction_repulsion(random_network(6, 12, 2), random_points(5, 6))[0]
    assert float((forces.attraction + forces.repulsion).norm()) > 0.01 * float(forces.attraction.norm())


def test_balance_changes_no_output_and_balances() -> None:
    network, points = random_network(5, 8, 7, 3, slope=0.2), random_points(20, 5)
    balanced = balance(network)
    assert torch.allclose(balanced(points), network(points), atol=1e-12)
    assert balanced.squared_norm < network.squared_norm
    assert max(float(part.abs().max()) for part in neuron_balance(balanced)) < 1e-10
    assert max(float(part.abs().max()) for part in neuron_balance(network)) > 0.1
