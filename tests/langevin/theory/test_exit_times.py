"""Eyring-Kramers, exact first passages and spectral gaps, each against the others and known tables."""

import numpy as np
import pytest
from numpy.typing import NDArray

from localmin.errors import InputError, ShapeError
from localmin.langevin import theory

Array = NDArray[np.float64]
ROTATION = np.array([[0.0, 1.0], [-1.0, 0.0]])


def double_well(x: Array) -> Array:
    return (x**2 - 1) ** 2 / 4


@pytest.mark.parametrize(
    ("beta", "formula", "to_well", "to_top"),
    [
        (8.0, 32.8287, 41.0343, 18.4262),
        (12.0, 89.2377, 106.5604, 50.7934),
        (20.0, 659.382, 729.671, 361.904),
        (32.0, 13244.05, 14000.14, 6996.76),
    ],
)
def test_overdamped_double_well(beta: float, formula: float, to_well: float, to_top: float) -> None:
    assert theory.eyring_kramers(2.0, -1.0, 0.25, beta, "overdamped") == pytest.approx(formula, rel=4e-6)
    assert theory.mean_first_passage_1d(double_well, beta, -1.0, 1.0) == pytest.approx(to_well, rel=4e-6)
    assert theory.mean_first_passage_1d(double_well, beta, -1.0, 0.0) == pytest.approx(to_top, rel=4e-6)


def test_the_formula_is_right_in_the_limit_only() -> None:
    ratios = [
        theory.mean_first_passage_1d(double_well, beta, -1.0, 1.0)
        / theory.eyring_kramers(2.0, -1.0, 0.25, beta, "overdamped")
        for beta in (8.0, 12.0, 20.0, 32.0, 64.0)
    ]
    np.testing.assert_allclose(ratios, [1.250, 1.194, 1.107, 1.057, 1.0255], atol=6e-4)


def test_first_passage_scales_and_mirrors() -> None:
    base = theory.mean_first_passage_1d(double_well, 12.0, -1.0, 1.0)
    scaled = theory.mean_first_passage_1d(lambda x: 0.25 * double_well(x), 48.0, -1.0, 1.0)
    assert scaled == pytest.approx(4 * base, rel=1e-9)
    assert scaled == pytest.approx(426.241, rel=2e-6)
    assert theory.mean_first_passage_1d(double_well, 12.0, 1.0, -1.0) == pytest.approx(base, rel=1e-9)
    assert theory.mean_first_passage_1d(double_well, 12.0, 0.3, 0.3) == 0.0


def test_first_passage_takes_scalar_functions_and_refuses_open_potentials() -> None:
    import math

    def scalar(x: float) -> float:
        return math.pow(x * x - 1, 2) / 4

    assert theory.mean_first_passage_1d(scalar, 12.0, -1.0, 1.0) == pytest.approx(106.5604, rel=1e-6)
    with pytest.raises(InputError, match="confine"):
        theory.mean_first_passage_1d(lambda x: 0.0 * x, 1.0, 0.0, 1.0)
    with pytest.raises(InputError, match="overflows"):
        theory.mean_first_passage_1d(double_well, 1e5, -1.0, 1.0)


@pytest.mark.parametrize(
    ("step", "to_well", "to_top"),
    [(0.2, 98.699, 58.783), (0.05, 105.617, 57.024), (0.01, 106.544, 53.854), (0.005, 106.607, 52.993)],
)
def test_euler_chain(step: float, to_well: float, to_top: float) -> None:
    def gradient(x: Array) -> Array:
        return x**3 - x

    low = -2.4 if step < 0.1 else -3.0
    for target, expected in ((1.0, to_well), (0.0, to_top)):
        found = theory.euler_chain_first_passage_1d(gradient, 12.0, -1.0, target, step, lower=low)
        assert found == pytest.approx(expected, rel=1.2e-5)


@pytest.mark.parametrize(("step", "expected"), [(0.2, 64.91), (0.05, 57.95), (0.01, 54.01), (0.005, 53.07)])
def test_shifted_barrier_explains_the_overshoot(step: float, expected: float) -> None:
    shift = theory.hitting_barrier_shift(step, 12.0)
    assert theory.mean_first_passage_1d(double_well, 12.0, -1.0, shift) == pytest.approx(expected, abs=0.006)


