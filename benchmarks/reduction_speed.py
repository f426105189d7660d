"""How long does exact reduction take, and how does it compare with a linear programme?

Two questions, one table each:

* the vertex problem of mode "vertex-c" on random ReLU features: `recombine` against the HiGHS dual
  simplex method on the same columns (the LP is stopped at `--factor` times our time plus ten seconds);
* `reduce` on a ReLU network fitted to the bundled digits, N points and width W, for a few Adam steps.

Run with: python benchmarks/reduction_speed.py [--points 60] [--width 2000]
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import scipy
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from localmin.reduction import recombine, reduce, train_regularized
from localmin.testing.reduction_reference import linear_program_vertex

PROBLEMS = ((20, 500), (20, 2000), (40, 2000), (60, 2500))


def vertex_problem(num_points: int, num_neurons: int) -> tuple[Tensor, Tensor, Tensor]:
    """Columns svec(u uᵀ) of whitened random ReLU features, unit weights, costs ||w_in||²."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(num_points, num_points // 2, generator=generator, dtype=torch.float64)
    weights = torch.randn(num_neurons, num_points // 2, generator=generator, dtype=torch.float64)
    features = torch.linalg.svd(torch.relu(weights @ inputs.T), full_matrices=False)[0]
    first, second = torch.triu_indices(num_points, num_points)
    factor = torch.where(first == second, 1.0, 2.0**0.5).double()
    columns = (features[:, first] * features[:, second] * factor).T.contiguous()
    return columns, torch.ones(num_neurons).double(), weights.square().sum(dim=1)


def compare_with_linear_program(
    num_points: int, num_neurons: int, repeats: int, factor: float
) -> dict[str, Any]:
    """Time both solvers on one vertex problem."""
    columns, weights, costs = vertex_problem(num_points, num_neurons)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = recombine(columns, weights, costs)
        seconds.append(time.perf_counter() - started)
    ours = statistics.median(seconds)
    limit = factor * ours + 10.0
    started = time.perf_counter()
    vertex = linear_program_vertex(columns, weights, costs, seconds=limit)
    theirs = time.perf_counter() - started
    finished = vertex is not None and theirs < limit
    return {
        "points": num_points,
        "neurons": num_neurons,
        "rows": columns.shape[0],
        "kept": len(result.indices),
        "solver": result.solver,
        "seconds": ours,
        "cost_ratio": result.cost_after / result.cost_before,
        "linear_program_seconds": theirs,
        "linear_program_finished": finished,
        "linear_program_cost_ratio": float(costs @ vertex) / result.cost_before
        if finished and vertex is not None
        else None,
        "speed_ratio": theirs / ours,
    }


def reduce_digits(num_points: int, width: int, adam_steps: int) -> dict[str, Any]:
    """Fit two hidden layers to the first points of each digit, then reduce."""
    digits = load_digits()
    inputs, labels = torch.tensor(digits.data / 16.0), torch.tensor(digits.target)
    chosen = torch.cat([torch.nonzero(labels == c).flatten()[: num_points // 10] for c in range(10)])
    x, y = inputs[chosen], torch.eye(10, dtype=torch.float64)[labels[chosen]]
    network, loss = train_regularized(
        x, y, [width, width], 1e-3, num_adam_steps=adam_steps, max_lbfgs_steps=0, learning_rate=1e-3
    )
    held_out = inputs[torch.isin(torch.arange(len(inputs)), chosen, invert=True)][:500]
    result = reduce(network, x, held_out_points=held_out)
    return {
        "loss_before": loss,
        "loss_after": loss + 1e-3 * (result.norm_after - result.norm_before),
        **{name: value for name, value in result.to_dict().items() if name != "steps"},
    }


def main() -> None:
    """Measure, print and write the JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=60)
    parser.add_argument("--width", type=int, default=2000)
    parser.add_argument("--adam-steps", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--factor", type=float, default=15.0)
    arguments = parser.parse_args()
    vertices = []
    for num_points, num_neurons in PROBLEMS:
        row = compare_with_linear_program(num_points, num_neurons, arguments.repeats, arguments.factor)
        vertices.append(row)
        mark = "" if row["linear_program_finished"] else " (stopped)"
        print(
            f"N={num_points:3d} m={num_neurons:5d} d={row['rows']:5d}  ours {row['seconds']:7.2f} s "
            f"cost {row['cost_ratio']:.4f}  LP {row['linear_program_seconds']:7.2f} s{mark}  "
            f"x{row['speed_ratio']:.1f}",
            flush=True,
        )
    digits = reduce_digits(arguments.points, arguments.width, arguments.adam_steps)
    print(
        f"reduce N={arguments.points}: {digits['widths_before']} -> {digits['widths_after']} "
        f"norm {digits['norm_after'] / digits['norm_before'] - 1:+.2%} in {digits['seconds']:.1f} s, "
        f"output change {digits['max_output_change_relative']:.1e}"
    )
    environment = {
        "torch": torch.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }
    path = Path(__file__).parent / "results" / "reduction_speed.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"environment": environment, "vertices": vertices, "digits": digits}, indent=2) + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
