"""How long each dynamics stays in a well, measured, beside the Eyring-Kramers law."""

import numpy as np
import torch

from localmin.charts import Chart, Emphasis, Series
from localmin.langevin import (
    Kernel,
    NonReversibleKernel,
    OverdampedKernel,
    PairwiseRotation,
    PassageResult,
    SheetDoubleWell,
    UnderdampedKernel,
    theory,
    transition_time,
)
from localmin.langevin.theory import Dynamics
from localmin.reports.plots import write_svg

FRICTION, SLOPE = 0.4, 2.0
LOOKS: dict[Dynamics, Emphasis] = {"overdamped": "plain", "underdamped": "plain", "nonreversible": "accent"}
WELL = SheetDoubleWell(slope=SLOPE)  # barrier 1/4
MINIMUM, SADDLE = [[6.0, -2.0], [-2.0, 1.0]], [[3.0, -2.0], [-2.0, 1.0]]
SKEW = [[0.0, SLOPE], [-SLOPE, 0.0]]


def kernel_of(name: Dynamics, temperature: float) -> Kernel:
    """Build the kernel of a dynamics."""
    if name == "overdamped":
        return OverdampedKernel(0.05, temperature)
    if name == "underdamped":
        return UnderdampedKernel(0.2, FRICTION, temperature)
    return NonReversibleKernel(0.03, PairwiseRotation(SLOPE), temperature)


def measure(name: Dynamics, temperature: float, *, chains: int) -> PassageResult:
    """Measure the time from one well to the other."""
    start = torch.tensor([-1.0, -SLOPE], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    kernel = kernel_of(name, temperature)
    return transition_time(
        kernel, WELL.gradient, start, threshold=1.0, num_chains=chains, generator=generator
    )


def draw(*, quick: bool = False) -> tuple[Chart, str]:
    """Measure mean times from one well to the other at falling temperatures."""
    betas = (3.0, 4.0) if quick else (6.0, 8.0, 10.0, 12.0, 14.0)
    heights = [beta / 4 for beta in betas]
    series: list[Series] = []
    means = {}
    for name, emphasis in LOOKS.items():
        found = [measure(name, 1 / beta, chains=30 if quick else 600) for beta in betas]
        fine = np.linspace(betas[0], betas[-1], 25).tolist()
        law = [
            theory.eyring_kramers(MINIMUM, SADDLE, 0.25, beta, name, friction=FRICTION, skew=SKEW)
            for beta in fine
        ]
        means[name] = [one.mean for one in found]
        low = [one.mean - 2 * one.standard_error for one in found]
        high = [one.mean + 2 * one.standard_error for one in found]
        series.append(Series("", [beta / 4 for beta in fine], law, emphasis="dashed"))
        series.append(Series(name, heights, means[name], "points", emphasis, low, high))
    gain, kinetic = (means["overdamped"][-1] / means[name][-1] for name in ("nonreversible", "underdamped"))
    sentence = (
        "Dots: mean time to the other well, with two standard errors; dashed: the Eyring-Kramers law, a "
        f"limit for low temperature. At the lowest one the skew drift leaves {gain:.1f} times as fast as "
        f"overdamped dynamics, underdamped dynamics {kinetic:.1f} times, each in its own time."
    )
    return Chart(
        "exit-times", "Time to leave a well", "barrier / temperature", "mean time", series, y_log=True,
        note=sentence,
    ), sentence  # fmt: skip


if __name__ == "__main__":
    write_svg(draw()[0], "exit_times.svg")
