import math

import pytest
import torch

from localmin.errors import InputError
from localmin.reduction import attraction_repulsion, layer_pictures
from localmin.testing.reduction_networks import random_network, random_points


def test_dots_and_arrows_are_principal_components() -> None:
    network, points = random_network(4, 12, 9, 2), random_points(7, 4)
    values = network.preactivations(points)[1]
    labels = torch.arange(7) % 2
    rows, neurons = layer_pictures(network, points, 2, labels=labels, smoothing_relative=0.0)
    assert [series.name for series in rows.series] == ["class 0", "class 1", "attraction", "repulsion"]
    assert [len(series.x) for series in rows.series[:2]] == [4, 3]
    axes = torch.linalg.svd(values.T, full_matrices=False)[2][:2]
    dots = values.T @ axes.T
    assert torch.allclose(torch.tensor(neurons.series[0].x).double(), dots[:, 0])
    forces = attraction_repulsion(network, points)[1]
    pulls = -forces.attraction.T @ axes.T
    arrows = neurons.series[1]
    drawn = torch.tensor(
        [[arrows.x[3 * k + 1] - arrows.x[3 * k], arrows.y[3 * k + 1] - arrows.y[3 * k]] for k in range(9)]
    ).double()
    scale = float(drawn.norm() / pulls.norm())
    assert torch.allclose(drawn, scale * pulls, atol=1e-9)
    assert all(math.isnan(arrows.y[3 * k + 2]) for k in range(9))


def test_smoothing_tames_directions_that_hardly_exist() -> None:
    network, points = random_network(4, 12, 2), random_points(6, 4)
    points[5] = points[4] + 1e-5
    sharp = attraction_repulsion(network, points)[0]
    smooth = attraction_repulsion(network, points, smoothing_relative=1e-3)[0]
    assert float(smooth.repulsion.norm()) < 0.1 * float(sharp.repulsion.norm())
    with pytest.raises(InputError, match="smoothing"):
        attraction_repulsion(network, points, smoothing_relative=-1.0)


def test_bad_input() -> None:
    network, points = random_network(4, 12, 2), random_points(6, 4)
    with pytest.raises(InputError, match="from 1 to 1"):
        layer_pictures(network, points, 2)
    with pytest.raises(InputError, match="one label for each of 6"):
        layer_pictures(network, points, 1, labels=torch.zeros(5))
