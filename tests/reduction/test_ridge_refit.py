import pytest
import torch

from localmin.errors import InputError
from localmin.reduction import approximate_reduction
from localmin.testing.reduction_networks import random_network, random_points


def test_approximate_reduction_measures_its_error() -> None:
    network, points = random_network(4, 40, 30, 2), random_points(300, 4)
    rough = approximate_reduction(network, points, [10, 8], held_out_points=random_points(50, 4, seed=1))
    fine = approximate_reduction(network, points, [38, 28])
    assert rough.widths_after == (4, 10, 8, 2)
    error = (rough.network(points) - network(points)).norm() / network(points).norm()
    assert rough.output_error_relative == pytest.approx(float(error), rel=1e-9)
    assert fine.output_error_relative < rough.output_error_relative
    assert rough.drift_relative is not None
    assert fine.drift_relative is None
    with pytest.raises(InputError, match="one width from 1"):
        approximate_reduction(network, points, [50, 8])
    with pytest.raises(InputError, match="needs the loss"):
        approximate_reduction(network, points, [10, 8], num_fine_tune_steps=5)
    with pytest.raises(InputError, match="belong together"):
        approximate_reduction(network, points, [10, 8], penalty=0.1)


def test_as_many_neurons_as_points_and_no_ridge_keep_the_outputs() -> None:
    network, points = random_network(4, 60, 2), random_points(8, 4)
    plain = approximate_reduction(network, points, [9], ridge_relative=0.0, num_balance_steps=0)
    balanced = approximate_reduction(network, points, [9], ridge_relative=0.0)
    assert plain.max_output_change_relative < 1e-9
    assert balanced.max_output_change_relative < 1e-9
    assert balanced.norm_after < plain.norm_after
    assert balanced.norm_after == pytest.approx(balanced.network.squared_norm)


def test_the_best_ridge_and_fine_tuning_lower_the_loss() -> None:
    network, points = random_network(4, 40, 30, 2, slope=0.1), random_points(120, 4)
    targets = network(points)

    def loss(outputs: torch.Tensor) -> torch.Tensor:
        return (outputs - targets).square().sum() / len(targets)

    def run(ridge: float | None, steps: int) -> float:
        result = approximate_reduction(
            network,
            points,
            [10, 8],
            ridge_relative=ridge,
            loss=loss,
            penalty=1e-3,
            num_fine_tune_steps=steps,
        )
        small = result.network
        expected = float(loss(small(points))) + 1e-3 * small.squared_norm
        assert result.loss_after == pytest.approx(expected, rel=1e-9)
        assert result.loss_before == pytest.approx(1e-3 * network.squared_norm)
        return expected

    best = run(None, 0)
    assert best == min(run(ridge, 0) for ridge in (0.0, 1e-8, 1e-6, 1e-4, 1e-2))
    assert run(None, 30) < 0.8 * best
