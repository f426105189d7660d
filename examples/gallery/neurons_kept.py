"""How many neurons 20 digits need: widths before and after an exact reduction."""

import torch
from sklearn.datasets import load_digits

import localmin
from localmin.charts import Chart, Series
from localmin.reduction import train_regularized
from localmin.reports.plots import write_svg


def draw(*, quick: bool = False) -> tuple[Chart, str]:
    """Train two wide layers on 20 digits and remove what these do not need."""
    digits = load_digits()
    x = torch.tensor(digits.data[:20] / 16.0)
    y = torch.eye(10, dtype=torch.float64)[torch.tensor(digits.target[:20])]
    width = 30 if quick else 200
    wide, _ = train_regularized(
        x, y, [width, width], 1e-3, num_adam_steps=20 if quick else 300, max_lbfgs_steps=5 if quick else 50
    )
    small = localmin.reduce(wide.to_module(), x)
    sentence = (
        f"Outputs on the {len(x)} images change by {small.max_output_change:.0e} at most, the squared norm "
        f"goes from {small.norm_before:.2f} to {small.norm_after:.2f}; nothing is trained again."
    )
    layers = range(len(small.bounds))
    series = (
        Series("before", layers, small.widths_before[1:-1], "bars", "muted"),
        Series("after", layers, small.widths_after[1:-1], "bars", "accent"),
        Series("bound of the theorem", layers, small.bounds, "bars", "dashed"),
    )
    return Chart(
        "neurons-kept", "Neurons of each hidden layer", "hidden layer", "neurons", series,
        categories=[str(layer + 1) for layer in layers], note=sentence,
    ), sentence  # fmt: skip


if __name__ == "__main__":
    write_svg(draw()[0], "neurons_kept.svg")
