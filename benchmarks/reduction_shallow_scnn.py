"""How fast and how exact is `solve_shallow` beside scnn, which solves the same convex problem?

Two-layer ReLU networks without biases, scalar output, (1/n) sum of squares + penalty * squared norm. scnn's
NeuronGL1 with the same penalty is this problem over two (its loss is halved). scnn gives no certified gap, so
its network is measured against our lower bound. Its settings are its defaults, but for the rescaling of the
data's columns, which would change the penalty. Each scnn run gets its own process and `--seconds`.

scnn 0.0.10 is installed on its own: pip install --target DIR --no-deps pyscnn linalg_backends opt_einsum
tqdm cvxpy osqp clarabel scs qdldl sparsediffpy highspy (it asks for torchvision too, but does not import it).

Run with: python benchmarks/reduction_shallow_scnn.py --peers DIR [--seconds 120]
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from localmin.reduction import solve_shallow

_RUN_PEER = """
import json, sys, time
sys.path.append(sys.argv[1])
import numpy as np
from scnn.optimize import optimize
from scnn.regularizers import NeuronGL1
problem = json.loads(sys.argv[2])
x, y = np.array(problem["x"]), np.array(problem["y"])
started = time.perf_counter()
model, _ = optimize("relu", problem["max_neurons"], x, y, regularizer=NeuronGL1(problem["penalty"]),
                    unitize_data=False)
seconds = time.perf_counter() - started
print("RESULT" + json.dumps([seconds, [np.asarray(part).tolist() for part in model.parameters]]))
"""


def problems() -> dict[str, tuple[Tensor, Tensor, float]]:
    """Two points in closed form at two penalties, and random points in the plane and in space."""
    two = torch.tensor([[1.0], [-1.0]]).double()
    found: dict[str, tuple[Tensor, Tensor, float]] = {
        f"two points, penalty {penalty}": (two, torch.ones(2, 1).double(), penalty) for penalty in (0.1, 0.05)
    }
    for num_points, num_inputs in ((10, 2), (12, 3)):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(num_points, num_inputs, generator=generator, dtype=torch.float64)
        y = torch.randn(num_points, 1, generator=generator, dtype=torch.float64)
        found[f"{num_points} random points in {num_inputs} dimensions"] = (x, y, 0.02)
    return found


def loss_of(parameters: list[Any], x: Tensor, y: Tensor, penalty: float) -> float:
    """Compute the regularised loss of scnn's network after balance."""
    first, second = (torch.tensor(part).double() for part in parameters[:2])
    first, second = first.reshape(-1, x.shape[1]), second.reshape(y.shape[1], -1)
    error = (torch.relu(x @ first.T) @ second.T - y).square().sum() / len(x)
    return float(error + 2 * penalty * (first.norm(dim=1) * second.norm(dim=0)).sum())


def run_peer(peers: Path, x: Tensor, y: Tensor, penalty: float, seconds: float) -> tuple[float, Any] | None:
    """Solve with scnn in a process of its own; None if it did not finish or failed."""
    problem = {"x": x.tolist(), "y": y.tolist(), "penalty": penalty, "max_neurons": 200}
    command = [sys.executable, "-c", _RUN_PEER, str(peers), json.dumps(problem)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return None
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if not lines:
        print(done.stderr[-500:], file=sys.stderr)
        return None
    needed, parameters = json.loads(lines[0][len("RESULT") :])
    return needed, parameters


def main() -> None:
    """Measure, print and write the JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=Path, help="folder with scnn; without it only ours is measured")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    rows = []
    for name, (x, y, penalty) in problems().items():
        times = []
        for _ in range(arguments.repeats):
            started = time.perf_counter()
            ours = solve_shallow(x, y, penalty)
            times.append(time.perf_counter() - started)
        row: dict[str, Any] = {
            "problem": name,
            "seconds": statistics.median(times),
            "value": ours.value,
            "lower_bound": ours.lower_bound,
            "gap_relative": ours.gap_relative,
            "width": ours.network.widths[1],
        }
        if arguments.peers is not None:
            theirs = run_peer(arguments.peers, x, y, penalty, arguments.seconds)
            if theirs is None:
                row |= {"scnn_finished": False, "speed_ratio_at_least": arguments.seconds / row["seconds"]}
            else:
                value = loss_of(theirs[1], x, y, penalty)
                row |= {
                    "scnn_finished": True,
                    "scnn_seconds": theirs[0],
                    "scnn_value": value,
                    "scnn_excess_over_our_lower_bound": (value - ours.lower_bound) / value,
                    "speed_ratio": theirs[0] / row["seconds"],
                }
        rows.append(row)
        print(json.dumps(row), flush=True)
    environment = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
    }
    path = Path(__file__).parent / "results" / "reduction_shallow_scnn.json"
    path.write_text(json.dumps({"environment": environment, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
