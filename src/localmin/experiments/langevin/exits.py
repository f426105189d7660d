"""la-exit: how much sooner each dynamics leaves a well, against exact values and Eyring-Kramers ratios."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from localmin.charts import Chart, Level, Series
from localmin.experiments.claim import ClaimCheck
from localmin.experiments.langevin.comparison import NUM_ERRORS, Comparison, verdict_of
from localmin.langevin import (
    DoubleWell,
    Kernel,
    NonReversibleKernel,
    OverdampedKernel,
    PairwiseRotation,
    PassageResult,
    Potential,
    SheetDoubleWell,
    UnderdampedKernel,
    theory,
    transition_time,
)
from localmin.langevin.updates import UnderdampedScheme

__all__ = ["check_exits"]

Array = NDArray[np.float64]

_SLOPE = 1.0
_SHEET = SheetDoubleWell(stiffness=1.0, slope=_SLOPE)
_SADDLE = [[-1 + _SLOPE**2, -_SLOPE], [-_SLOPE, 1.0]]
_SOFT = DoubleWell(height=1 / 16)  # curvature 1/4 at the top
_STEP = 0.02


@dataclass(frozen=True)
class _Exit:
    """One measured transition, and the speed-up that theory predicts for it."""

    name: str
    parameter: float
    result: PassageResult
    predicted_speed_up: float = math.nan

    def details(self) -> dict[str, float]:
        """Give times and gradients by name."""
        return {
            f"{self.name}: time": self.result.mean,
            f"{self.name}: standard error": self.result.standard_error,
            f"{self.name}: gradients": self.result.mean_gradients,
        }


def check_exits(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Measure transition times of all dynamics over the saddle of a double well.

    Args:
        seed: Of the noise.
        quick: Fewer chains and a higher temperature.

    Returns:
        Skew drift: the exact benchmark and the speed-up against theory. Underdamped: a gain where friction
        plus saddle curvature is below 1, a loss where it is above. Step sizes: what each discretisation
        makes of the time.
    """
    chains = 800 if quick else 4000
    rotated, comparisons = _skew_exits(6.0 if quick else 12.0, chains, seed)
    soft, more = _underdamped_exits(24.0 if quick else 48.0, chains, seed + 1)
    comparisons += more
    stepped, more = _step_sizes(7.0 if quick else 12.0, chains, seed + 2)
    comparisons += more
    details = {key: value for one in (*rotated, *soft, *stepped) for key, value in one.details().items()}
    return ClaimCheck(
        "la-exit",
        verdict_of(comparisons),
        "transition times shorten by the ratio of unstable rates at the saddle; underdamped dynamics gain if"
        " and only if friction + saddle curvature < 1",
        {one.quantity: one.measured for one in comparisons} | details,
        f"{NUM_ERRORS} standard errors around exact values; 25 per cent for ratios from Eyring-Kramers, which"
        " is a limit",
        remark="On (x^2 - 1)^2/4, with saddle curvature 1, underdamped dynamics are never faster in their own"
        " time. A coarse exponential or skew Euler step leaves sooner than the diffusion it stands for.",
        rows=tuple(one.to_row() for one in comparisons),
        figures=(_picture(rotated),),
    )


def _transition(
    kernel: Kernel, potential: Potential, start: list[float], chains: int, seed: int
) -> PassageResult:
    return transition_time(
        kernel,
        potential.gradient,
        torch.tensor(start, dtype=torch.float64),
        threshold=1.0,
        num_chains=chains,
        generator=torch.Generator().manual_seed(seed),
    )


def _skew_exits(beta: float, chains: int, seed: int) -> tuple[list[_Exit], list[Comparison]]:
    def gradient(x: Array) -> Array:
        return x**3 - x

    slow = theory.saddle_rate(_SADDLE, "overdamped")
    exits = []
    for index, strength in enumerate((0.0, 1.0, 2.0)):
        rotation = PairwiseRotation(strength)
        kernel = NonReversibleKernel(_STEP, rotation, 1 / beta)
        found = _transition(kernel, _SHEET, [-1.0, -_SLOPE], chains, seed + 10 * index)
        rate = theory.saddle_rate(_SADDLE, "nonreversible", skew=rotation)
        exits.append(_Exit(f"sheet, strength {strength:g}", strength, found, rate / slow))
    exact = theory.euler_chain_first_passage_1d(gradient, beta, -1.0, 1.0, _STEP, lower=-2.8)
    plain, one, _ = (exit_.result for exit_ in exits)
    name = "time with strength = slope of the valley (exact)"
    comparisons = [Comparison(name, exact, one.mean, NUM_ERRORS * one.standard_error)]
    for exit_ in exits[1:]:
        expected, measured = exit_.predicted_speed_up, plain.mean / exit_.result.mean
        comparisons.append(Comparison(f"{exit_.name}: speed-up", expected, measured, 0.25 * expected))
    return exits, comparisons


