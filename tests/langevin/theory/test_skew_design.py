"""The optimal skew matrix reaches the upper bound in every dimension; its Euler limit is as small as said."""

import numpy as np
import pytest
from scipy.linalg import expm

from localmin.errors import InputError, ShapeError
from localmin.langevin import theory


@pytest.mark.parametrize("dimension", [2, 3, 4, 5, 7, 8])
def test_optimal_skew_equalises_all_rates(dimension: int) -> None:
    generator = np.random.default_rng(dimension)
    rotation = np.linalg.qr(generator.standard_normal((dimension, dimension)))[0]
    hessian = rotation @ np.diag(np.exp(generator.uniform(-2, 1, dimension))) @ rotation.T
    levels = generator.permutation(np.arange(1.0, dimension + 1))
    skew = theory.optimal_skew(hessian, levels=levels)
    np.testing.assert_allclose(skew, -skew.T)
    rates = np.linalg.eigvals((np.eye(dimension) + skew) @ hessian).real
    np.testing.assert_allclose(rates, np.trace(hessian) / dimension, rtol=1e-8)


def test_known_four_dimensional_case() -> None:
    hessian = np.diag(np.logspace(-2, 0, 4))
    skew = theory.optimal_skew(hessian)
    assert theory.convergence_rate(hessian, "nonreversible", skew=skew) == pytest.approx(0.317965, abs=1e-6)
    assert theory.max_stable_step(hessian, "nonreversible", skew=skew) == pytest.approx(0.152, abs=0.01)
    assert np.linalg.norm(skew, 2) == pytest.approx(62.8, abs=1.0)
    prefactor = theory.skew_prefactor(hessian, skew)
    assert prefactor <= np.sqrt(4.0 * 100.0)
    assert prefactor == pytest.approx(11.3, abs=0.4)


def test_the_prefactor_is_a_bound_of_the_semigroup() -> None:
    hessian = np.diag([0.1, 0.5, 2.0])
    skew = theory.optimal_skew(hessian)
    rate = theory.convergence_rate(hessian, "nonreversible", skew=skew)
    prefactor = theory.skew_prefactor(hessian, skew)
    drift = (np.eye(3) + skew) @ hessian
    ratios = [
        np.linalg.norm(expm(-t * drift), 2) * np.exp(rate * t) / prefactor for t in (0.1, 0.7, 2.3, 9.0)
    ]
    assert max(ratios) <= 1.01


def test_bad_levels() -> None:
    with pytest.raises(ShapeError, match="levels"):
        theory.optimal_skew([1.0, 2.0], levels=[1.0])
    with pytest.raises(InputError, match="distinct"):
        theory.optimal_skew([1.0, 2.0], levels=[1.0, 1.0])
    with pytest.raises(InputError, match="at least softest"):
        theory.critical_skew_strength(2.0, 1.0)
