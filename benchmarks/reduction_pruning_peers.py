"""At equal neuron counts, what do other ways of pruning do to outputs and accuracy?

A network with two hidden layers is trained on N digits with an L2 penalty and reduced by `reduce`. Then, to
the same widths: torch-pruning's magnitude pruner; removal of dead neurons and merging of always active ones
that are combinations of each other (exact compression by stable neurons, on the training points instead of an
input box), continued by magnitude where that does not reach the widths; and our own ridge refit. Merging all
neurons that depend on others on the points goes down to N neurons with exact outputs, if the norm is nobody's
concern: it is listed too.

torch-pruning is installed on its own: pip install --target DIR --no-deps torch-pruning

Run with: python benchmarks/reduction_pruning_peers.py --peers DIR [--points 60] [--width 500]
"""

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.linalg import qr
from sklearn.datasets import load_digits
from torch import Tensor, nn

from localmin.networks import ReLUNetwork
from localmin.reduction import approximate_reduction, reduce, train_regularized


def digits(num_points: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take the first digits of each class, and 500 others with their labels."""
    data = load_digits()
    inputs, labels = torch.tensor(data.data / 16.0), torch.tensor(data.target)
    chosen = torch.cat([torch.nonzero(labels == c).flatten()[: num_points // 10] for c in range(10)])
    others = torch.nonzero(torch.isin(torch.arange(len(inputs)), chosen, invert=True)).flatten()[:500]
    return inputs[chosen], torch.eye(10).double()[labels[chosen]], inputs[others], labels[others]


def torch_pruned(network: ReLUNetwork, x: Tensor, widths: tuple[int, ...], peers: Path) -> nn.Module:
    """Prune by torch-pruning's L2 magnitude, layer by layer, to the widths."""
    sys.path.append(str(peers))
    pruning = importlib.import_module("torch_pruning")
    model = network.to_module()
    linears = [part for part in model if isinstance(part, nn.Linear)]
    ratios = {
        layer: 1 - after / before
        for layer, before, after in zip(linears, network.widths[1:-1], widths, strict=False)
    }
    pruner = pruning.pruner.MagnitudePruner(
        model,
        x[:1],
        importance=pruning.importance.MagnitudeImportance(p=2),
        pruning_ratio=0.0,
        pruning_ratio_dict=ratios,
        ignored_layers=[linears[-1]],
        round_to=1,
    )
    pruner.step()
    return model


def dead_and_merged(network: ReLUNetwork, x: Tensor, *, only_stable: bool) -> ReLUNetwork:
    """Remove neurons that are zero on all points; express those that depend on others by them."""
    weights, biases = list(network.weights), list(network.biases or ())
    values = x
    for layer in range(len(weights) - 1):
        features = torch.relu(torch.nn.functional.linear(values, weights[layer], biases[layer]))
        alive = features.amax(dim=0) > 0
        merged = alive & (features.amin(dim=0) > 0) if only_stable else alive
        others = torch.nonzero(alive & ~merged).flatten()
        basis = torch.nonzero(merged).flatten()
        if len(basis):
            triangle, order = qr(features[:, basis].numpy(), mode="r", pivoting=True)
            diagonal = np.abs(np.diag(triangle))
            rank = int((diagonal > 1e-11 * diagonal[0]).sum())
            basis = basis[torch.from_numpy(np.sort(order[:rank]))]
            # Outgoing weights of the merged neurons go to those that express them.
            mixing = torch.linalg.lstsq(features[:, basis], features[:, merged], driver="gelsd").solution
            outgoing = weights[layer + 1][:, merged] @ mixing.T
        else:
            outgoing = weights[layer + 1][:, basis]
        weights[layer + 1] = torch.cat([weights[layer + 1][:, others], outgoing], dim=1)
        kept = torch.cat([others, basis])
        weights[layer] = weights[layer][kept]
        bias = biases[layer]
        biases[layer] = None if bias is None else bias[kept]
        values = features[:, kept]
    return ReLUNetwork([part.contiguous() for part in weights], biases)


def strongest(network: ReLUNetwork, widths: tuple[int, ...]) -> ReLUNetwork:
    """Keep the neurons with the largest norms, without any refit."""
    weights, biases = list(network.weights), list(network.biases or ())
    for layer, width in enumerate(widths):
        strength = weights[layer].norm(dim=1) * weights[layer + 1].norm(dim=0)
        kept = strength.argsort(descending=True)[:width].sort().values
        bias = biases[layer]
        weights[layer], weights[layer + 1] = weights[layer][kept], weights[layer + 1][:, kept]
        biases[layer] = None if bias is None else bias[kept]
    return ReLUNetwork(weights, biases)


def main() -> None:
    """Train, prune in every way, print and write the JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=Path, help="folder with torch-pruning; left out without it")
    parser.add_argument("--points", type=int, default=60)
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--lbfgs-steps", type=int, default=300)
    arguments = parser.parse_args()
    x, y, held_out, labels = digits(arguments.points)
    network, loss = train_regularized(
        x,
        y,
        [arguments.width] * 2,
        1e-3,
        num_adam_steps=300,
        max_lbfgs_steps=arguments.lbfgs_steps,
        learning_rate=1e-3,
    )
    exact = reduce(network, x, held_out_points=held_out)
    widths = exact.widths_after[1:-1]
    merged = dead_and_merged(network, x, only_stable=True)
    results: dict[str, Any] = {
        "original": network,
        "localmin, mode design": exact.network,
        "localmin, mode pair": reduce(network, x, mode="pair").network,
        "dead and merged": merged,
        "dead and merged, then magnitude": strongest(merged, widths),
        "all dependent ones merged": dead_and_merged(network, x, only_stable=False),
        "magnitude": strongest(network, widths),
        "localmin, ridge refit": approximate_reduction(network, x, widths).network,
    }
    if arguments.peers is not None:
        results["torch-pruning, magnitude"] = torch_pruned(network, x, widths, arguments.peers)
    reference, rows = network(x), []
    for name, model in results.items():
        with torch.no_grad():
            outputs, elsewhere = model(x), model(held_out)
        small = ReLUNetwork.from_module(model) if isinstance(model, nn.Module) else model
        rows.append(
            {
                "method": name,
                "widths": list(small.widths[1:-1]),
                "output_change_relative": float((outputs - reference).norm() / reference.norm()),
                "norm_ratio": float(small.squared_norm / network.squared_norm),
                "train_accuracy": float((outputs.argmax(1) == y.argmax(1)).double().mean()),
                "held_out_accuracy": float((elsewhere.argmax(1) == labels).double().mean()),
            }
        )
        row = rows[-1]
        print(
            f"{name:36s} {row['widths']!s:12s} outputs {row['output_change_relative']:.1e}  norm x "
            f"{row['norm_ratio']:9.4g}  accuracy {row['train_accuracy']:.3f} (training), "
            f"{row['held_out_accuracy']:.3f} (held out)",
            flush=True,
        )
    environment = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }
    path = Path(__file__).parent / "results" / "reduction_pruning_peers.json"
    content = {"environment": environment, "points": arguments.points, "loss": loss, "rows": rows}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
