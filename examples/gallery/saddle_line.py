"""A saddle that looks like the end of training, and the loss along the witness that leads out of it."""

import torch
from torch import nn

from localmin.certification import certificate_figures, certify
from localmin.charts import Figure
from localmin.objective import Objective
from localmin.reports.plots import write_svg


def draw(*, quick: bool = False) -> tuple[Figure, str]:
    """Certify a network whose weights are zero: its gradient vanishes, so descent never moves."""
    x = torch.randn(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.sin(2.0 * x[:, :1]) * x[:, 1:]
    model = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    objective = Objective(model, nn.functional.mse_loss, (x, y - y.mean()), weight_decay=1e-3)
    found = certify(objective)
    picture = certificate_figures(objective, found, num_line=21 if quick else 81, num_plane=0)[1]
    return picture, (
        f"The gradient is zero, yet the point is no minimum: along the witness the curvature is "
        f"{found.curvature:.2g}, and the loss falls on both sides."
    )


if __name__ == "__main__":
    write_svg(draw()[0], "saddle_line.svg")
