import json
import math

import numpy as np
import pytest
import scipy.integrate
import torch

from localmin.errors import InputError
from localmin.numerics import SpectralDensity, spectral_density

SPECTRUM = torch.cat([torch.linspace(-1.0, 0.0, 100), torch.linspace(0.5, 3.0, 300)]).double()


def density(num_steps: int = 60, num_starts: int = 30, seed: int = 0) -> SpectralDensity:
    return spectral_density(
        lambda v: SPECTRUM * v, len(SPECTRUM), num_steps=num_steps, num_starts=num_starts, seed=seed
    )


def test_moments_agree_with_the_spectrum_within_their_error() -> None:
    found = density()
    for power in (1, 2, 5):
        mean = found.mean_of(lambda nodes, power=power: nodes**power)  # type: ignore[misc]
        assert 0.0 < mean.standard_error < 0.2 * 3.0**power
        assert abs(mean.value - float((SPECTRUM**power).mean())) < 4.0 * mean.standard_error
    assert found.num_products == 60 * 30


def test_the_error_bar_covers_the_error_over_seeds() -> None:
    truth = float(SPECTRUM.square().mean())
    misses = 0
    for seed in range(100):
        mean = density(num_steps=5, num_starts=10, seed=seed).mean_of(np.square)
        misses += abs(mean.value - truth) > 3.0 * mean.standard_error
    # Ten starts: a t distribution with nine degrees of freedom is beyond 3 with probability 1.5 %.
    assert misses <= 7


def test_fractions_and_smoothed_density() -> None:
    found = density()
    negative = found.fraction_below(-1e-3)
    assert abs(negative.value - float((SPECTRUM < -1e-3).double().mean())) < 0.02
    points = np.linspace(-2.0, 4.0, 601)
    values, errors = found.smoothed(points.tolist(), 0.05)
    assert scipy.integrate.trapezoid(values, points) == pytest.approx(1.0, abs=1e-6)
    assert values[int(np.searchsorted(points, 0.25))] < 0.2 * max(values)
    assert max(errors) < 0.5 * max(values)


def test_invariant_spaces_end_a_start_early() -> None:
    diagonal = torch.tensor([1.0] * 50 + [4.0] * 50, dtype=torch.float64)
    found = spectral_density(lambda v: diagonal * v, 100, num_steps=40, num_starts=200)
    assert {len(row) for row in found.nodes} == {2}
    assert found.num_products == 400
    assert abs(found.fraction_below(2.0).value - 0.5) < 0.02


def test_one_start_has_no_error_bar_and_round_trips() -> None:
    found = density(num_starts=1)
    assert math.isnan(found.fraction_below(0.0).standard_error)
    assert SpectralDensity.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="expected"):
        density(num_steps=0)
    with pytest.raises(InputError, match="width"):
        density(num_starts=1).smoothed([0.0], 0.0)
    with pytest.raises(InputError, match="NaN"):
        spectral_density(lambda v: v * math.nan, 10)
