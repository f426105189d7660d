"""Escape and recurrence experiments against exact chains and exact generators.

Budget of the statistical tests: fixed seeds, each mean within 4.5 standard errors of the exact value of the
chain that is simulated (or of the diffusion, where the bias of the step is known to be far smaller).
"""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from localmin.errors import InputError
from localmin.langevin import (
    DoubleWell,
    NonReversibleKernel,
    OverdampedKernel,
    PairwiseRotation,
    PassageResult,
    Quadratic,
    SheetDoubleWell,
    UnderdampedKernel,
    exit_time,
    first_passage_time,
    recurrence_time,
    theory,
    transition_time,
)

MINUS_ONE = torch.tensor([-1.0], dtype=torch.float64)


def _euler_exact(beta: float, step: float) -> float:
    def gradient(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x**3 - x

    return theory.euler_chain_first_passage_1d(gradient, beta, -1.0, 1.0, step, lower=-2.6)


def test_overdamped_transition_matches_the_exact_chain() -> None:
    result = transition_time(
        OverdampedKernel(0.05, 1 / 8),
        DoubleWell().gradient,
        MINUS_ONE,
        threshold=1.0,
        num_chains=5000,
        generator=torch.Generator().manual_seed(1),
    )
    exact = _euler_exact(8.0, 0.05)
    assert abs(result.mean - exact) <= 4.5 * result.standard_error
    # Nearly exponential times; at this low barrier the crossing itself is a visible, nearly constant share.
    assert 0.8 < result.coefficient_of_variation < 1.0
    assert result.standard_error == pytest.approx(
        result.coefficient_of_variation * result.mean / math.sqrt(5000)
    )
    assert result.num_censored == 0
    assert result.num_gradients == pytest.approx(result.mean / 0.05 * 5000)
    low, high = result.confidence_interval
    assert high - low == pytest.approx(2 * 1.959964 * result.standard_error)
    assert result.mean_gradients == pytest.approx(result.mean / 0.05)


def test_passage_results_come_back_from_json_and_show_themselves() -> None:
    result = transition_time(
        OverdampedKernel(0.1, 1 / 4),
        DoubleWell().gradient,
        MINUS_ONE,
        threshold=1.0,
        num_chains=300,
        generator=torch.Generator().manual_seed(1),
        max_steps=400,
    )
    assert result.num_censored > 0
    figure = result.figure("overdamped")
    curve = figure.series[0]
    assert curve.y[0] == 1.0
    assert list(curve.y) == sorted(curve.y, reverse=True)
    assert curve.y[-1] >= result.num_censored / 300 - 1e-12  # those that did not pass stay above the axis
    again = PassageResult.from_dict(json.loads(json.dumps(result.to_dict())))
    assert again == replace(result, times=())
    with pytest.raises(InputError, match="no point"):
        again.figure()


def test_wrong_noise_scale_shows_in_the_exit_time() -> None:
    wrong = transition_time(
        OverdampedKernel(0.05, 1.1 / 8),
        DoubleWell().gradient,
        MINUS_ONE,
        threshold=1.0,
        num_chains=5000,
        generator=torch.Generator().manual_seed(1),
    )
    assert abs(wrong.mean - _euler_exact(8.0, 0.05)) > 4.5 * wrong.standard_error


def test_skew_drift_on_the_exact_benchmark() -> None:
    """With strength equal to the slope the first coordinate is the one-dimensional Euler chain itself."""
    beta, step, slope = 8.0, 0.05, 1.0
    result = transition_time(
        NonReversibleKernel(step, PairwiseRotation(slope), 1 / beta),
        SheetDoubleWell(stiffness=1.4, slope=slope).gradient,
        torch.tensor([-1.0, -slope], dtype=torch.float64),
        threshold=1.0,
        num_chains=4000,
        generator=torch.Generator().manual_seed(2),
    )
    assert abs(result.mean - _euler_exact(beta, step)) <= 4.5 * result.standard_error


def test_skew_drift_leaves_faster_than_the_reversible_dynamics() -> None:
    start = torch.tensor([-1.0, -1.0], dtype=torch.float64)
    target = SheetDoubleWell(slope=1.0).gradient
    means = []
    for strength in (0.0, 2.0):
        kernel = NonReversibleKernel(0.02, PairwiseRotation(strength), 1 / 8)
        result = transition_time(
            kernel, target, start, threshold=1.0, num_chains=1500, generator=torch.Generator().manual_seed(3)
        )
        means.append(result.mean)
    # The formula's ratio is 1.791 / 0.618 = 2.9, that of the spectral gaps at beta = 12 is 3.3.
    assert 2.4 < means[0] / means[1] < 3.6


@pytest.mark.parametrize(("scheme", "step", "expected"), [("baoab", 0.2, 162.3), ("obabo", 0.05, None)])
def test_underdamped_transition(scheme: str, step: float, expected: float | None) -> None:
    beta = 12.0 if expected else 8.0
    result = transition_time(
        UnderdampedKernel(step, 1.0, 1 / beta, scheme),  # type: ignore[arg-type]
        DoubleWell().gradient,
        MINUS_ONE,
        threshold=1.0,
        num_chains=3000 if expected else 1500,
        generator=torch.Generator().manual_seed(4),
    )
    if expected:  # known to 0.7 % from 20 000 chains
        error = math.hypot(result.standard_error, 0.007 * expected)
        assert abs(result.mean - expected) <= 4.5 * error
    else:
        gap = theory.spectral_gap_underdamped(
            lambda x: (x**2 - 1) ** 2 / 4, beta, 1.0, domain=(-2.8, 2.8), num_basis=50
        )
        # From well to well takes 2/gap plus the time to cross and settle, a few units.
        assert 0 < result.mean - 2 / gap + 4.5 * result.standard_error < 12 + 9 * result.standard_error


def test_the_exponential_scheme_runs_hot_at_a_coarse_step() -> None:
    """At beta 12, friction 0.5, h = 0.2 it leaves in about 60 time units where the diffusion takes 130."""
    means = {}
    for scheme in ("exponential", "baoab"):
        means[scheme] = transition_time(
            UnderdampedKernel(0.2, 0.5, 1 / 12, scheme),
            DoubleWell().gradient,
            MINUS_ONE,
            threshold=1.0,
            num_chains=1500,
            generator=torch.Generator().manual_seed(5),
        )
    assert abs(means["exponential"].mean - 60) <= 4.5 * means["exponential"].standard_error + 0.5
    assert abs(means["baoab"].mean - 129.9) <= 4.5 * means["baoab"].standard_error + 0.9 * 4.5 + 1.5


def test_exit_from_a_ball_with_the_shifted_barrier() -> None:
    beta, step, curvature, radius = 4.0, 0.005, 1.3, 0.9
    result = exit_time(
        OverdampedKernel(step, 1 / beta),
        Quadratic((curvature,)).gradient,
        torch.zeros(1, dtype=torch.float64),
        radius=radius,
        num_chains=4000,
        generator=torch.Generator().manual_seed(6),
    )
    shifted = radius + theory.hitting_barrier_shift(step, beta)
    expected = theory.ou_exit_time(curvature, shifted, beta)
    assert abs(result.mean - expected) <= 4.5 * result.standard_error + 0.01 * expected
    # Without the shift the exact value is visibly too small.
    assert result.mean - theory.ou_exit_time(curvature, radius, beta) > 4.5 * result.standard_error


def test_early_stop_at_a_relative_error() -> None:
    result = first_passage_time(
        OverdampedKernel(0.1, 0.5),
        DoubleWell().gradient,
        -torch.ones(200, 1),
        lambda x: x[:, 0] >= 1,
        generator=torch.Generator().manual_seed(7),
        relative_error=0.04,
    )
    assert result.standard_error <= 0.04 * result.mean
    assert 200 < result.num_chains < 2000
    limited = first_passage_time(
        OverdampedKernel(0.1, 0.5),
        DoubleWell().gradient,
        -torch.ones(200, 1),
        lambda x: x[:, 0] >= 1,
        generator=torch.Generator().manual_seed(7),
        relative_error=1e-4,
        max_chains=500,
    )
    assert limited.num_chains == 400


def test_censoring_is_counted_and_corrected() -> None:
    """Half the chains are cut off: the plain mean is far too low, time at risk over passages nearly right."""
    full = _euler_exact(8.0, 0.05)
    seen: list[tuple[int, int]] = []
    result = transition_time(
        OverdampedKernel(0.05, 1 / 8),
        DoubleWell().gradient,
        MINUS_ONE,
        threshold=1.0,
        num_chains=3000,
        generator=torch.Generator().manual_seed(8),
        max_steps=600,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert 1000 < result.num_censored < 2000
    # The dead time before the first passages, some units long, makes the exponential correction read high.
    assert full < result.mean < 1.2 * full
    assert sum(result.times) / len(result.times) < 0.5 * full
    assert seen[-1] == (3000 - result.num_censored, 3000)
    none = transition_time(
        OverdampedKernel(0.05),
        DoubleWell().gradient,
        MINUS_ONE,
        threshold=1.0,
        num_chains=2,
        generator=torch.Generator(),
        max_steps=10,
    )
    assert none.mean == math.inf
    assert none.num_censored == 2


def test_recurrence_times_have_the_slopes_of_the_theory() -> None:
    curvatures = np.array([0.001, 0.01, 0.1])
    for dynamics, slope in (("overdamped", -1.0), ("underdamped", -0.5)):
        times = []
        for m in curvatures:
            kernel = (
                OverdampedKernel(0.5)
                if dynamics == "overdamped"
                else UnderdampedKernel(0.5, 2 * math.sqrt(m))
            )
            result = recurrence_time(
                kernel,
                Quadratic((float(m), 1.0)).gradient,
                torch.tensor([[1.0, 0.0]], dtype=torch.float64),
                torch.zeros(2, dtype=torch.float64),
                radius=0.01,
                stay=5 / math.sqrt(m),
            )
            exact = theory.enter_and_stay_time(float(m), 0.01, dynamics)  # type: ignore[arg-type]
            assert result.mean == pytest.approx(exact, rel=0.03)
            times.append(result.mean)
        assert np.polyfit(np.log(curvatures), np.log(times), 1)[0] == pytest.approx(slope, abs=0.01)


def test_an_oscillating_path_is_not_settled_at_its_first_entry() -> None:
    kernel = UnderdampedKernel(0.05, 0.1)
    arguments = (torch.ones(1, 1), torch.zeros(1))
    settled = recurrence_time(kernel, Quadratic((1.0,)).gradient, *arguments, radius=0.1, stay=5.0)
    first = first_passage_time(
        kernel,
        Quadratic((1.0,)).gradient,
        arguments[0],
        lambda x: x[:, 0].abs() <= 0.1,
        generator=torch.Generator(),
        thermal=False,
    )
    assert first.mean < 2.0
    assert settled.mean == pytest.approx(math.log(10) / 0.05, rel=0.1)


def test_recurrence_reports_chains_that_never_settle() -> None:
    result = recurrence_time(
        OverdampedKernel(0.1, 1.0),
        Quadratic((1.0,)).gradient,
        torch.ones(5, 1),
        torch.zeros(1),
        radius=0.01,
        stay=1.0,
        generator=torch.Generator().manual_seed(0),
        max_steps=50,
    )
    assert result.num_censored == 5
    inside = recurrence_time(
        OverdampedKernel(0.1),
        Quadratic((1.0,)).gradient,
        torch.zeros(2, 1),
        torch.zeros(1),
        radius=0.1,
        stay=1.0,
    )
    assert inside.mean == 0.0
    assert inside.to_dict()["num_chains"] == 2


def test_bad_input() -> None:
    gradient = DoubleWell().gradient
    with pytest.raises(InputError, match="constant step_size"):
        first_passage_time(
            OverdampedKernel(lambda k: 0.1),
            gradient,
            torch.zeros(1, 1),
            lambda x: x[:, 0] > 0,
            generator=torch.Generator(),
        )
    with pytest.raises(InputError, match="chains, d"):
        first_passage_time(
            OverdampedKernel(0.1), gradient, torch.zeros(1), lambda x: x > 0, generator=torch.Generator()
        )
    with pytest.raises(InputError, match="relative_error"):
        first_passage_time(
            OverdampedKernel(0.1),
            gradient,
            torch.zeros(1, 1),
            lambda x: x[:, 0] > 0,
            generator=torch.Generator(),
            relative_error=0.0,
        )
    with pytest.raises(InputError, match="stay"):
        recurrence_time(
            OverdampedKernel(0.1), gradient, torch.zeros(1, 1), torch.zeros(1), radius=0.1, stay=0.0
        )
