"""The loss around a saddle between two wells, on the plane of the witness."""

import torch

from localmin.certification import certificate_figures, certify
from localmin.charts import Figure
from localmin.objective import Objective
from localmin.reports.plots import write_svg


def draw(*, quick: bool = False) -> tuple[Figure, str]:
    """Look at the loss around the middle of two wells."""
    wells = Objective.from_function(
        lambda p: (p[0] ** 2 - 1) ** 2 / 4 + p[1] ** 2 / 2, torch.zeros(2, dtype=torch.float64)
    )
    found = certify(wells)
    picture = certificate_figures(wells, found, num_plane=21 if quick else 61)[-1]
    return picture, (
        f"Verdict {found.verdict}: along the witness the loss falls into one of two wells (light), across it "
        "the loss rises."
    )


if __name__ == "__main__":
    write_svg(draw()[0], "saddle_plane.svg")
