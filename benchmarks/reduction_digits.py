"""How small do regularised networks on digits become, and what does each mode of reduction give?

Networks with two hidden layers are trained on N digits (the first N/10 of each class) with
(1/N) sum of squares + penalty * squared norm, Adam then L-BFGS, until they reach the level of a reference
run; then each mode reduces them. The reference figures in `NETS` come from another implementation, other
initial weights and another choice of digits, so levels are comparable and counts are not expected to be
equal.

Run with: python benchmarks/reduction_digits.py [--net 20:2000 --net 60:2000] [--folder runs/reduction_digits]
Trained networks are kept in the folder and used again.
"""

import argparse
import json
import platform
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import Tensor

from localmin.networks import ReLUNetwork
from localmin.reduction import ExactMode, ReductionSettings, reduce, train_regularized

MODES: tuple[ExactMode, ...] = ("pair", "vertex-c", "vertex-b", "design")
RESULTS = Path(__file__).parent / "results" / "reduction_digits.json"


@dataclass(frozen=True)
class Net:
    """A network to train, and what the reference run reached from the same level."""

    num_points: int
    width: int
    penalty: float
    level: float
    reference_widths: tuple[int, int] | None
    reference_loss: float | None


NETS = {
    "20:500": Net(20, 500, 1e-3, 0.021282, (148, 116), 0.021044),
    "20:2000": Net(20, 2000, 1e-3, 0.025497, (139, 98), 0.023035),
    "40:1000": Net(40, 1000, 1e-3, 0.024821, (335, 154), 0.024699),
    "60:500": Net(60, 500, 1e-3, 0.028069, (303, 221), 0.028020),
    "60:2000": Net(60, 2000, 1e-3, 0.033346, (424, 119), 0.031522),
    "150:2000": Net(150, 2000, 1e-3, 0.07, None, None),
}


def digits(num_points: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take the first digits of each class, and 500 others with their labels."""
    data = load_digits()
    inputs, labels = torch.tensor(data.data / 16.0), torch.tensor(data.target)
    chosen = torch.cat([torch.nonzero(labels == c).flatten()[: num_points // 10] for c in range(10)])
    others = torch.nonzero(torch.isin(torch.arange(len(inputs)), chosen, invert=True)).flatten()[:500]
    return inputs[chosen], torch.eye(10).double()[labels[chosen]], inputs[others], labels[others]


def trained(name: str, net: Net, folder: Path, adam_steps: int) -> ReLUNetwork:
    """Train to the level, or read what was trained before."""
    path = folder / f"{name.replace(':', '_')}.safetensors"
    if path.exists():
        parts = load_file(path)
        return ReLUNetwork(
            [parts[f"{layer}.weight"] for layer in range(3)], [parts[f"{layer}.bias"] for layer in range(3)]
        )
    x, y, _, _ = digits(net.num_points)
    started = time.perf_counter()

    def progress(stage: str, step: int, value: float) -> None:
        seconds = time.perf_counter() - started
        print(f"  {name} {stage} {step}: {value:.6f} after {seconds:.0f} s", file=sys.stderr, flush=True)

    network, _ = train_regularized(
        x,
        y,
        [net.width, net.width],
        net.penalty,
        num_adam_steps=adam_steps,
        max_lbfgs_steps=2000,
        learning_rate=1e-3,
        stop_at_loss=net.level,
        progress=progress,
    )
    folder.mkdir(parents=True, exist_ok=True)
    parts = {}
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases or (), strict=True)):
        parts |= {f"{layer}.weight": weight} | ({} if bias is None else {f"{layer}.bias": bias})
    save_file(parts, path)
    return network


def measure(name: str, net: Net, network: ReLUNetwork, modes: list[ExactMode]) -> dict[str, Any]:
    """Reduce in every mode and compare."""
    x, y, held_out, labels = digits(net.num_points)
    loss = float((network(x) - y).square().sum() / len(x) + net.penalty * network.squared_norm)
    rows = []
    jobs: list[tuple[str, ExactMode, float]] = [(mode, mode, 5e-4) for mode in modes]
    if "design" in modes:
        jobs += [("design, smallest norm", "design", 0.0), ("design, 1 % of norm", "design", 1e-2)]
    for label, mode, thinning in jobs:
        settings = ReductionSettings(thinning_norm_relative=thinning)
        result = reduce(network, x, mode=mode, held_out_points=held_out, settings=settings)
        small = result.network
        after = float((small(x) - y).square().sum() / len(x) + net.penalty * small.squared_norm)
        accuracies = [float((n(held_out).argmax(1) == labels).double().mean()) for n in (network, small)]
        rows.append(
            {
                "mode": label,
                "thinning_norm_relative": thinning,
                "widths": list(result.widths_after[1:-1]),
                "bounds": list(result.bounds),
                "loss": after,
                "norm_change_relative": result.norm_after / result.norm_before - 1,
                "max_output_change_relative": result.max_output_change_relative,
                "held_out_drift_relative": result.drift_relative,
                "held_out_accuracy": accuracies,
                "num_parameters": [result.num_parameters_before, result.num_parameters_after],
                "seconds": result.seconds,
            }
        )
        change = rows[-1]["norm_change_relative"]
        print(
            f"{name:8s} {label:21s} {rows[-1]['widths']!s:12s} norm {change:+8.2%}  loss {loss:.6f} -> "
            f"{after:.6f}  outputs {result.max_output_change_relative:.0e}  "
            f"held out {result.drift_relative:.1%}  {result.seconds:6.1f} s",
            flush=True,
        )
    return {
        "net": name,
        "penalty": net.penalty,
        "loss": loss,
        "level": net.level,
        "reference": {"widths": net.reference_widths, "loss": net.reference_loss},
        "rows": rows,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Train, reduce, print and write the JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--net", action="append", choices=list(NETS), help="default: 20:2000 and 60:2000")
    parser.add_argument("--mode", action="append", choices=list(MODES), help="default: all")
    parser.add_argument("--folder", type=Path, default=Path("runs/reduction_digits"))
    parser.add_argument("--adam-steps", type=int, default=300)
    arguments = parser.parse_args()
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"nets": []}
    nets = {entry["net"]: entry for entry in known["nets"]}
    for name in arguments.net or ["20:2000", "60:2000"]:
        network = trained(name, NETS[name], arguments.folder, arguments.adam_steps)
        nets[name] = measure(name, NETS[name], network, arguments.mode or list(MODES))
        environment = {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
        }
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(
            json.dumps({"environment": environment, "nets": list(nets.values())}, indent=2) + "\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
