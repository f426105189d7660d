import pytest

from localmin.errors import InputError
from localmin.reduction import reduce, truncated_rank_reduction
from localmin.testing.reduction_networks import random_network, random_points


def test_fewer_neurons_than_exact_at_the_price_of_norm() -> None:
    network, points = random_network(4, 200, 8), random_points(10, 4)
    exact = reduce(network, points, mode="vertex-b")
    rough = truncated_rank_reduction(network, points, rank_tolerance_relative=0.05)
    assert 10 <= rough.widths_after[1] < exact.widths_after[1]
    # Enough neurons for as many points: the outputs stay.
    assert rough.max_output_change_relative < 1e-9
    assert rough.norm_after > reduce(network, points).norm_after * 1.0001
    rougher = truncated_rank_reduction(
        network, points, rank_tolerance_relative=0.4, held_out_points=random_points(9, 4, seed=1)
    )
    assert rougher.widths_after[1] < rough.widths_after[1]
    assert rougher.output_error_relative > 1e-3
    assert rougher.drift_relative is not None
    assert rougher.settings["rank_tolerance_relative"] == 0.4


def test_without_balance_the_norm_is_larger() -> None:
    network, points = random_network(4, 200, 2), random_points(10, 4)
    plain = truncated_rank_reduction(network, points, num_balance_steps=0)
    assert truncated_rank_reduction(network, points).norm_after < plain.norm_after


def test_bad_input() -> None:
    network, points = random_network(4, 20, 2), random_points(5, 4)
    with pytest.raises(InputError, match="between 0 and 1"):
        truncated_rank_reduction(network, points, rank_tolerance_relative=1.0)
