"""Training with a penalty keeps little: singular values of each layer's representation."""

import torch
from sklearn.datasets import load_digits

from localmin.charts import Chart, Emphasis, Series
from localmin.reduction import train_regularized
from localmin.reports.plots import write_svg


def draw(*, quick: bool = False) -> tuple[Chart, str]:
    """Train three hidden layers on 60 digits and look at what passes through each."""
    digits = load_digits()
    x = torch.tensor(digits.data[:60] / 16.0)
    y = torch.eye(10, dtype=torch.float64)[torch.tensor(digits.target[:60])]
    width = 20 if quick else 80
    network, _ = train_regularized(
        x, y, [width] * 3, 3e-3, num_adam_steps=50 if quick else 600, max_lbfgs_steps=20 if quick else 200
    )
    layers = {"input": x}
    z = x
    for number, (weight, bias) in enumerate(
        zip(network.weights[:-1], network.bias_vectors[:-1], strict=True)
    ):
        z = torch.relu(z @ weight.T + bias)
        layers[f"layer {number + 1}"] = z
    shares = {name: torch.linalg.svdvals(rows)[:25] for name, rows in layers.items()}
    shares = {name: values / values[0] for name, values in shares.items()}
    looks: dict[str, Emphasis] = {"input": "muted", "layer 3": "accent"}
    series = [
        Series(name, range(1, len(share) + 1), share.tolist(), emphasis=looks.get(name, "plain"))
        for name, share in shares.items()
    ]
    falls = [float(shares[name][9] / shares[name][10]) for name in ("input", "layer 3")]
    sentence = (
        f"Deep layers keep as many directions as there are classes, ten: after the tenth, the singular "
        f"values of layer 3 fall by a factor of {falls[1]:.0f}, those of the input by {falls[0]:.1f}."
    )
    return Chart(
        "singular-values",
        "Singular values of the representations",
        "rank of the singular value",
        "singular value / largest",
        series,
        y_log=True,
        note=sentence,
    ), sentence


if __name__ == "__main__":
    write_svg(draw()[0], "singular_values.svg")