def test_ornstein_uhlenbeck_exit() -> None:
    for beta, expected in ((4.0, 4.501602), (8.0, 27.432739), (12.0, 161.893964)):
        assert theory.ou_exit_time(1.0, 1.0, beta) == pytest.approx(expected, rel=1e-7)
    m, radius, beta = 1.0, 1.0, 12.0
    asymptote = np.exp(beta * m * radius**2 / 2) * np.sqrt(2 * np.pi / (beta * m)) / (2 * m * radius)
    assert asymptote == pytest.approx(145.96, abs=0.006)
    # A mirrored path: the exit time of an interval is the passage time with reflection at 0.
    reference = theory.mean_first_passage_1d(
        lambda x: np.where(x < 0, 1e3 * x**2, 1.7 * x**2 / 2), 5.0, 0.0, 0.9
    )
    wall = theory.mean_first_passage_1d(lambda x: np.where(x < 0, 1e5 * x**2, 1.7 * x**2 / 2), 5.0, 0.0, 0.9)
    assert theory.ou_exit_time(1.7, 0.9, 5.0) == pytest.approx(wall, rel=2e-2)
    assert abs(wall - theory.ou_exit_time(1.7, 0.9, 5.0)) < abs(
        reference - theory.ou_exit_time(1.7, 0.9, 5.0)
    )


def test_underdamped_formula_and_condition_for_a_gain() -> None:
    for friction, mu, speed_up in (
        (0.25, 0.390388, 1.5616),
        (0.5, 0.309017, 1.2361),
        (0.75, 0.25, 1.0),
        (1.0, 0.207107, 0.8284),
    ):
        assert theory.saddle_rate(-0.25, "underdamped", friction=friction) == pytest.approx(mu, abs=6e-7)
        slow = theory.eyring_kramers(0.5, -0.25, 0.0625, 48.0, "overdamped")
        fast = theory.eyring_kramers(0.5, -0.25, 0.0625, 48.0, "underdamped", friction=friction)
        assert slow / fast == pytest.approx(speed_up, abs=6e-5)
    # A gain if and only if friction + mu_LD is below 1.
    for friction, unstable in ((0.3, 0.6), (0.3, 0.8), (0.9, 0.05)):
        gain = theory.saddle_rate(-unstable, "underdamped", friction=friction) > unstable
        assert gain == (friction + unstable < 1)


@pytest.mark.parametrize(
    ("friction", "gap_time", "formula"),
    [
        (0.1, 236.12, 93.81),
        (0.3, 133.10, 103.62),
        (0.5, 125.08, 114.29),
        (1.0, 149.75, 144.39),
        (2.0, 229.47, 215.44),
        (5.0, 509.88, 463.37),
        (10.0, 999.3, 901.2),
    ],
)
def test_underdamped_gap(friction: float, gap_time: float, formula: float) -> None:
    gap = theory.spectral_gap_underdamped(
        double_well,
        12.0,
        friction,
        domain=(-2.6, 2.6),
        num_basis=60,
        num_velocities=80 if friction < 0.4 else 30,
    )
    assert 2 / gap == pytest.approx(gap_time, rel=1e-4)
    assert theory.eyring_kramers(2.0, -1.0, 0.25, 12.0, "underdamped", friction=friction) == pytest.approx(
        formula, rel=1e-4
    )


@pytest.mark.parametrize(
    ("friction", "gap_time", "formula"),
    [(0.5, 902.20, 844.52), (1.0, 1120.23, 1066.90), (2.0, 1696.42, 1591.89)],
)
def test_underdamped_gap_at_lower_temperature(friction: float, gap_time: float, formula: float) -> None:
    gap = theory.spectral_gap_underdamped(double_well, 20.0, friction, domain=(-2.2, 2.2))
    assert 2 / gap == pytest.approx(gap_time, rel=1e-4)
    found = theory.eyring_kramers(2.0, -1.0, 0.25, 20.0, "underdamped", friction=friction)
    assert found == pytest.approx(formula, rel=1e-5)


def test_low_friction_factor_explains_the_turnover() -> None:
    for friction, gap_time in ((0.1, 236.12), (0.3, 133.10), (0.5, 125.08)):
        predicted = theory.eyring_kramers(2.0, -1.0, 0.25, 12.0, "underdamped", friction=friction)
        predicted *= theory.low_friction_factor(friction, 12.0, 4 / 3)
        assert predicted == pytest.approx(gap_time, rel=0.14)
    assert theory.low_friction_factor(0.1, 12.0, 4 / 3, symmetric=False) > 1.3


@pytest.mark.parametrize(("friction", "ratio"), [(0.25, 1.587), (0.5, 1.325), (0.75, 1.059), (1.0, 0.865)])
def test_gap_ratio_of_a_soft_saddle(friction: float, ratio: float) -> None:
    def soft(x: Array) -> Array:
        return double_well(x) / 4

    overdamped = theory.spectral_gap_1d(soft, 48.0, domain=(-2.6, 2.6))
    underdamped = theory.spectral_gap_underdamped(soft, 48.0, friction, domain=(-2.6, 2.6), num_velocities=60)
    assert underdamped / overdamped == pytest.approx(ratio, abs=1.1e-3)


