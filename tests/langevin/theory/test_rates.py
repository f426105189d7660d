"""Rates of the mean against closed forms, matrix exponentials and known tables."""

import numpy as np
import pytest
from scipy.linalg import expm

from localmin.errors import InputError, ShapeError
from localmin.langevin import theory
from localmin.langevin.theory.spectra import as_hessian, as_skew, drift_matrix, resolve_friction

ROTATION = np.array([[0.0, 1.0], [-1.0, 0.0]])


@pytest.mark.parametrize(
    ("friction", "expected"),
    [
        (0.05, 0.025),
        (0.1, 0.05),
        (0.2, 0.1),
        (0.25, 0.05),
        (0.4, 0.0267949),
        (1.0, 0.0101021),
        (2.0, 0.00501256),
    ],
)
def test_underdamped_rate_has_its_maximum_at_critical_friction(friction: float, expected: float) -> None:
    rate = theory.convergence_rate([0.01, 1.0], "underdamped", friction=friction)
    assert rate == pytest.approx(expected, rel=5e-6)


def test_underdamped_rate_is_the_slowest_eigenvalue_of_the_drift_matrix() -> None:
    generator = np.random.default_rng(3)
    for friction in (0.3, 1.1, 4.0):
        root = generator.standard_normal((4, 4))
        hessian = root @ root.T + 0.2 * np.eye(4)
        reference = np.linalg.eigvals(drift_matrix(hessian, "underdamped", friction=friction)).real.min()
        assert theory.convergence_rate(hessian, "underdamped", friction=friction) == pytest.approx(
            reference, rel=1e-8
        )


def test_critical_friction_is_the_default_and_gives_root_m() -> None:
    assert theory.convergence_rate([0.09, 2.0], "underdamped") == pytest.approx(0.3)
    assert theory.convergence_rate([0.09, 2.0], "underdamped", friction="critical") == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("strength", "rate", "limit"),
    [(0.0, 0.1, 2.0), (1.0, 0.2298438, 2.29844), (1.4230249470757708, 0.55, 3.636364), (2.0, 0.55, 2.2)],
)
def test_rotation_in_two_dimensions(strength: float, rate: float, limit: float) -> None:
    skew = strength * ROTATION
    # At the critical strength the eigenvalue is defective: sqrt(eps) is the accuracy there.
    assert theory.convergence_rate([0.1, 1.0], "nonreversible", skew=skew) == pytest.approx(rate, abs=5e-8)
    assert theory.max_stable_step([0.1, 1.0], "nonreversible", skew=skew) == pytest.approx(limit, rel=2e-6)


def test_any_skew_matrix_lies_between_the_bounds() -> None:
    generator = np.random.default_rng(0)
    for dimension in (2, 3, 5):
        root, free = generator.standard_normal((2, dimension, dimension))
        hessian = root @ root.T + 0.1 * np.eye(dimension)
        low, high = theory.skew_rate_bounds(hessian)
        rate = theory.convergence_rate(hessian, "nonreversible", skew=free - free.T)
        assert low - 1e-10 <= rate <= high + 1e-10


@pytest.mark.parametrize(
    ("scheme", "friction", "best", "steps"),
    [
        ("overdamped", None, 1.980, 50.0),
        ("euler_maruyama", 0.2, 0.100, 199.0),
        ("exponential", 0.2, 0.200, 100.0),
        ("symplectic_euler_linear", 0.2, 1.80, 7.95),
        ("baoab", 0.2, 1.99, 5.02),
    ],
)
def test_the_scheme_decides_the_gradients_per_efold(
    scheme: theory.Scheme, friction: float | None, best: float, steps: float
) -> None:
    hessian = [0.01, 1.0]
    found = theory.best_step_size(hessian, scheme, friction=friction)
    assert found == pytest.approx(best, rel=0.012)
    assert theory.steps_per_efold(hessian, scheme, found, friction=friction) == pytest.approx(
        steps, rel=0.012
    )


def test_symplectic_euler_decays_by_root_c_in_both_modes() -> None:
    steps = theory.steps_per_efold([0.01, 1.0], "symplectic_euler", 1.80, friction=0.2)
    assert steps == pytest.approx(1 / (0.2 * 1.80 / 2), rel=1e-6)


