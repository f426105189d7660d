"""How much faster is a repeated Hessian-vector product than differentiating twice from scratch?

Multiplies the Hessian of the same model on the same batches by the same vector in three ways, in turn in
one process: localmin with the graph of the gradient kept, localmin without, and the double backward that one
would write by hand. Prints medians in milliseconds and ratios; writes JSON beside the environment.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from localmin.objective import Objective
from localmin.tasks.environment import describe_device, versions

RESULTS = Path(__file__).parent / "results" / "hvp_speed.json"


@dataclass(frozen=True)
class Case:
    """One model with its data, cut into batches whose last one is smaller."""

    name: str
    model: nn.Module
    x: Tensor
    y: Tensor
    batch_size: int


def perceptron(*widths: int) -> nn.Sequential:
    """Build a tanh perceptron in float64."""
    parts: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        parts += [nn.Linear(before, after, dtype=torch.float64), nn.Tanh()]
    return nn.Sequential(*parts[:-1])


class Transformer(nn.Module):
    """A single encoder layer with a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Classify sequences by their mean representation."""
        return torch.as_tensor(self.head(self.layer(x).mean(1)))


def cases() -> list[Case]:
    """Make models of five sizes and kinds, with random data of fixed seed."""
    torch.manual_seed(0)
    table = torch.randn(1797, 64, dtype=torch.float64)
    convolution = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.Softplus(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(128, 10)
    )
    return [
        Case("perceptron 64-16-10", perceptron(64, 16, 10), table, torch.arange(1797) % 10, 450),
        Case("perceptron 64-128-10", perceptron(64, 128, 10), table, torch.arange(1797) % 10, 450),
        Case("perceptron 64-256-256-10", perceptron(64, 256, 256, 10), table, torch.arange(1797) % 10, 450),
        Case("convolution", convolution, torch.randn(500, 1, 8, 8), torch.arange(500) % 10, 128),
        Case("transformer layer", Transformer(), torch.randn(100, 12, 32), torch.arange(100) % 10, 32),
    ]


def by_hand(case: Case, vectors: list[Tensor]) -> Callable[[], list[Tensor]]:
    """Write the product as a double backward over the batches, built from scratch every time."""
    parameters = list(case.model.parameters())

    def product() -> list[Tensor]:
        total = [torch.zeros_like(parameter) for parameter in parameters]
        for first in range(0, len(case.x), case.batch_size):
            rows = slice(first, first + case.batch_size)
            # The fused attention kernel, torch's default, cannot be differentiated twice.
            with sdpa_kernel(SDPBackend.MATH):
                output = case.model(case.x[rows])
            loss = F.cross_entropy(output, case.y[rows], reduction="sum") / len(case.x)
            gradients = torch.autograd.grad(loss, parameters, create_graph=True)
            products = torch.autograd.grad(gradients, parameters, vectors)
            total = [old + new for old, new in zip(total, products, strict=True)]
        return total

    return product


def median_seconds(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Time every run in turn, so that noise of the machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def measure(case: Case, repeats: int) -> dict[str, float]:
    """Check that all ways agree on one case, then time them."""
    data = (case.x, case.y)
    kept = Objective(case.model, F.cross_entropy, data, batch_size=case.batch_size)
    fresh = Objective(case.model, F.cross_entropy, data, batch_size=case.batch_size, max_cache_bytes=0)
    vector = torch.randn(kept.num_parameters, dtype=kept.dtype)
    hand = by_hand(case, list(kept.split(vector).values()))
    expected = torch.cat([part.reshape(-1) for part in hand()])
    for objective in (kept, fresh):
        torch.testing.assert_close(objective.hvp(vector), expected, rtol=1e-4, atol=1e-6)
    seconds = median_seconds(
        {
            "kept": lambda: kept.hvp(vector),
            "fresh": lambda: fresh.hvp(vector),
            "by_hand": hand,
            "gradient": kept.gradient,
        },
        repeats,
    )
    return {
        "num_parameters": kept.num_parameters,
        **{f"{name}_milliseconds": 1e3 * value for name, value in seconds.items()},
        "by_hand_over_kept": seconds["by_hand"] / seconds["kept"],
        "by_hand_over_fresh": seconds["by_hand"] / seconds["fresh"],
        "kept_over_gradient": seconds["kept"] / seconds["gradient"],
    }


def main() -> None:
    """Measure all cases and record the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=31)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    columns = ("by hand", "kept", "not kept", "gradient", "by hand / kept", "by hand / not kept")
    print(f"{'milliseconds, medians':26s}{'parameters':>11s}" + "".join(f"{name:>20s}" for name in columns))
    rows = {}
    for case in cases():
        row = measure(case, options.repeats)
        rows[case.name] = row
        figures = [
            *(row[f"{name}_milliseconds"] for name in ("by_hand", "kept", "fresh", "gradient")),
            row["by_hand_over_kept"],
            row["by_hand_over_fresh"],
        ]
        print(
            f"{case.name:26s}{row['num_parameters']:11.0f}" + "".join(f"{value:20.2f}" for value in figures)
        )
    record = {
        "repeats": options.repeats,
        "device": describe_device("cpu"),
        "versions": versions(),
        "cases": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
