import pytest
import torch

from localmin.errors import InputError
from localmin.networks import DeepLinear
from localmin.reduction import minimal_linear_network, project, representations
from localmin.testing.reduction_networks import random_network, random_points


@pytest.mark.parametrize("bias", [True, False])
def test_three_forms_of_the_norm(bias: bool) -> None:
    network, points = random_network(7, 12, 11, 3, bias=bias), random_points(5, 7)
    loose = representations(network, points)
    assert loose.parameter_norm == pytest.approx(network.squared_norm)
    assert loose.representation_norm < loose.parameter_norm - 0.1
    assert loose.covariance_norm == pytest.approx(loose.representation_norm, rel=1e-9)
    tight = representations(project(network, points).network, points)
    assert tight.parameter_norm == pytest.approx(tight.representation_norm, rel=1e-9)
    assert tight.representation_norm == pytest.approx(loose.representation_norm, rel=1e-9)


def test_three_forms_of_the_loss() -> None:
    network, points = random_network(7, 12, 11, 3), random_points(5, 7)

    def loss(outputs: torch.Tensor) -> torch.Tensor:
        return outputs.square().sum()

    loose = representations(network, points).losses(loss, 0.3)
    assert loose[0] == pytest.approx(float(loss(network(points))) + 0.3 * network.squared_norm)
    assert loose[0] > loose[1] + 0.03
    tight = representations(project(network, points).network, points).losses(loss, 0.3)
    assert tight == pytest.approx([loose[1]] * 3, rel=1e-9)


def test_layers_by_hand() -> None:
    network, points = random_network(7, 12, 3), random_points(5, 7)
    layers = representations(network, points).layers
    values = network.preactivations(points)
    assert torch.equal(layers[1].preactivations, values[0])
    assert torch.allclose(layers[1].gram, values[0] @ values[0].T)
    features = torch.relu(values[0])
    assert torch.allclose(layers[1].feature_gram, features @ features.T + 1.0)
    assert (layers[0].rank, layers[1].rank, layers[2].rank) == (5, 5, 3)


def test_projection_keeps_outputs_and_reports() -> None:
    network, points = random_network(7, 12, 3), random_points(5, 7)
    result = project(network, points)
    assert result.max_output_change < 1e-12
    assert result.norm_after < result.norm_before
    assert result.ranks == (5, 5)
    other = random_points(4, 7, seed=5)
    assert not torch.allclose(result.network(other), network(other), atol=1e-3)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_linear_closed_form(depth: int) -> None:
    x = random_points(9, 6)
    y = x @ random_points(6, 4, seed=3)
    network = minimal_linear_network(x, y, depth)
    values = torch.linalg.svdvals(torch.linalg.pinv(x) @ y)
    assert torch.allclose(network(x), y, atol=1e-11)
    assert float(network.squared_norm) == pytest.approx(
        depth * float((values ** (2 / depth)).sum()), rel=1e-10
    )
    wider = DeepLinear([part * 1.1 for part in network.weights])
    assert representations(wider, x).parameter_norm > float(network.squared_norm)
    with pytest.raises(InputError, match="no linear map"):
        minimal_linear_network(x, torch.sin(3 * y), depth)
