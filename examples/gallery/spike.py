"""Three large neurons that nearly cancel: the function is small, its parameters are not."""

import torch

from localmin.charts import Chart, Emphasis, Series
from localmin.networks import ReLUNetwork
from localmin.realization import seminorm_distance
from localmin.reports.plots import write_svg


def spike(k: float) -> ReLUNetwork:
    """Build a spike of height 1/k and slope k around zero."""
    first = torch.full((3, 1), k, dtype=torch.float64)
    second = torch.tensor([[1.0, -2.0, 1.0]], dtype=torch.float64)
    bias = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64) / k
    return ReLUNetwork([first, second], [bias, torch.zeros(1, dtype=torch.float64)])


def draw(*, quick: bool = False) -> tuple[Chart, str]:
    """Show spikes of falling height, with the size of their parameters."""
    series: list[Series] = []
    looks: dict[float, Emphasis] = {2.0: "muted", 4.0: "plain", 8.0: "accent"}
    for k, emphasis in looks.items():
        x = (-0.5, -1 / k**2, 0.0, 1 / k**2, 0.5)
        y = spike(k)(torch.tensor(x, dtype=torch.float64)[:, None])[:, 0].tolist()
        series.append(Series("", x, y, emphasis=emphasis))
        series.append(Series(f"weights {k:g}, height 1/{k:g}", (0.0,), y[2:3], "points", emphasis))
    zero = ReLUNetwork(
        [0 * weight for weight in spike(1.0).weights], [0 * b for b in spike(1.0).bias_vectors]
    )
    slope = seminorm_distance(spike(8.0), zero).value
    sentence = (
        "As the weights grow the spike shrinks: its height goes to zero while the parameters run away. "
        f"The semi-norm, a distance of slopes, is not deceived: for weights of 8 it is {slope:.0f}."
    )
    return Chart(
        "spike", "Spikes of unbounded parameters", "input", "output", series, note=sentence
    ), sentence


if __name__ == "__main__":
    write_svg(draw()[0], "spike.svg")
