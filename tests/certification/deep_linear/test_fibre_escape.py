import pytest
import torch

from localmin.certification.deep_linear import construct_critical_point, escape_deep_linear
from localmin.errors import InputError
from localmin.testing.certification_reference import random_constructed_point

X = torch.eye(2, dtype=torch.float64)
Y = torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))


def test_non_strict_saddles_are_left() -> None:
    generator = torch.Generator().manual_seed(4)
    num_left = num_tried = 0
    while num_tried < 20:
        point, x, y = random_constructed_point(generator)
        if point.verdict != "non-strict-saddle":
            continue
        found = escape_deep_linear(point.weights, x, y, seed=generator)
        num_tried += 1
        num_left += found.has_decreased
    assert num_left >= 19


def test_decrease_shrinks_with_the_power_of_the_layers_that_must_move() -> None:
    for depth in (3, 4):
        point = construct_critical_point(X, Y, (2,) * (depth - 1), selected=[1], links="none", seed=1)
        decreases = []
        for radius in (0.2, 0.1):
            found = escape_deep_linear(point.weights, X, Y, radius_relative=radius, seed=0)
            decreases.append(found.loss_before - found.loss_after)
        assert 2.0 ** (depth - 1) < decreases[0] / decreases[1] < 2.0 ** (depth + 1)


def test_a_global_minimum_is_not_left() -> None:
    found = escape_deep_linear([X, Y], X, Y, seed=0)
    assert not found.has_decreased
    assert found.loss_after <= found.loss_before + 1e-12


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="radius_relative"):
        escape_deep_linear([X, Y], X, Y, radius_relative=0.0)