def _underdamped_exits(beta: float, chains: int, seed: int) -> tuple[list[_Exit], list[Comparison]]:
    exact = theory.mean_first_passage_1d(lambda x: (x**2 - 1) ** 2 / 16, beta, -1.0, 1.0)
    slow = _transition(OverdampedKernel(0.1, 1 / beta), _SOFT, [-1.0], chains, seed)
    allowed = NUM_ERRORS * slow.standard_error + 0.02 * exact  # and the bias of the step
    comparisons = [Comparison("overdamped time over a soft saddle (exact)", exact, slow.mean, allowed)]
    exits = [_Exit("soft saddle, overdamped", math.nan, slow)]
    for index, friction in enumerate((0.5, 1.5)):
        fast = _transition(
            UnderdampedKernel(0.2, friction, 1 / beta), _SOFT, [-1.0], chains, seed + 10 * index
        )
        expected = theory.saddle_rate(-0.25, "underdamped", friction=friction) / 0.25
        name, ratio = f"soft saddle, friction {friction:g}", slow.mean / fast.mean
        error = ratio * math.hypot(slow.standard_error / slow.mean, fast.standard_error / fast.mean)
        exits.append(_Exit(name, friction, fast, expected))
        comparisons.append(Comparison(f"{name}: speed-up", expected, ratio, 0.25 * expected))
        gains = friction + 0.25 < 1
        seen = ratio > 1 + 2 * error if gains else ratio < 1 - 2 * error
        comparisons.append(
            Comparison(f"{name}: {'gains' if gains else 'loses'} (1 is yes)", 1, float(seen), 0)
        )
    return exits, comparisons


def _step_sizes(beta: float, chains: int, seed: int) -> tuple[list[_Exit], list[Comparison]]:
    """Measure what coarse steps do to the exit time, against 2/gap of the generator."""
    friction = 0.5
    gap = theory.spectral_gap_underdamped(lambda x: (x**2 - 1) ** 2 / 4, beta, friction, domain=(-2.8, 2.8))
    cases: tuple[tuple[UnderdampedScheme, float], ...] = (
        ("baoab", 0.05),
        ("baoab", 0.4),
        ("exponential", 0.2),
    )
    exits = []
    for index, (scheme, step) in enumerate(cases):
        kernel = UnderdampedKernel(step, friction, 1 / beta, scheme)
        found = _transition(kernel, DoubleWell(), [-1.0], chains, seed + 10 * index)
        exits.append(_Exit(f"{scheme}, h = {step:g}", step, found))
    fine, coarse, hot = (exit_.result for exit_ in exits)
    # From well to well takes 2/gap plus the time to cross and settle, a few units.
    allowed = 6.0 + NUM_ERRORS * fine.standard_error
    return exits, [
        Comparison("baoab, h = 0.05: time less 2/gap", 6.0, fine.mean - 2 / gap, allowed),
        Comparison("baoab, h = 0.4 over h = 0.05", 1.0, coarse.mean / fine.mean, 0.15),
        Comparison(
            "exponential, h = 0.2, leaves in under 0.75 of the time (1 is yes)",
            1,
            float(hot.mean < 0.75 * fine.mean),
            0,
        ),
    ]


def _picture(exits: list[_Exit]) -> Chart:
    strengths = [exit_.parameter for exit_ in exits]
    measured = [exits[0].result.mean / exit_.result.mean for exit_ in exits]
    return Chart(
        "langevin-exit",
        "Speed-up of the transition by a skew drift",
        "strength a",
        "time overdamped / time",
        (
            Series("predicted", strengths, [one.predicted_speed_up for one in exits], emphasis="dashed"),
            Series("measured", strengths, measured, kind="points", emphasis="accent"),
        ),
        levels=(Level(1.0, "overdamped"),),
        note="The prediction is the ratio of unstable rates at the saddle, a limit for low temperature.",
    )