@pytest.mark.parametrize(("beta", "expected"), [(8.0, 35.1999), (12.0, 99.2311), (20.0, 720.425)])
def test_overdamped_gap(beta: float, expected: float) -> None:
    gap = theory.spectral_gap_1d(double_well, beta, domain=(-2.6, 2.6))
    assert 2 / gap == pytest.approx(expected, rel=1.5e-6)


def _well_2d(s: float) -> tuple[Array, Array]:
    minimum = np.array([[2 + s * s, -s], [-s, 1.0]])
    saddle = np.array([[-1 + s * s, -s], [-s, 1.0]])
    return minimum, saddle


@pytest.mark.parametrize(
    ("s", "strength", "mu", "formula", "gap_time"),
    [
        (0.0, 1.0, np.sqrt(2), 63.1006, 65.742),
        (0.0, 2.0, np.sqrt(5), 39.9083, 40.629),
        (1.0, 0.0, 0.618034, 144.390, 172.622),
        (1.0, 1.0, 1.0, 89.2377, 99.2311),
        (1.0, 2.0, 1.791288, 49.818, 52.015),
    ],
)
def test_skew_drift_in_two_dimensions(
    s: float, strength: float, mu: float, formula: float, gap_time: float
) -> None:
    minimum, saddle = _well_2d(s)
    skew = strength * ROTATION
    assert theory.saddle_rate(saddle, "nonreversible", skew=skew) == pytest.approx(mu, rel=1e-6)
    found = theory.eyring_kramers(minimum, saddle, 0.25, 12.0, "nonreversible", skew=skew)
    assert found == pytest.approx(formula, rel=1e-5)
    span = 3.0 + 2 * s
    gap = theory.spectral_gap_2d(
        lambda x, y: double_well(x) + (y - s * x) ** 2 / 2,
        12.0,
        domain=((-2.4, 2.4), (-span, span)),
        skew=skew,
        num_basis=26,
    )
    assert 2 / gap == pytest.approx(gap_time, rel=1e-4)


@pytest.mark.parametrize(("strength", "gap_time"), [(1.0, 494.33), (2.0, 308.77)])
def test_skew_drift_at_lower_temperature(strength: float, gap_time: float) -> None:
    gap = theory.spectral_gap_2d(
        lambda x, y: double_well(x) + y**2 / 2,
        20.0,
        domain=((-2.1, 2.1), (-2.3, 2.3)),
        skew=strength * ROTATION,
        num_basis=28,
    )
    assert 2 / gap == pytest.approx(gap_time, rel=1e-4)


@pytest.mark.parametrize("beta", [20.0, 48.0])
def test_underdamped_times_scale_with_the_height(beta: float) -> None:
    """T(beta, c, friction) = T(beta c, 1, friction / sqrt(c)) / sqrt(c) for F = c (x^2 - 1)^2 / 4."""
    c, friction = 0.25, 0.6
    scaled = theory.spectral_gap_underdamped(lambda x: c * double_well(x), beta, friction, domain=(-3.2, 3.2))
    plain = theory.spectral_gap_underdamped(double_well, beta * c, friction / c**0.5, domain=(-3.2, 3.2))
    assert scaled == pytest.approx(plain * c**0.5, rel=1e-6)


def test_skew_never_slows_the_exit_and_is_neutral_when_it_misses_the_unstable_direction() -> None:
    generator = np.random.default_rng(5)
    for _ in range(20):
        free = generator.standard_normal((3, 3))
        saddle = np.diag([-0.7, 0.4, 2.0])
        assert theory.saddle_rate(saddle, "nonreversible", skew=free - free.T) >= 0.7 - 1e-12
    blind = np.zeros((3, 3))
    blind[1, 2], blind[2, 1] = 3.0, -3.0
    assert theory.saddle_rate(saddle, "nonreversible", skew=blind) == pytest.approx(0.7, abs=1e-12)


def test_bad_saddles() -> None:
    with pytest.raises(InputError, match="exactly one negative"):
        theory.saddle_rate([1.0, 2.0], "overdamped")
    with pytest.raises(InputError, match="exactly one negative"):
        theory.saddle_rate([-1.0, -2.0], "overdamped")
    with pytest.raises(ShapeError, match="differ in size"):
        theory.eyring_kramers(1.0, [-1.0, 1.0], 1.0, 1.0, "overdamped")
    with pytest.raises(InputError, match="friction as a number"):
        theory.saddle_rate(-1.0, "underdamped")
    with pytest.raises(InputError, match="barrier"):
        theory.eyring_kramers(1.0, -1.0, 0.0, 1.0, "overdamped")
    assert theory.eyring_kramers(1.0, -1.0, 10.0, 1e4, "overdamped") == np.inf
