from pathlib import Path

import pytest
import torch
from torch import nn

from localmin.errors import InputError, RunFolderError
from localmin.networks import DeepLinear, ReLUNetwork
from localmin.reduction import approximate_reduction, load_reduced, reduce
from localmin.testing.reduction_networks import as_sequential, random_network, random_points


def test_networks_come_back(tmp_path: Path) -> None:
    network, points = random_network(4, 60, 50, 2), random_points(5, 4)
    linear = DeepLinear(random_network(4, 60, 2, bias=False).weights)
    for kind in (network, ReLUNetwork(network.weights, network.biases), linear):
        result = reduce(kind, points)
        result.save(tmp_path)
        again = load_reduced(kind, tmp_path)
        assert type(again) is type(kind)
        assert torch.equal(again(points), result.network(points))


def test_modules_come_back(tmp_path: Path) -> None:
    module, points = as_sequential(random_network(4, 60, 50, 2)).float(), random_points(5, 4).float()
    result = reduce(module, points)
    result.save(tmp_path)
    again = load_reduced(module, tmp_path)
    assert torch.equal(again(points), result.network(points))
    assert isinstance(again[0], nn.Linear)
    assert again[0].out_features == result.widths_after[1]


def test_approximate_results_are_saved_too(tmp_path: Path) -> None:
    network, points = as_sequential(random_network(4, 20, 2)), random_points(50, 4)
    result = approximate_reduction(network, points, [5])
    path = result.save(tmp_path)
    assert '"method": "ridge-refit"' in path.read_text()
    assert torch.equal(load_reduced(network, tmp_path)(points), result.network(points))


def test_what_does_not_belong_is_refused(tmp_path: Path) -> None:
    network, points = as_sequential(random_network(4, 60, 2)), random_points(5, 4)
    with pytest.raises(RunFolderError, match="does not exist"):
        load_reduced(network, tmp_path / "nothing")
    reduce(network, points).save(tmp_path)
    with pytest.raises(InputError, match="only one of them has"):
        load_reduced(as_sequential(random_network(4, 9, 9, 2)), tmp_path)
    with pytest.raises(InputError, match="expected a module"):
        load_reduced("network", tmp_path)  # type: ignore[type-var]
