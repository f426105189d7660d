"""Long simulations of exit times against the printed tables and exact values; `make proofs` runs them.

Budget: 10 000 chains, so 1 per cent of standard error; bands of 4.5 standard errors of both sides. Tables
printed from 20 000 chains carry 0.7 per cent themselves.
"""

import math

import numpy as np
import pytest
import torch

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

pytestmark = pytest.mark.slow

BETA, CHAINS = 12.0, 10_000


def _exit(kernel: Kernel, potential: Potential, start: list[float], seed: int) -> PassageResult:
    return transition_time(
        kernel,
        potential.gradient,
        torch.tensor(start, dtype=torch.float64),
        threshold=1.0,
        num_chains=CHAINS,
        generator=torch.Generator().manual_seed(seed),
    )


def _agrees(found: PassageResult, expected: float, error: float) -> bool:
    return abs(found.mean - expected) <= 4.5 * math.hypot(found.standard_error, error)


@pytest.mark.parametrize("step", [0.2, 0.05])
def test_overdamped_against_the_exact_chain(step: float) -> None:
    found = _exit(OverdampedKernel(step, 1 / BETA), DoubleWell(), [-1.0], 1)
    exact = theory.euler_chain_first_passage_1d(
        lambda x: x**3 - x, BETA, -1.0, 1.0, step, lower=-2.4 if step == 0.2 else -3.0
    )
    assert exact == pytest.approx({0.2: 98.699, 0.05: 105.617}[step], rel=1.2e-5)
    assert _agrees(found, exact, 0.0)
    assert 0.93 < found.coefficient_of_variation < 1.02
    # Halving the drift or scaling the noise by T is far outside the band.
    assert not _agrees(_exit(OverdampedKernel(step, 1 / BETA**1.05), DoubleWell(), [-1.0], 1), exact, 0.0)


@pytest.mark.parametrize(
    ("scheme", "step", "friction", "printed", "error"),
    [
        ("baoab", 0.05, 0.5, 129.9, 0.9),
        ("baoab", 0.05, 1.0, 161.1, 1.1),
        ("baoab", 0.05, 2.0, 250.2, 1.7),
        ("baoab", 0.2, 1.0, 162.3, 1.1),
        ("baoab", 0.5, 1.0, 168.0, 1.2),
        ("baoab", 0.8, 1.0, 175.6, 1.2),
        ("exponential", 0.05, 0.5, 107.8, 0.8),
        ("exponential", 0.05, 1.0, 152.1, 1.1),
        ("exponential", 0.05, 2.0, 242.8, 1.7),
        ("euler_maruyama", 0.02, 0.5, 112.2, 0.8),
        ("euler_maruyama", 0.02, 1.0, 154.3, 1.1),
        ("euler_maruyama", 0.02, 2.0, 245.9, 1.7),
    ],
)
def test_underdamped_schemes(
    scheme: UnderdampedScheme, step: float, friction: float, printed: float, error: float
) -> None:
    found = _exit(UnderdampedKernel(step, friction, 1 / BETA, scheme), DoubleWell(), [-1.0], 2)
    assert _agrees(found, printed, error), found.to_dict()


def test_underdamped_leaves_first_over_a_soft_saddle() -> None:
    beta, soft = 48.0, DoubleWell(height=1 / 16)
    slow = _exit(OverdampedKernel(0.05, 1 / beta), soft, [-1.0], 3)
    fast = _exit(UnderdampedKernel(0.2, 0.5, 1 / beta), soft, [-1.0], 4)
    # The chain's own step bias at 0.05 is 0.2 per cent here.
    assert _agrees(slow, 426.241, 0.003 * 426.241)
    assert _agrees(fast, 323.0, 2.2)


@pytest.mark.parametrize(
    ("slope", "strength", "step", "printed", "error"),
    [
        (0.0, 1.0, 0.01, 71.0, 0.5),
        (0.0, 2.0, 0.01, 42.0, 0.3),
        (1.0, 0.0, 0.01, 182.2, 1.2),
        (1.0, 2.0, 0.01, 55.6, 0.4),
        (0.0, 2.0, 0.1, 23.2, 0.2),
        (0.0, 2.0, 0.05, 33.4, 0.25),
        (0.0, 2.0, 0.02, 39.8, 0.3),
    ],
)
def test_skew_drift(slope: float, strength: float, step: float, printed: float, error: float) -> None:
    kernel = NonReversibleKernel(step, PairwiseRotation(strength), 1 / BETA)
    found = _exit(kernel, SheetDoubleWell(stiffness=1.0, slope=slope), [-1.0, -slope], 5)
    assert _agrees(found, printed, error), found.to_dict()


@pytest.mark.parametrize("stiffness", [0.5, 1.0])
def test_exact_skew_benchmark(stiffness: float) -> None:
    step = 0.02
    kernel = NonReversibleKernel(step, PairwiseRotation(1.0), 1 / BETA)
    found = _exit(kernel, SheetDoubleWell(stiffness=stiffness, slope=1.0), [-1.0, -1.0], 6)
    exact = theory.euler_chain_first_passage_1d(
        lambda x: np.asarray(x**3 - x), BETA, -1.0, 1.0, step, lower=-3.0
    )
    assert _agrees(found, exact, 0.0)