def test_critical_rotation_is_nilpotent_and_kills_the_mean_in_two_steps() -> None:
    skew = theory.critical_skew_strength(0.01, 1.0) * ROTATION
    step = 2 / 1.01
    assert theory.steps_per_efold([0.01, 1.0], "nonreversible", step, skew=skew) < 0.06
    mean_map = np.eye(2) - step * (np.eye(2) + skew) @ np.diag([0.01, 1.0])
    np.testing.assert_allclose(mean_map @ mean_map, 0, atol=1e-12)
    assert theory.max_stable_step([0.01, 1.0], "nonreversible", skew=skew) == pytest.approx(
        4 / 1.01, rel=1e-6
    )


def test_an_unstable_step_never_settles() -> None:
    assert theory.steps_per_efold([0.01, 1.0], "baoab", 2.01, friction=0.2) == np.inf


def test_semigroup_bound_holds_and_is_tight() -> None:
    generator, worst = np.random.default_rng(1), {True: 0.0, False: 0.0}
    for _ in range(60):
        spectrum = np.sort(np.exp(generator.uniform(-4, 2, 3)))
        fraction = generator.choice([1.0, generator.uniform(0.2, 0.98)])
        friction = 2 * np.sqrt(spectrum[0]) * fraction
        for time in np.exp(generator.uniform(-3, 4, 5)):
            norm = np.linalg.norm(expm(-time * drift_matrix(spectrum, "underdamped", friction=friction)), 2)
            ratio = norm / theory.semigroup_bound(spectrum, time, friction=friction)
            worst[bool(fraction == 1.0)] = max(worst[bool(fraction == 1.0)], float(ratio))
    assert 0.8 < worst[True] <= 1 + 1e-9
    assert 0.5 < worst[False] <= 1 + 1e-9


def test_semigroup_bound_refuses_friction_above_critical() -> None:
    with pytest.raises(InputError, match="friction up to"):
        theory.semigroup_bound([1.0, 2.0], 1.0, friction=3.0)


@pytest.mark.parametrize(
    ("dynamics", "argument", "loose", "tight"),
    [
        ("overdamped", None, 230.3, 460.5),
        ("nonreversible", 1.0, 114.5, 228.5),
        ("nonreversible", 4.95, 7.7, 13.1),
        ("underdamped", 0.05, 76.4, 172.7),
        ("underdamped", 0.1, 47.2, 87.8),
        ("underdamped", 0.2, 38.9, 66.3),
        ("underdamped", 0.25, 51.8, 97.9),
        ("underdamped", 0.5, 112.5, 222.8),
        ("underdamped", 1.0, 229.0, 457.0),
    ],
)
def test_settling_times(
    dynamics: theory.Dynamics, argument: float | None, loose: float, tight: float
) -> None:
    friction = argument if dynamics == "underdamped" else None
    skew = argument * ROTATION if dynamics == "nonreversible" and argument else None
    # Known to a tenth, the two long ones of friction 1 to one unit.
    tolerance = 0.6 if friction == 1.0 else 0.15
    for epsilon, expected in ((0.1, loose), (0.01, tight)):
        found = theory.settling_time([0.01, 1.0], [1.0, 0.0], epsilon, dynamics, friction=friction, skew=skew)
        assert found == pytest.approx(expected, abs=tolerance)


def test_hessians_come_as_number_spectrum_or_matrix() -> None:
    assert theory.convergence_rate(0.5, "overdamped") == 0.5
    assert theory.convergence_rate(np.array([[2.0, 1.0], [1.0, 2.0]]), "overdamped") == pytest.approx(1.0)
    with pytest.raises(ShapeError, match="shape"):
        as_hessian(np.zeros((2, 3)))
    with pytest.raises(InputError, match="not symmetric"):
        as_hessian([[1.0, 2.0], [0.0, 1.0]])
    with pytest.raises(InputError, match="not finite"):
        as_hessian([np.nan])
    with pytest.raises(InputError, match="positive definite"):
        theory.convergence_rate([-1.0, 1.0], "overdamped")


def test_skew_matrices_and_frictions_are_checked() -> None:
    with pytest.raises(InputError, match=r"J\^T = -J"):
        as_skew(np.eye(2), 2)
    with pytest.raises(ShapeError, match="skew"):
        as_skew(ROTATION, 3)
    with pytest.raises(InputError, match="critical"):
        resolve_friction("strong", 1.0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="above 0"):
        resolve_friction(-1.0, 1.0)
    with pytest.raises(InputError, match="dynamics"):
        theory.convergence_rate(1.0, "brownian")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown scheme"):
        theory.max_stable_step(1.0, "leapfrog")  # type: ignore[arg-type]
