"""la-recurrence-underdamped: time to settle against the smallest curvature, and what steps keep of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from localmin.charts import Chart, Series
from localmin.experiments.claim import ClaimCheck
from localmin.experiments.langevin.comparison import Comparison, verdict_of
from localmin.langevin import Kernel, OverdampedKernel, Quadratic, UnderdampedKernel, recurrence_time, theory

__all__ = ["check_recurrence", "measured_efold"]

_BALL = 0.01
_SPECTRUM = (0.01, 1.0)
_SCHEMES: tuple[theory.Scheme, ...] = (
    "overdamped",
    "euler_maruyama",
    "exponential",
    "symplectic_euler",
    "obabo",
    "baoa",
    "baoab",
)


def check_recurrence(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Measure enter-and-stay times at rising smallest curvature, and gradients per factor e by scheme.

    Args:
        seed: Of the noise.
        quick: Fewer curvatures.

    Returns:
        Slopes in the smallest curvature, -1 against -1/2; the ratio of times at curvature 1, where the
        underdamped dynamics must lose by the factor that theory gives; gradients per factor e at condition
        number 100 for every scheme.
    """
    small = [1e-3, 1e-2, 1e-1] if quick else [1e-4, 1e-3, 1e-2, 1e-1]
    slow = {m: _settle("overdamped", m, seed) for m in (*small, 1.0)}
    fast = {m: _settle("underdamped", m, seed) for m in (*small, 1.0)}
    comparisons = [
        Comparison("overdamped: slope of log time in log m", -1.0, _slope(small, slow), 0.02),
        Comparison("underdamped: slope of log time in log m", -0.5, _slope(small, fast), 0.02),
    ]
    for m in (*small, 1.0):
        expected = theory.enter_and_stay_time(m, _BALL)
        expected /= theory.enter_and_stay_time(m, _BALL, "underdamped")
        comparisons.append(
            Comparison(
                f"time overdamped / underdamped at m = {m:g}", expected, slow[m] / fast[m], 0.06 * expected
            )
        )
    efolds = [_efold_comparison(scheme) for scheme in _SCHEMES]
    comparisons += efolds
    gain = efolds[0].measured / efolds[-1].measured
    comparisons.append(Comparison("gradients per factor e, overdamped / baoab", 9.96, gain, 0.96))
    return ClaimCheck(
        "la-recurrence-underdamped",
        verdict_of(comparisons),
        "slopes -1 and -1/2 in the smallest curvature m; a loss at m = 1; at condition number 100 nine times"
        " fewer gradients with baoab, none of it left with euler_maruyama or exponential",
        {one.quantity: one.measured for one in comparisons},
        "0.02 for slopes, 6 per cent for ratios of times and gradients (grid of the step, critical damping)",
        remark="A gain for small m only: at m = 1 the underdamped path takes 1.44 times longer. It is one of"
        " continuous time; euler_maruyama and exponential, the scheme usually analysed, lose it.",
        rows=tuple(one.to_row() for one in comparisons),
        figures=(_picture(small, slow, fast),),
    )


def _settle(dynamics: theory.Dynamics, m: float, seed: int) -> float:
    """Measure the enter-and-stay time from distance 1 at rest, with noise a tenth of the ball."""
    temperature = 1e-4 * _BALL**2 * m
    step = min(0.5, 0.02 / m) if dynamics == "overdamped" else min(0.5, 0.02 / math.sqrt(m))
    kernel: Kernel
    if dynamics == "overdamped":
        kernel = OverdampedKernel(step, temperature)
    else:
        kernel = UnderdampedKernel(step, 2 * math.sqrt(m), temperature)
    stay = 3 / m if dynamics == "overdamped" else 5 / math.sqrt(m)
    return recurrence_time(
        kernel,
        Quadratic((m, 1.0)).gradient,
        torch.tensor([[1.0, 0.0]], dtype=torch.float64).repeat(4, 1),
        torch.zeros(2, dtype=torch.float64),
        radius=_BALL,
        stay=stay,
        generator=torch.Generator().manual_seed(seed),
    ).mean


def _slope(curvatures: Sequence[float], times: dict[float, float]) -> float:
    return float(np.polyfit(np.log(curvatures), np.log([times[m] for m in curvatures]), 1)[0])


def _efold_comparison(scheme: theory.Scheme) -> Comparison:
    friction = None if scheme == "overdamped" else "critical"
    step = theory.best_step_size(_SPECTRUM, scheme, friction=friction)  # type: ignore[arg-type]
    expected = theory.steps_per_efold(_SPECTRUM, scheme, step, friction=friction)  # type: ignore[arg-type]
    kernel: Kernel
    if scheme == "overdamped":
        kernel = OverdampedKernel(step)
    else:
        kernel = UnderdampedKernel(step, 2 * math.sqrt(_SPECTRUM[0]), scheme=scheme)  # type: ignore[arg-type]
    measured = measured_efold(kernel, _SPECTRUM, num_steps=round(30 * expected))
    return Comparison(
        f"gradients per factor e, {scheme} at its best step", expected, measured, 0.06 * expected
    )


def measured_efold(kernel: Kernel, curvatures: Sequence[float], *, num_steps: int) -> float:
    """Measure how many steps one factor e of the distance costs, from the second half of a noiseless run.

    Args:
        kernel: At temperature 0.
        curvatures: Of the quadratic.
        num_steps: Length of the run.

    Returns:
        Steps per factor e.

    Example:
        >>> round(measured_efold(OverdampedKernel(0.5), (0.2,), num_steps=40), 4)  # -1/log(0.9)
        9.4912
    """
    target = Quadratic(tuple(curvatures))
    state = kernel.init(torch.ones(len(curvatures), dtype=torch.float64))
    logs = []
    for _ in range(num_steps):
        state, _ = kernel.step(state, target.gradient(state.position))
        logs.append(float(state.position.norm().log()))
    half = num_steps // 2
    return -(num_steps - half) / (logs[-1] - logs[half - 1])


def _picture(curvatures: Sequence[float], slow: dict[float, float], fast: dict[float, float]) -> Chart:
    where = (*curvatures, 1.0)
    exact = [theory.enter_and_stay_time(m, _BALL, "underdamped") for m in where]
    return Chart(
        "langevin-recurrence",
        "Time until a path stays within a hundredth of its start",
        "smallest curvature m",
        "time",
        (
            Series("overdamped", where, [slow[m] for m in where], kind="points"),
            Series("underdamped", where, [fast[m] for m in where], kind="points", emphasis="accent"),
            Series("", where, [theory.enter_and_stay_time(m, _BALL) for m in where], emphasis="dashed"),
            Series("exact", where, exact, emphasis="dashed"),
        ),
        x_log=True,
        y_log=True,
        note="Slopes -1 and -1/2; the lines cross near m = 0.5: at m = 1 the underdamped path is later.",
    )
