"""Twelve neurons, five kinks: a network and its normal form."""

import torch

from localmin.charts import Chart, Series
from localmin.networks import ReLUNetwork
from localmin.realization import normal_form
from localmin.reports.plots import write_svg


def draw(*, quick: bool = False) -> tuple[Chart, str]:
    """Compare the breakpoints of the neurons before and after."""
    # Five kinks, two of them split among several neurons, then a silent neuron, two that cancel, a constant.
    kinks = torch.tensor([-2.0, -1.0, 0.0, 0.8, 1.7, -1.0, -1.0, 0.8, 0.4, 1.2, 1.2, 0.0]).double()
    first = torch.tensor([1.0, 0.5, 2.0, 1.0, 1.0, 3.0, 1.0, 2.0, 1.0, 1.0, 2.0, 0.0]).double()
    second = torch.tensor([1.0, -0.8, 0.75, -0.7, 1.2, -0.2, -0.6, -0.35, 0.0, 1.0, -0.5, 0.4]).double()
    bias = -first * kinks
    bias[-1] = 0.5
    network = ReLUNetwork([first[:, None], second[None]], [bias, torch.zeros(1).double()])
    form = normal_form(network).network
    x = torch.linspace(-3, 3, 31 if quick else 241, dtype=torch.float64)[:, None]
    kept = (-form.bias_vectors[0] / form.weights[0][:, 0]).sort().values
    series = (
        Series("the function", x.flatten().tolist(), network(x).flatten().tolist()),
        Series("after", kept.tolist(), form(kept[:, None]).flatten().tolist(), "points", "accent"),
        Series("before", kinks[:-1].sort().values.tolist(), [-0.8] * 11, "points", "dashed"),
    )
    change = float((network(x) - form(x)).abs().max())
    sentence = (
        f"Dots stand at the breakpoints of the neurons: {network.widths[1]} neurons become {form.widths[1]}. "
        f"Split ones are merged; silent, cancelling and constant ones are gone. The outputs differ by "
        f"{change:.0e} at most."
    )
    return Chart(
        "normal-form", "Breakpoints before and after", "input", "output", series, note=sentence
    ), sentence


if __name__ == "__main__":
    write_svg(draw()[0], "normal_form.svg")
