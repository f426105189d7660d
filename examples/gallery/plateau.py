"""From which width on does a wider network gain nothing?"""

import torch

from localmin.charts import Chart
from localmin.reduction import plateau
from localmin.reports.plots import write_svg


def draw(*, quick: bool = False) -> tuple[Chart, str]:
    """Train networks of several widths on the outputs of a small teacher."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 4, generator=generator, dtype=torch.float64)
    hidden = torch.relu(x @ torch.randn(4, 3, generator=generator, dtype=torch.float64))
    y = hidden @ torch.randn(3, 2, generator=generator, dtype=torch.float64)
    widths = (1, 2, 4) if quick else (1, 2, 3, 4, 6, 8, 12, 16, 32)
    found = plateau(
        widths, x, y, 1e-3, depth=2, seeds=(0,) if quick else (0, 1, 2),
        num_adam_steps=100 if quick else 500, max_lbfgs_steps=100 if quick else 300,
    )  # fmt: skip
    chart = found.chart()
    return chart, (
        f"40 points from a teacher with 3 neurons: from width {found.start} on the regularised loss stays "
        f"within {found.tolerance_relative:.0%} of that at width {found.widths[-1]}."
    )


if __name__ == "__main__":
    write_svg(draw()[0], "plateau.svg")
