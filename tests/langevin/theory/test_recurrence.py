"""Recurrence times: known values, slopes in m, operational forms as true bounds."""

import numpy as np
import pytest

from localmin.errors import InputError
from localmin.langevin import theory

ROTATION = np.array([[0.0, 1.0], [-1.0, 0.0]])


@pytest.mark.parametrize(("ratio", "constant"), [(0.1, 3.889720), (0.01, 6.638352), (0.001, 9.233413)])
@pytest.mark.parametrize("curvature", [0.04, 1.0, 7.0])
def test_enter_and_stay_underdamped(ratio: float, constant: float, curvature: float) -> None:
    found = theory.enter_and_stay_time(curvature, ratio, "underdamped")
    assert found == pytest.approx(constant / np.sqrt(curvature), abs=1e-6 / np.sqrt(curvature))


@pytest.mark.parametrize(("curvature", "ratio"), [(1.0, 0.694), (0.1, 2.19), (0.01, 6.94), (0.001, 21.9)])
def test_underdamped_wins_only_for_small_curvature(curvature: float, ratio: float) -> None:
    slow = theory.enter_and_stay_time(curvature, 0.01)
    assert slow / theory.enter_and_stay_time(curvature, 0.01, "underdamped") == pytest.approx(ratio, rel=3e-3)


def test_slopes_in_the_smallest_curvature() -> None:
    m = np.array([1e-4, 1e-3, 1e-2])
    for dynamics, slope in (("overdamped", -1.0), ("underdamped", -0.5)):
        times = [theory.enter_and_stay_time(float(one), 0.01, dynamics) for one in m]  # type: ignore[arg-type]
        assert np.polyfit(np.log(m), np.log(times), 1)[0] == pytest.approx(slope, abs=1e-9)


@pytest.mark.parametrize(
    ("m", "underdamped", "overdamped"),
    [(0.1, 35.66, 87.6), (0.01, 124.9, 876.0), (1e-3, 434.2, 8764.0), (1e-4, 1496.9, 87641.0)],
)
def test_recurrence_time_bounds(m: float, underdamped: float, overdamped: float) -> None:
    assert theory.recurrence_time_bound([m, 1.0], 1.0, 0.1, "underdamped") == pytest.approx(
        underdamped, rel=4e-4
    )
    assert theory.recurrence_time_bound([m, 1.0], 1.0, 0.1, "overdamped") == pytest.approx(
        overdamped, rel=6e-4
    )


def test_the_bounds_exceed_the_noiseless_settling_time() -> None:
    hessian, radius, tolerance = [0.05, 1.0], 2.0, 0.15
    skew = 1.3 * ROTATION
    for dynamics, friction in (
        ("overdamped", None),
        ("underdamped", None),
        ("underdamped", 0.3),
        ("nonreversible", None),
    ):
        settled = theory.settling_time(
            hessian,
            [radius, 0.0],
            tolerance,
            dynamics,  # type: ignore[arg-type]
            friction=friction,
            skew=skew,
        )
        bound = theory.recurrence_time_bound(
            hessian,
            radius,
            tolerance,
            dynamics,  # type: ignore[arg-type]
            friction=friction,
            skew=skew,
        )
        assert settled < bound < 20 * settled


@pytest.mark.parametrize(
    ("dynamics", "friction"),
    [("overdamped", None), ("underdamped", None), ("underdamped", 0.3), ("nonreversible", None)],
)
def test_the_derived_bound_holds_for_every_start(dynamics: theory.Dynamics, friction: float | None) -> None:
    hessian, radius, tolerance, skew = [0.05, 1.0], 2.0, 0.15, 1.3 * ROTATION
    bound = theory.settling_time_bound(hessian, radius, tolerance, dynamics, friction=friction, skew=skew)
    latest = max(
        theory.settling_time(
            hessian,
            [radius * np.cos(angle), radius * np.sin(angle)],
            tolerance,
            dynamics,
            friction=friction,
            skew=skew,
        )
        for angle in np.linspace(0, np.pi, 7)
    )
    assert latest <= bound < 3 * latest
    if dynamics == "overdamped":
        assert bound == pytest.approx(latest, abs=0.02)
    assert bound < theory.recurrence_time_bound(
        hessian, radius, tolerance, dynamics, friction=friction, skew=skew
    )


@pytest.mark.parametrize("m", [0.5, 0.05, 0.003])
def test_the_remembered_constants_suffice(m: float) -> None:
    """From the recurrence time on the semigroup carries any start within r into e^2 / (8 r)."""
    for tolerance, radius in ((0.1, 1.0), (0.7, 1.5)):
        reached = tolerance**2 / (8 * radius)
        time = theory.recurrence_time_bound([m, 1.0], radius, tolerance, "underdamped")
        assert time >= 1
        assert theory.semigroup_bound([m, 1.0], time) * radius <= reached * (1 + 1e-9)
        slow = theory.recurrence_time_bound([m, 1.0], radius, tolerance, "overdamped")
        assert np.exp(-m * slow) * radius <= reached


def test_skew_prefactor_of_a_rotation() -> None:
    # At the critical strength the semigroup is defective; well above it C_J is close to sqrt(M/m) at most.
    strength = 3.0
    found = theory.skew_prefactor([0.1, 1.0], strength * ROTATION)
    assert 1.0 < found <= np.sqrt(10.0) * 1.5


def test_bad_recurrence_input() -> None:
    with pytest.raises(InputError, match="below radius"):
        theory.settling_time_bound(1.0, 1.0, 2.0, "overdamped")
    with pytest.raises(InputError, match="below radius"):
        theory.recurrence_time_bound(1.0, 1.0, 2.0, "overdamped")
    with pytest.raises(InputError, match="friction up to"):
        theory.recurrence_time_bound([1.0], 1.0, 0.1, "underdamped", friction=5.0)
    with pytest.raises(InputError, match="ratio"):
        theory.enter_and_stay_time(1.0, 1.5)
    with pytest.raises(InputError, match="skew drift"):
        theory.enter_and_stay_time(1.0, 0.5, "nonreversible")
