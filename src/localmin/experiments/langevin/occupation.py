"""la-local-then-global: chains start in the wrong well of a tilted double well; where are they over time?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.integrate import quad
from torch import Tensor

from localmin.charts import Chart, Level, Series
from localmin.experiments.claim import ClaimCheck
from localmin.experiments.langevin.comparison import NUM_ERRORS, Comparison, verdict_of
from localmin.langevin import (
    Kernel,
    NonReversibleKernel,
    OverdampedKernel,
    PairwiseRotation,
    UnderdampedKernel,
)

__all__ = ["TiltedSheet", "check_occupation"]

# Bias of the Euler steps at these steps: the well's variance is off by step * curvature / 2, the
# occupation by less.
_STEP_BIAS = 0.01


@dataclass(frozen=True)
class TiltedSheet:
    """F = (x^2 - 1)^2/4 + tilt x + y^2/2 in two coordinates: the deeper well is on the left.

    Args:
        tilt: Slope, above 0 and small enough for two wells.
    """

    tilt: float = 0.06

    def gradient(self, position: Tensor) -> Tensor:
        """Compute the gradient of F."""
        x = position[..., 0]
        return torch.stack([x**3 - x + self.tilt, position[..., 1]], dim=-1)

    def critical_points(self) -> tuple[float, float, float]:
        """Compute the deeper minimum, the saddle and the shallower minimum in x."""
        low, middle, high = sorted(np.roots([1.0, 0.0, -1.0, self.tilt]).real)
        return float(low), float(middle), float(high)

    def share_of_deeper_well(self, beta: float) -> float:
        """Compute the Gibbs probability of the deeper well."""
        saddle = self.critical_points()[1]

        def density(x: float) -> float:
            return math.exp(-beta * ((x**2 - 1) ** 2 / 4 + self.tilt * x + 0.1))

        left, right = quad(density, -4, saddle)[0], quad(density, saddle, 4)[0]
        return float(left / (left + right))


def check_occupation(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Start every chain in the shallower well; count those in the deeper one against the Gibbs law.

    Args:
        seed: Of the noise.
        quick: Fewer chains, higher temperature.

    Returns:
        Early and late occupation per dynamics. The late ones must be the Gibbs probability within 4.5
        standard errors plus 0.01 for the step; early on, nine in ten must still be in the first well.
    """
    well, beta, chains = TiltedSheet(), (16.0 if quick else 20.0), (1200 if quick else 6000)
    horizon = 600.0 if quick else 4000.0
    expected = well.share_of_deeper_well(beta)
    kernels: dict[str, Kernel] = {
        "overdamped": OverdampedKernel(0.05, 1 / beta),
        "underdamped": UnderdampedKernel(0.2, friction=0.7, temperature=1 / beta),
        "non-reversible": NonReversibleKernel(0.05, PairwiseRotation(1.0), 1 / beta),
    }
    comparisons, series = [], []
    allowed = NUM_ERRORS * math.sqrt(expected * (1 - expected) / chains) + _STEP_BIAS
    for index, (name, kernel) in enumerate(kernels.items()):
        times, shares, settled = _follow(kernel, well, chains, horizon, seed + index)
        comparisons += [
            Comparison(f"{name}: in the shallower well at time 4", 1.0, settled, 0.1),
            Comparison(f"{name}: in the deeper well at the end", expected, shares[-1], allowed),
        ]
        series.append(Series(name, times, shares, emphasis="accent" if index == 1 else "plain"))
    chart = Chart(
        "langevin-occupation",
        "Chains in the deeper well, all started in the shallower one",
        "time",
        "share of chains",
        series,
        levels=(Level(expected, "Gibbs law"),),
        note="Every dynamics stays in its local minimum first and reaches the Gibbs law later.",
    )
    return ClaimCheck(
        "la-local-then-global",
        verdict_of(comparisons),
        f"all near the local minimum early, {expected:.3f} of the chains in the deeper well late",
        {one.quantity: one.measured for one in comparisons},
        f"{NUM_ERRORS} standard errors of {chains} chains plus {_STEP_BIAS} for the bias of the step",
        remark="Times of overdamped and underdamped dynamics have different units.",
        rows=tuple(one.to_row() for one in comparisons),
        figures=(chart,),
    )


def _follow(
    kernel: Kernel, well: TiltedSheet, chains: int, horizon: float, seed: int
) -> tuple[list[float], list[float], float]:
    """Run chains; give times, shares in the deeper well, and the share still in the first well at time 4."""
    _, saddle, shallow = well.critical_points()
    step: Any = getattr(kernel, "step_size")  # noqa: B009
    generator = torch.Generator().manual_seed(seed)
    state = kernel.init(torch.tensor([shallow + 0.25, 0.25], dtype=torch.float64).repeat(chains, 1))
    num_steps = round(horizon / step)
    records = set(np.unique(np.geomspace(1, num_steps, 60).round().astype(int)).tolist()) | {num_steps}
    times, shares, settled = [], [], math.nan
    for index in range(1, num_steps + 1):
        state, _ = kernel.step(state, well.gradient(state.position), generator)
        if index == round(4 / step):
            settled = float((state.position[:, 0] > saddle).double().mean())
        if index in records:
            times.append(index * step)
            shares.append(float((state.position[:, 0] < saddle).double().mean()))
    return times, shares, settled
