"""The eigenvalues of the Hessian where a training ended."""

import torch
from sklearn.datasets import load_digits
from torch import nn

from localmin.certification import settle, spectrum_chart
from localmin.charts import Figure
from localmin.objective import HessianOperator, Objective
from localmin.reports.plots import write_svg


def draw(*, quick: bool = False) -> tuple[Figure, str]:
    """Descend on digits until a certificate says minimum, and estimate the spectrum there."""
    digits = load_digits()
    n = 60 if quick else 300
    x, y = torch.tensor(digits.data[:n] / 16.0), torch.tensor(digits.target[:n])
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    start = Objective(model, nn.functional.cross_entropy, (x, y), weight_decay=1e-2)
    settled = settle(start, seed=0)
    density = HessianOperator(settled.objective).spectral_density(num_steps=40 if quick else 80, num_starts=2)
    found = settled.certificate
    return spectrum_chart(density, found), (
        f"{density.size} eigenvalues: most lie near zero, a few directions are steep. Verdict: "
        f"{found.verdict}; the smallest curvature that was found is {found.curvature:.2g}."
    )


if __name__ == "__main__":
    write_svg(draw()[0], "spectrum.svg")
