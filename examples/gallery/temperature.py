"""What a finite step does to the temperature: five ways to discretise the same dynamics."""

import numpy as np
import torch

from localmin.charts import Chart, Emphasis, Series
from localmin.langevin import Quadratic, UnderdampedKernel, theory
from localmin.langevin.updates import UnderdampedScheme
from localmin.reports.plots import write_svg

BETA, FRICTION = 4.0, 1.0
SCHEMES: tuple[UnderdampedScheme, ...] = (
    "baoab",
    "obabo",
    "symplectic_euler",
    "exponential",
    "euler_maruyama",
)
HIGHEST = 2.4


def measure(scheme: UnderdampedScheme, step: float, chains: int) -> float:
    """Measure the temperature of the positions, in units of the one asked for."""
    kernel = UnderdampedKernel(step, FRICTION, 1 / BETA, scheme)
    generator = torch.Generator().manual_seed(0)
    well = Quadratic((1.0,))
    state = kernel.init(torch.zeros(chains, 1, dtype=torch.float64))
    for _ in range(round(20 / step)):
        state, _ = kernel.step(state, well.gradient(state.position), generator)
    return BETA * float(state.position.square().mean())


def exact(scheme: UnderdampedScheme, step: float) -> float:
    """Compute it instead; infinite where the step is not stable."""
    if step >= theory.max_stable_step(1.0, scheme, friction=FRICTION):
        return float("inf")
    covariance = theory.stationary_covariance(1.0, scheme, step, BETA, friction=FRICTION)
    return BETA * float(covariance[0, 0])


def draw(*, quick: bool = False) -> tuple[Chart, str]:
    """Compare the measured temperature of positions with the exact one of each scheme."""
    lines, dots = [], []
    for scheme in SCHEMES:
        emphasis: Emphasis = "accent" if scheme == "baoab" else "plain"
        fine = [step for step in np.linspace(0.02, 1.0, 12 if quick else 50) if exact(scheme, step) < HIGHEST]
        coarse = [step for step in (0.2, 0.4, 0.6, 0.8, 1.0) if step <= max(fine)]
        found = [measure(scheme, step, 500 if quick else 100_000) for step in coarse]
        name = scheme.replace("_", " ")
        lines.append(Series(name, fine, [exact(scheme, step) for step in fine], emphasis=emphasis))
        dots.append(Series("", coarse, found, "points", emphasis))
    sentence = (
        "Lines: exact, dots: measured. BAOAB keeps the temperature of the positions at any stable step on a "
        "quadratic; other schemes heat or cool as the step grows."
    )
    return Chart(
        "temperature",
        "Temperature of the positions against the step",
        "step h, in units of one over the frequency",
        "temperature of positions / asked for",
        [*lines, *dots],
        note=sentence,
    ), sentence


if __name__ == "__main__":
    write_svg(draw()[0], "temperature.svg")
