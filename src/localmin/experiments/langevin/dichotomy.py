"""la-dichotomy: a path near a minimum leaves early, or settles and stays for an exponentially long time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from localmin.charts import Chart, Series
from localmin.experiments.claim import ClaimCheck
from localmin.experiments.langevin.comparison import NUM_ERRORS, Comparison, verdict_of
from localmin.langevin import (
    Kernel,
    NonReversibleKernel,
    OverdampedKernel,
    PairwiseRotation,
    Quadratic,
    SheetDoubleWell,
    UnderdampedKernel,
    exit_time,
    theory,
)

__all__ = ["check_dichotomy"]

_WELL = SheetDoubleWell(stiffness=1.0)
_MINIMUM = torch.tensor([-1.0, 0.0], dtype=torch.float64)
_HESSIAN = (2.0, 1.0)
_RADIUS, _BALL, _WATCH = 0.8, 0.5, 20.0
# Lowest point of F on the ball's edge: straight across the valley, stiffness * ball^2 / 2.
_BARRIER = _BALL**2 / 2
_SKEW = PairwiseRotation(0.7)
_DYNAMICS: tuple[theory.Dynamics, ...] = ("overdamped", "underdamped", "nonreversible")


@dataclass(frozen=True)
class _Outcome:
    """What happened to chains: left before settling, settled and stayed, or settled and left too soon."""

    left_early: float
    stayed: float
    broke: float


def check_dichotomy(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Watch chains near a minimum at rising inverse temperature, under all three dynamics.

    Args:
        seed: Of the noise.
        quick: Fewer chains and temperatures.

    Returns:
        Share of chains that do neither (a tube around the settling path is left between recurrence and
        escape time), which must fall with beta to below 2 per cent; growth of the stay with beta against the
        barrier of the ball; exit times of a quadratic against their exact values.
    """
    chains = 500 if quick else 4000
    betas = (48.0, 72.0, 96.0) if quick else (48.0, 64.0, 96.0, 128.0)
    comparisons: list[Comparison] = []
    series: list[Series] = []
    details: dict[str, float] = {}
    for index, dynamics in enumerate(_DYNAMICS):
        outcomes = [_watch(dynamics, beta, chains, seed + index) for beta in betas]
        broken = [one.broke for one in outcomes]
        comparisons.append(
            Comparison(f"{dynamics}: share that does neither at beta {betas[-1]:g}", 0.0, broken[-1], 0.02)
        )
        decreasing = all(later <= earlier for earlier, later in pairwise(broken))
        comparisons.append(
            Comparison(f"{dynamics}: that share falls with beta (1 is yes)", 1.0, float(decreasing), 0)
        )
        for beta, one in zip(betas, outcomes, strict=True):
            details |= {f"{dynamics}, beta {beta:g}: {key}": value for key, value in vars(one).items()}
        series.append(Series(dynamics, betas, broken, emphasis="accent" if index == 1 else "plain"))
    comparisons += _stays(betas=(12.0, 24.0 if quick else 36.0), chains=chains // 2, seed=seed)
    comparisons += _exact_exits((4.0,) if quick else (4.0, 8.0, 12.0), chains, seed)
    chart = Chart(
        "langevin-dichotomy",
        "Chains that settle near the minimum and leave again within 20 time units",
        "inverse temperature",
        "share of chains",
        series,
        note="The share that neither leaves early nor stays vanishes as the temperature falls.",
    )
    return ClaimCheck(
        "la-dichotomy",
        verdict_of(comparisons),
        "the share of paths that do neither vanishes with temperature; stays grow like exp(beta barrier)",
        {one.quantity: one.measured for one in comparisons} | details,
        f"2 per cent for the share; 30 per cent for the growth; {NUM_ERRORS} standard errors for exact exits",
        remark="The constants of the recurrence time of overdamped and underdamped dynamics are from memory"
        " of the paper; that they suffice for the noiseless path is derived here. The bounds of the theorem"
        " on step and temperature are not checked.",
        rows=tuple(one.to_row() for one in comparisons),
        figures=(chart,),
    )


def _kernel(dynamics: theory.Dynamics, beta: float) -> Kernel:
    if dynamics == "underdamped":
        return UnderdampedKernel(0.1, friction=2.0, temperature=1 / beta)  # critical for curvature 1
    if dynamics == "nonreversible":
        return NonReversibleKernel(0.02, _SKEW, 1 / beta)
    return OverdampedKernel(0.02, 1 / beta)


def _watch(dynamics: theory.Dynamics, beta: float, chains: int, seed: int) -> _Outcome:
    """Run chains past the recurrence time and for a while more; sort them by what they did."""
    kernel = _kernel(dynamics, beta)
    step = float(kernel.step_size)  # type: ignore[attr-defined]
    skew = _SKEW if dynamics == "nonreversible" else None
    recurrence = theory.recurrence_time_bound(_HESSIAN, _RADIUS, _BALL, dynamics, skew=skew)
    rate = theory.convergence_rate(_HESSIAN, dynamics, skew=skew)
    generator = torch.Generator().manual_seed(seed)
    angle = torch.rand(chains, generator=generator, dtype=torch.float64) * 2 * math.pi
    start = _MINIMUM + _RADIUS / 2 * torch.stack([angle.cos(), angle.sin()], dim=1)
    state = kernel.init(start)
    early = torch.zeros(chains, dtype=torch.bool)
    stays = torch.full((chains,), math.inf, dtype=torch.float64)
    for index in range(1, math.ceil((recurrence + _WATCH) / step) + 1):
        time = index * step
        state, _ = kernel.step(state, _WELL.gradient(state.position), generator)
        outside = (state.position - _MINIMUM).norm(dim=1) > _BALL + _RADIUS * math.exp(-rate * time)
        if time <= recurrence:
            early |= outside
        else:
            stays = torch.where(outside & ~early & stays.isinf(), time - recurrence, stays)
    broke = ~early & stays.isfinite()
    return _Outcome(
        float(early.double().mean()),
        float((~early & ~broke).double().mean()),
        float(broke.double().mean()),
    )


def _stays(betas: Sequence[float], chains: int, seed: int) -> list[Comparison]:
    """Measure how fast the mean stay in the ball grows with beta."""
    result = []
    for index, dynamics in enumerate(_DYNAMICS):
        times = [
            exit_time(
                _kernel(dynamics, beta),
                _WELL.gradient,
                _MINIMUM,
                radius=_BALL,
                num_chains=chains,
                generator=torch.Generator().manual_seed(seed + 10 + index),
            ).mean
            for beta in betas
        ]
        growth = math.log(times[1] / times[0]) / (betas[1] - betas[0])
        # Leading order; the prefactor changes with a power of beta.
        result.append(
            Comparison(f"{dynamics}: growth rate of log stay with beta", _BARRIER, growth, 0.3 * _BARRIER)
        )
    return result


def _exact_exits(betas: Sequence[float], chains: int, seed: int) -> list[Comparison]:
    result, step = [], 0.005
    for beta in betas:
        found = exit_time(
            OverdampedKernel(step, 1 / beta),
            Quadratic((1.0,)).gradient,
            torch.zeros(1, dtype=torch.float64),
            radius=1.0,
            num_chains=chains,
            generator=torch.Generator().manual_seed(seed + 20),
        )
        exact = theory.ou_exit_time(1.0, 1.0 + theory.hitting_barrier_shift(step, beta), beta)
        allowed = NUM_ERRORS * found.standard_error + 0.01 * exact
        result.append(Comparison(f"exit of [-1, 1] at beta {beta:g}", exact, found.mean, allowed))
    return result
