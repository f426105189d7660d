"""Local minimum first, global minimum later: chains that start in the shallower of two wells."""

import torch

from localmin.charts import Chart, Emphasis, Level, Series
from localmin.experiments.langevin.occupation import TiltedSheet
from localmin.langevin import (
    Kernel,
    NonReversibleKernel,
    OverdampedKernel,
    PairwiseRotation,
    UnderdampedKernel,
)
from localmin.reports.plots import write_svg

BETA = 16.0
WELL = TiltedSheet()  # (x^2 - 1)^2/4 + 0.06 x + y^2/2: the deeper well is on the left
KERNELS: dict[str, tuple[Kernel, float, Emphasis]] = {
    "overdamped": (OverdampedKernel(0.05, 1 / BETA), 0.05, "plain"),
    "underdamped": (UnderdampedKernel(0.2, 0.7, 1 / BETA), 0.2, "plain"),
    "non-reversible": (NonReversibleKernel(0.05, PairwiseRotation(1.0), 1 / BETA), 0.05, "accent"),
}


def draw(*, quick: bool = False) -> tuple[Chart, str]:
    """Count the chains in the deeper well over time, beside the Gibbs law."""
    chains, horizon = (200, 20.0) if quick else (2000, 600.0)
    _, saddle, shallow = WELL.critical_points()
    gibbs = WELL.share_of_deeper_well(BETA)
    series, early = [], []
    for name, (kernel, step, emphasis) in KERNELS.items():
        generator = torch.Generator().manual_seed(0)
        state = kernel.init(torch.tensor([[shallow, 0.0]], dtype=torch.float64).repeat(chains, 1))
        times, shares = [0.0], [0.0]
        for index in range(1, round(horizon / step) + 1):
            state, _ = kernel.step(state, WELL.gradient(state.position), generator)
            if index % round(4.0 / step) == 0:
                times.append(index * step)
                shares.append(float((state.position[:, 0] < saddle).double().mean()))
        early.append(shares[1])
        series.append(Series(name, times, shares, emphasis=emphasis))
    sentence = (
        f"After time 4 at most {max(early):.0%} of the chains of any dynamics have left their local minimum; "
        f"late, the deeper well holds the share that the Gibbs law gives it, {gibbs:.0%}."
    )
    return Chart(
        "occupation",
        "Chains in the deeper well, all started in the shallower one",
        "time",
        "share of chains in the deeper well",
        series,
        levels=(Level(gibbs, "Gibbs law"),),
        note=sentence,
    ), sentence


if __name__ == "__main__":
    write_svg(draw()[0], "occupation.svg")
