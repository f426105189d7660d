"""Diagnostics against processes whose answers are known."""

import math

import pytest
import torch

from localmin.errors import InputError, ShapeError
from localmin.langevin import (
    OverdampedKernel,
    Quadratic,
    SheetDoubleWell,
    basin_labels,
    count_escapes,
    effective_sample_size,
    mala_acceptance,
    split_r_hat,
)


def _autoregressive(coefficient: float, chains: int, length: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(length, chains, generator=generator, dtype=torch.float64)
    values = [noise[0] / math.sqrt(1 - coefficient**2)]
    for one in noise[1:]:
        values.append(coefficient * values[-1] + one)
    return torch.stack(values, dim=1)


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 0.9])
def test_effective_sample_size_of_an_autoregressive_chain(coefficient: float) -> None:
    draws = _autoregressive(coefficient, 4, 5000)
    expected = 20_000 * (1 - coefficient) / (1 + coefficient)
    assert effective_sample_size(draws) == pytest.approx(expected, rel=0.2)


def test_stuck_chains_are_worth_little() -> None:
    draws = _autoregressive(0.0, 2, 1000)
    draws[1] += 10
    assert effective_sample_size(draws) < 20
    assert split_r_hat(draws) > 5
    assert split_r_hat(_autoregressive(0.0, 4, 1000)) == pytest.approx(1.0, abs=0.01)
    drifting = torch.linspace(0, 1, 100).expand(3, -1)
    assert split_r_hat(drifting) > 1.5
    assert split_r_hat(torch.ones(2, 10)) == 1.0
    assert effective_sample_size(torch.ones(2, 10)) == 20


def test_acceptance_falls_with_the_step_and_is_exact_for_a_reversible_pair() -> None:
    target, temperature = Quadratic((1.0,) * 10), 0.3
    generator, means = torch.Generator().manual_seed(1), []
    for step in (0.01, 0.2, 1.0):
        x = torch.randn(2000, 10, generator=generator, dtype=torch.float64) * math.sqrt(temperature)
        kernel = OverdampedKernel(step, temperature)
        state, _ = kernel.step(kernel.init(x), target.gradient(x), generator)
        y = state.position
        found = mala_acceptance(
            target.value(x),
            target.gradient(x),
            x,
            target.value(y),
            target.gradient(y),
            y,
            step_size=step,
            temperature=temperature,
        )
        # Quadratic target: the log ratio is step (|x|^2 - |y|^2) / (4 T), derived by hand.
        by_hand = (step * (x.square() - y.square()).sum(-1) / (4 * temperature)).clamp(max=0).exp()
        torch.testing.assert_close(found, by_hand, rtol=1e-9, atol=1e-12)
        means.append(float(found.mean()))
    assert means[0] > 0.99
    assert means[0] > means[1] > means[2]
    with pytest.raises(InputError, match="above 0"):
        mala_acceptance(*[torch.zeros(1)] * 6, step_size=0.1, temperature=0.0)


def test_basin_labels_in_two_dimensions() -> None:
    points = torch.tensor([[0.3, 0.0], [-0.2, 1.0], [2.0, 2.0], [-1.0, -1.0]])
    labels, minima = basin_labels(points, SheetDoubleWell(slope=0.1).gradient, step_size=0.2)
    assert labels[0] == labels[2] == 0
    torch.testing.assert_close(minima[0], torch.tensor([1.0, 0.1]), atol=1e-4, rtol=0)
    assert labels[3] == 1
    assert len(minima) == 2


def test_escapes_are_counted_per_chain_and_blips_ignored() -> None:
    labels = torch.tensor([[0, 0, 1, 1, 0, 1, 1], [2, 2, 2, 0, 0, 0, 0]]).T
    assert count_escapes(labels) == 4
    assert count_escapes(labels, min_stay=2) == 2
    with pytest.raises(InputError, match="min_stay"):
        count_escapes(labels, min_stay=0)


def test_shapes_are_checked() -> None:
    for function in (split_r_hat, effective_sample_size):
        with pytest.raises(ShapeError, match="chains, draws"):
            function(torch.zeros(5))


def test_basins_of_no_points_are_refused() -> None:
    with pytest.raises(ShapeError, match="not be empty"):
        basin_labels(torch.zeros(0, 2), lambda x: x, step_size=0.1)
