import itertools

import pytest
import torch

from localmin.certification.deep_linear import random_path_mean
from localmin.errors import InputError


def _weights(*widths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(after, before, generator=generator, dtype=torch.float64)
        for before, after in itertools.pairwise(widths)
    ]


@pytest.mark.parametrize("probability", [0.2, 0.7])
def test_mean_is_the_deep_linear_network(probability: float) -> None:
    weights = _weights(3, 2, 3, 2)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = random_path_mean(weights, x, probability=probability, num_draws=4000, seed=2)
    torch.testing.assert_close(found.expected, x @ (weights[2] @ weights[1] @ weights[0]).T)
    # Eight means: five standard errors are exceeded with probability below 1e-5.
    assert found.largest_deviation < 5.0


def test_paths_that_depend_on_the_input_have_another_mean() -> None:
    # A real ReLU network opens the path exactly where it is positive.
    x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    rectified = 2.0 * torch.relu(x)
    found = random_path_mean([torch.ones(1, 1), torch.ones(1, 1)], x, probability=0.5, num_draws=4000)
    assert float((found.mean - x).abs().max()) < 0.1
    assert float((found.mean - rectified).abs().max()) > 0.9


def test_bad_input_is_named() -> None:
    x = torch.ones(1, 10, dtype=torch.float64)
    with pytest.raises(InputError, match="paths"):
        random_path_mean(_weights(10, 20, 20, 20), x, probability=0.5, num_draws=2)
    with pytest.raises(InputError, match="probability"):
        random_path_mean(_weights(10, 1), x, probability=1.0, num_draws=2)
