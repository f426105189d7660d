"""The origin of a deep linear network: two layers show their way down in the Hessian, three do not."""

import numpy as np
import torch

from localmin.certification import classify_deep_linear
from localmin.charts import Chart, Emphasis, Series
from localmin.reports.plots import write_svg


def draw(*, quick: bool = False) -> tuple[Chart, str]:
    """Walk from the origin along equal weights in all layers, and classify the origin."""
    one = torch.ones(1, 1, dtype=torch.float64)
    steps = np.linspace(-0.9, 1.5, 12 if quick else 97)
    series, verdicts = [], []
    looks: dict[int, Emphasis] = {2: "plain", 3: "accent"}
    for depth, emphasis in looks.items():
        verdicts.append(classify_deep_linear([0 * one] * depth, one, 2 * one).verdict)
        losses = (steps**depth - 2) ** 2 / 2
        series.append(Series(f"{depth} layers", steps.tolist(), losses.tolist(), emphasis=emphasis))
    here = Series("origin", (0.0,), (2.0,), "points")
    sentence = (
        f"With two layers the origin is a {verdicts[0]}: the loss bends down at once. With three it is a "
        f"{verdicts[1]}: slope and curvature vanish in every direction, and still it is no minimum."
    )
    return Chart(
        "flat-saddle",
        "Loss of scalar linear networks around the origin",
        "t, the weight of every layer",
        "half the squared error, target 2",
        (*series, here),
        note=sentence,
    ), sentence


if __name__ == "__main__":
    write_svg(draw()[0], "flat_saddle.svg")
