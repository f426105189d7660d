import pytest
import torch

from localmin.errors import InputError
from localmin.reduction import coreset_reduction
from localmin.reduction.coreset import choose_coreset
from localmin.testing.reduction_networks import random_network, random_points


def test_exact_on_the_chosen_points_measured_on_all() -> None:
    network, points = random_network(4, 60, 2), random_points(200, 4)
    result = coreset_reduction(network, points, 8, held_out_points=random_points(20, 4, seed=1))
    chosen = choose_coreset(network, points, 8)
    assert torch.allclose(result.network(points[chosen]), network(points[chosen]), atol=1e-10)
    error = (result.network(points) - network(points)).norm() / network(points).norm()
    assert result.output_error_relative == pytest.approx(float(error), rel=1e-9)
    assert result.output_error_relative > 1e-3
    assert result.widths_after[1] <= 8 * 2 - 1
    assert result.norm_after <= result.norm_before
    finer = coreset_reduction(network, points, 25)
    assert finer.output_error_relative < result.output_error_relative


def test_the_choice_spans_better_than_the_first_points() -> None:
    network, points = random_network(3, 30, 2), random_points(100, 3)
    points[:10] = points[:1] * torch.linspace(1, 2, 10).double()[:, None]
    features = network.activate(1, network.preactivations(points)[0])

    def missed(indices: torch.Tensor) -> float:
        span = torch.linalg.svd(features[indices], full_matrices=False)[2]
        return float((features - features @ span.T @ span).norm())

    assert missed(choose_coreset(network, points, 10)) < 0.5 * missed(torch.arange(10))


def test_more_points_than_the_rank_and_bad_input() -> None:
    network, points = random_network(2, 4, 1), random_points(50, 2)
    assert len(set(choose_coreset(network, points, 40).tolist())) == 40
    with pytest.raises(InputError, match="from 1 to 50"):
        coreset_reduction(network, points, 51)
