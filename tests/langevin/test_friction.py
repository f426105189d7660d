"""Friction helpers: conversions, and curvature estimates against dense eigenvalues."""

import numpy as np
import pytest
import torch

from localmin.errors import InputError
from localmin.langevin import (
    critical_friction,
    estimate_curvature,
    friction_from_momentum,
    momentum_from_friction,
)


def test_conversions_are_inverse() -> None:
    assert momentum_from_friction(friction_from_momentum(0.83, 0.07), 0.07) == pytest.approx(0.83)
    # Critical friction as a momentum: exp(-2 sqrt(m lr)).
    assert momentum_from_friction(critical_friction(0.3), 0.05) == pytest.approx(
        np.exp(-2 * np.sqrt(0.3 * 0.05))
    )


@pytest.mark.parametrize("dimension", [3, 20, 300])
def test_estimated_ends_of_the_spectrum(dimension: int) -> None:
    generator = np.random.default_rng(dimension)
    basis = np.linalg.qr(generator.standard_normal((dimension, dimension)))[0]
    spectrum = np.sort(np.exp(generator.uniform(-1.5, 2.0, dimension)))
    matrix = torch.from_numpy(basis @ np.diag(spectrum) @ basis.T)
    smallest, largest = estimate_curvature(lambda v: matrix @ v, dimension, max_products=2000)
    assert smallest == pytest.approx(spectrum[0], rel=0.02)
    assert largest == pytest.approx(spectrum[-1], rel=0.005)


def test_a_small_budget_still_answers_from_inside_the_spectrum() -> None:
    spectrum = torch.logspace(-4, 0, 500, dtype=torch.float64)
    calls = []

    def product(vector: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return spectrum * vector

    smallest, largest = estimate_curvature(product, 500, max_products=30)
    assert 1e-4 <= smallest < 0.05
    assert 0.9 < largest <= 1.0 + 1e-12
    assert len(calls) < 250


def test_the_floor_rules_at_a_saddle() -> None:
    spectrum = torch.tensor([-1.0, 0.0, 2.0, 5.0], dtype=torch.float64)
    smallest, largest = estimate_curvature(lambda v: spectrum * v, 4, floor=0.01)
    assert smallest == 0.01
    assert largest == pytest.approx(5.0)
    assert estimate_curvature(lambda v: spectrum * v, 4)[0] == pytest.approx(-1.0)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="dimension >= 3"):
        estimate_curvature(lambda v: v, 2)
    with pytest.raises(InputError, match="not finite"):
        estimate_curvature(lambda v: v * float("nan"), 4)
    with pytest.raises(InputError, match="momentum"):
        friction_from_momentum(1.0, 0.1)
    with pytest.raises(InputError, match="curvature above 0"):
        critical_friction(0.0)
