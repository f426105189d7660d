"""Stationary covariances against the closed form of every scheme, and stability limits against the maps."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import solve_continuous_lyapunov

from localmin.errors import InputError, ShapeError
from localmin.langevin import theory
from localmin.langevin.coefficients import exponential_coefficients

ROTATION = np.array([[0.0, 1.0], [-1.0, 0.0]])
Closed = Callable[[float, float, float], tuple[float, float, float]]


def _euler_maruyama(h: float, lam: float, g: float) -> tuple[float, float, float]:
    d = (g - h * lam) * (4 - 2 * g * h + h * h * lam)
    return 2 * g * (2 - g * h + h * h * lam) / d, 4 * g / d, -2 * g * h / d


def _linear(h: float, lam: float, g: float) -> tuple[float, float, float]:
    d = 4 - 2 * g * h - h * h * lam
    return 2 * (2 - g * h) / d, 4 / d, 2 * h / d


def _oba(h: float, lam: float, g: float) -> tuple[float, float, float]:
    c = np.exp(-g * h)
    d = 2 * (1 + c) - h * h * lam
    return (1 + c) ** 2 / d, 2 * (1 + c) / d, h * (1 + c) / d


CLOSED_FORMS: dict[theory.Scheme, Closed] = {
    # (Var x * beta * curvature, Var v * beta, Cov(x, v) * beta)
    "euler_maruyama": _euler_maruyama,
    "symplectic_euler_linear": _linear,
    "symplectic_euler": _oba,
    "baoab": lambda h, lam, g: (1.0, 1 - h * h * lam / 4, 0.0),
    "baoa": lambda h, lam, g: (1.0, 1.0, h / 2),
    "obabo": lambda h, lam, g: (1 / (1 - h * h * lam / 4), 1.0, 0.0),
    "aboba": lambda h, lam, g: (1.0, 1 / (1 - h * h * lam / 4), 0.0),
}


@pytest.mark.parametrize("scheme", CLOSED_FORMS)
@pytest.mark.parametrize(("h", "lam", "g"), [(0.3, 0.7, 1.3), (0.9, 0.4, 0.6), (0.05, 3.0, 2.5)])
def test_closed_forms(scheme: theory.Scheme, h: float, lam: float, g: float) -> None:
    beta = 2.5
    xx, vv, xv = CLOSED_FORMS[scheme](h, lam, g)
    expected = np.array([[xx / lam, xv], [xv, vv]]) / beta
    np.testing.assert_allclose(
        theory.stationary_covariance(lam, scheme, h, beta, friction=g), expected, rtol=1e-9, atol=1e-12
    )


def test_exponential_integrator_runs_hot_by_half_step_over_friction() -> None:
    lam, g = 0.8, 1.5
    for h in (0.02, 0.01):
        covariance = theory.stationary_covariance(lam, "exponential", h, 4.0, friction=g)
        assert covariance[0, 0] * 4.0 * lam - 1 == pytest.approx(h * lam / (2 * g), rel=0.03)
        assert covariance[1, 1] * 4.0 - 1 == pytest.approx(h * lam / (2 * g), rel=0.03)
        assert abs(covariance[0, 1]) < h**3


def test_exponential_coefficients_against_their_integrals() -> None:
    from scipy.integrate import quad

    for h, g in ((0.7, 1.9), (0.3, 0.2), (0.49, 1.0), (0.51, 1.0), (2.0, 3.0)):
        c = exponential_coefficients(h, g)

        def psi1(t: float, g: float = g) -> float:
            return float(-np.expm1(-g * t) / g)

        assert c.psi2 == pytest.approx(quad(psi1, 0, h)[0], rel=1e-12)
        assert c.covariance_xx == pytest.approx(2 * g * quad(lambda t: psi1(t) ** 2, 0, h)[0], rel=1e-12)
        mixed = 2 * g * quad(lambda t, g=g: psi1(t, g) * np.exp(-g * t), 0, h)[0]
        assert c.covariance_vx == pytest.approx(mixed, rel=1e-12)
        l11, l21, l22 = c.cholesky
        assert l11**2 == pytest.approx(c.covariance_vv, rel=1e-12)
        assert l21**2 + l22**2 == pytest.approx(c.covariance_xx, rel=1e-12)


def test_exponential_coefficients_keep_their_digits_at_small_friction_times_step() -> None:
    c = exponential_coefficients(1.0, 1e-9)
    assert c.psi2 == pytest.approx(0.5, rel=1e-8)
    assert c.covariance_xx == pytest.approx(2e-9 / 3, rel=1e-8)
    assert c.cholesky[2] ** 2 == pytest.approx(1e-9 / 6, rel=1e-7)
    assert exponential_coefficients(1.0, 0.0).cholesky == (0.0, 0.0, 0.0)


def test_overdamped_covariance_and_gradient_noise() -> None:
    eta, beta, sigma2 = 0.3, 5.0, 0.7
    lam = np.array([0.4, 1.9])
    found = theory.stationary_covariance(lam, "overdamped", eta, beta)
    np.testing.assert_allclose(found, np.diag(1 / (lam * (1 - eta * lam / 2)) / beta), rtol=1e-12)
    noisy = theory.stationary_covariance(lam, "overdamped", eta, beta, gradient_noise=sigma2)
    np.testing.assert_allclose(
        noisy, np.diag((2 / beta + eta * sigma2) / (lam * (2 - eta * lam))), rtol=1e-12
    )


@pytest.mark.parametrize("scheme", ["baoa", "baoab"])
def test_gradient_noise_heats_the_positions(scheme: theory.Scheme) -> None:
    h, lam, g, beta, sigma2 = 0.4, 0.9, 0.7, 3.0, 0.2
    c = np.exp(-g * h)
    extra = h * h * sigma2 * (1 + c) / (lam * (1 - c) * (4 - h * h * lam))
    found = theory.stationary_covariance(lam, scheme, h, beta, friction=g, gradient_noise=sigma2)
    assert found[0, 0] == pytest.approx(1 / (beta * lam) + extra, rel=1e-9)


def test_skew_drift_keeps_the_gibbs_covariance_and_euler_biases_it() -> None:
    hessian, beta, skew = np.diag([0.1, 1.0]), 5.0, 2 * ROTATION
    drift = (np.eye(2) + skew) @ hessian
    exact = solve_continuous_lyapunov(drift, 2 / beta * np.eye(2))
    np.testing.assert_allclose(exact, np.diag([2.0, 0.2]), atol=1e-12)

    def bias(eta: float) -> NDArray[np.float64]:
        found = theory.stationary_covariance(hessian, "nonreversible", eta, beta, skew=skew)
        return np.asarray((found - exact) / eta)

    extrapolated = 2 * bias(1e-4) - bias(2e-4)
    np.testing.assert_allclose(extrapolated, [[0.827273, 0.163636], [0.163636, 0.172727]], atol=3e-6)
    coarse = (theory.stationary_covariance(hessian, "nonreversible", 0.01, beta, skew=skew) - exact) / 0.01
    np.testing.assert_allclose(coarse[[0, 0, 1], [0, 1, 1]], [0.8327, 0.1653, 0.1738], atol=6e-5)


def test_nonreversible_without_skew_is_overdamped() -> None:
    hessian = np.array([[1.0, 0.3], [0.3, 0.5]])
    np.testing.assert_allclose(
        theory.stationary_covariance(hessian, "nonreversible", 0.2, 2.0),
        theory.stationary_covariance(hessian, "overdamped", 0.2, 2.0),
        rtol=1e-12,
    )


def test_gradient_noise_under_a_skew_drift_by_iterating_the_chain() -> None:
    hessian, eta, beta, sigma2, skew = np.diag([0.6, 1.5]), 0.2, 3.0, 0.7, 0.8 * ROTATION
    rotated = np.eye(2) + skew
    step, covariance = np.eye(2) - eta * rotated @ hessian, np.zeros((2, 2))
    for _ in range(600):
        covariance = step @ covariance @ step.T + 2 * eta / beta * np.eye(2)
        covariance = covariance + eta**2 * sigma2 * rotated @ rotated.T
    found = theory.stationary_covariance(
        hessian, "nonreversible", eta, beta, skew=skew, gradient_noise=sigma2
    )
    np.testing.assert_allclose(found, covariance, rtol=1e-10)


def test_shapes_follow_the_hessian() -> None:
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    spectrum = np.array([0.3, 0.9, 2.0])
    matrix = rotation @ np.diag(spectrum) @ rotation.T
    modes = theory.stationary_covariance(spectrum, "obabo", 0.4, 2.0, friction=0.8)
    full = theory.stationary_covariance(matrix, "obabo", 0.4, 2.0, friction=0.8)
    assert modes.shape == (3, 2, 2)
    assert full.shape == (6, 6)
    np.testing.assert_allclose(full[:3, :3], rotation @ np.diag(modes[:, 0, 0]) @ rotation.T, atol=1e-12)
    np.testing.assert_allclose(full[3:, 3:], rotation @ np.diag(modes[:, 1, 1]) @ rotation.T, atol=1e-12)
    assert theory.stationary_covariance(0.3, "underdamped", 0.4, 2.0, friction=0.8).shape == (2, 2)


@pytest.mark.parametrize("scheme", ["overdamped", *theory.underdamped_schemes])
@pytest.mark.parametrize("friction", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("spectrum", [(0.01, 1.0), (0.5, 2.0), (3.0, 7.0)])
def test_the_stability_limit_separates_stable_from_unstable(
    scheme: theory.Scheme, friction: float, spectrum: tuple[float, float]
) -> None:
    limit = theory.max_stable_step(spectrum, scheme, friction=friction)
    for fraction in (0.05, 0.3, 0.6, 0.9, 0.999):
        assert theory.spectral_radius(spectrum, scheme, fraction * limit, friction=friction) < 1
    assert theory.spectral_radius(spectrum, scheme, 1.001 * limit, friction=friction) > 1


def test_printed_stability_limits() -> None:
    spectrum = [0.01, 1.0]
    printed = {"euler_maruyama": 0.200, "exponential": 0.406, "symplectic_euler_linear": 1.81, "baoab": 2.00}
    for scheme, limit in printed.items():
        assert theory.max_stable_step(spectrum, scheme, friction=0.2) == pytest.approx(limit, abs=0.005)  # type: ignore[arg-type]


def test_an_unstable_step_is_refused_with_the_limit() -> None:
    with pytest.raises(InputError, match="must be below 2"):
        theory.stationary_covariance(1.0, "overdamped", 2.0, 1.0)
    with pytest.raises(InputError, match="variance"):
        theory.stationary_covariance(1.0, "overdamped", 0.1, 1.0, gradient_noise=-1.0)
    with pytest.raises(InputError, match="beta"):
        theory.stationary_covariance(1.0, "overdamped", 0.1, 0.0)


def test_transient_covariance_at_critical_friction() -> None:
    m, beta, t = 0.3, 2.0, 1.7
    root = np.sqrt(m)
    decay = np.exp(-2 * root * t)
    covariance = theory.transient_covariance(m, beta, t, "underdamped", friction="critical")
    assert covariance[0, 0] == pytest.approx((1 - decay * (1 + 2 * root * t + 2 * m * t * t)) / (beta * m))
    assert covariance[0, 1] == pytest.approx(2 * root * t * t * decay / beta)
    assert covariance[1, 1] == pytest.approx((1 - decay * (1 - 2 * root * t + 2 * m * t * t)) / beta)


def test_transient_covariance_of_the_overdamped_dynamics() -> None:
    lam = np.array([0.4, 2.0])
    expected = np.diag((1 - np.exp(-2 * lam * 0.8)) / lam / 3.0)
    np.testing.assert_allclose(theory.transient_covariance(lam, 3.0, 0.8), expected, rtol=1e-10)
    with pytest.raises(InputError, match="time"):
        theory.transient_covariance(lam, 3.0, -0.8)


def test_w2_decays_at_the_rate_of_each_dynamics() -> None:
    hessian, beta, skew = np.diag([0.2, 1.5]), 4.0, 0.8 * ROTATION

    def distance(dynamics: theory.Dynamics, t: float) -> float:
        return theory.w2_to_equilibrium(hessian, [1.0, 1.0], t, beta, dynamics, skew=skew)

    for dynamics in ("overdamped", "nonreversible"):
        rate = theory.convergence_rate(hessian, dynamics, skew=skew)
        slope = np.log(distance(dynamics, 10.0) / distance(dynamics, 18.0)) / 8
        assert slope == pytest.approx(rate, rel=0.02)
    # Critical friction carries a factor linear in time.
    rate = theory.convergence_rate(hessian, "underdamped")
    slope = np.log(distance("underdamped", 10.0) / 10 / (distance("underdamped", 18.0) / 18)) / 8
    assert slope == pytest.approx(rate, rel=0.1)
    # At time 0 a point: distance^2 = |start|^2 + tr of the Gibbs covariance, velocities included.
    assert distance("overdamped", 0.0) ** 2 == pytest.approx(2 + (1 / 0.2 + 1 / 1.5) / beta)
    assert distance("underdamped", 0.0) ** 2 == pytest.approx(2 + (1 / 0.2 + 1 / 1.5 + 2) / beta)
    with pytest.raises(ShapeError, match="start"):
        theory.w2_to_equilibrium(hessian, [1.0], 1.0, beta)


def test_w2_of_commuting_gaussians() -> None:
    a, b = np.diag([1.0, 9.0]), np.diag([4.0, 25.0])
    assert theory.w2_gaussian([0, 0], a, [1, 2], b) == pytest.approx(np.sqrt(5 + 1 + 4))
    with pytest.raises(InputError, match="one shape"):
        theory.w2_gaussian([0], [[1]], [1, 2], b)
