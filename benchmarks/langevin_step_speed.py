"""How much does a step of each Langevin optimiser cost, next to torch's SGD with momentum?

Ratios of medians, measured in turns in one process: at temperature 0 against torch.optim.SGD(momentum,
foreach), at temperature above 0 against the same plus one torch.randn of the size of all parameters.
"exponential" needs two independent normals per coordinate and step, so it is also shown against SGD plus two
torch.randn; "draws" is the time of the draws alone, below which no step with noise can be. On the CPU the
times are processor time, all threads added.

    python benchmarks/langevin_step_speed.py [--threads N] [--rounds N] [--device cpu|cuda]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from localmin.langevin import LangevinDynamics, NonReversibleLangevin, PairwiseRotation, UnderdampedLangevin

RESULTS = Path(__file__).parent / "results" / "langevin_step_speed.json"

SHAPES: dict[str, list[tuple[int, ...]]] = {
    "mlp 0.12 M": [(128, 784), (128,), (128, 128), (128,), (10, 128), (10,)],
    "convolutional 11 M": [
        *[(64, 64, 3, 3)] * 4,
        *[(128, 128, 3, 3)] * 4,
        *[(256, 256, 3, 3)] * 4,
        *[(512, 512, 3, 3)] * 3,
        *[(512,)] * 20,
        (1000, 512),
    ],
}

Maker = Callable[[list[nn.Parameter], float], torch.optim.Optimizer]
LR = 1e-9  # so small that hundreds of steps with one gradient stay where they are

NUM_DRAWS = {"exponential": 2}  # one for all others

MAKERS: dict[str, Maker] = {
    "overdamped": lambda p, t: LangevinDynamics(p, lr=LR, temperature=t),
    "baoab": lambda p, t: UnderdampedLangevin(p, lr=LR, friction=1.0, temperature=t),
    "obabo": lambda p, t: UnderdampedLangevin(p, lr=LR, friction=1.0, temperature=t, scheme="obabo"),
    "symplectic_euler": lambda p, t: UnderdampedLangevin(
        p, lr=LR, friction=1.0, temperature=t, scheme="symplectic_euler"
    ),
    "exponential": lambda p, t: UnderdampedLangevin(
        p, lr=LR, friction=1.0, temperature=t, scheme="exponential"
    ),
    "nonreversible": lambda p, t: NonReversibleLangevin(p, lr=LR, temperature=t, skew=PairwiseRotation(1.0)),
}


def _parameters(shapes: list[tuple[int, ...]], device: str) -> list[nn.Parameter]:
    result = [nn.Parameter(torch.zeros(shape, device=device)) for shape in shapes]
    for parameter in result:
        parameter.grad = torch.full_like(parameter, 0.01)
    return result


def _seconds(action: Callable[[], object], repeats: int, device: str) -> float:
    # Processor time on the CPU: other processes on the machine then do not count.
    clock = time.perf_counter if device == "cuda" else time.process_time
    _synchronise(device)
    start = clock()
    for _ in range(repeats):
        action()
    _synchronise(device)
    return (clock() - start) / repeats


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def measure(shapes: list[tuple[int, ...]], rounds: int, device: str) -> dict[str, Any]:
    """Time all contestants in turns and take medians."""
    total = sum(torch.Size(shape).numel() for shape in shapes)
    parameters = _parameters(shapes, device)
    sgd = torch.optim.SGD(parameters, lr=LR, momentum=0.9, foreach=True)
    contestants: dict[str, Callable[[], object]] = {"sgd": sgd.step}

    noise = torch.empty(total, device=device)
    contestants["one draw"] = noise.normal_
    contestants["sgd + randn"] = partial(_sgd_and_noise, sgd, 1, total, device)
    contestants["sgd + 2 randn"] = partial(_sgd_and_noise, sgd, 2, total, device)
    for name, make in MAKERS.items():
        for temperature in (0.0, 1e-6):
            optimizer = make(_parameters(shapes, device), temperature)
            contestants[f"{name} {'T=0' if temperature == 0 else 'T>0'}"] = optimizer.step
    repeats = max(1, int(1e7 / total))  # enough to warm the caches after another contestant
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for index in range(rounds + 2):
        for name, action in contestants.items():
            seconds = _seconds(action, repeats, device)
            if index >= 2:  # the first two rounds warm up
                times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios, fair, floor = {}, {}, {}
    for scheme in MAKERS:
        draws = NUM_DRAWS.get(scheme, 1)
        quiet, noisy = f"{scheme} T=0", f"{scheme} T>0"
        ratios[quiet] = medians[quiet] / medians["sgd"]
        ratios[noisy] = medians[noisy] / medians["sgd + randn"]
        fair[noisy] = medians[noisy] / medians["sgd + randn" if draws == 1 else "sgd + 2 randn"]
        floor[noisy] = draws * medians["one draw"] / medians["sgd + randn"]
    return {
        "num_parameters": total,
        "median_milliseconds": {k: 1e3 * v for k, v in medians.items()},
        "ratio": ratios,
        "ratio_to_sgd_and_as_many_randn": fair,
        "draws_alone": floor,
    }


def _sgd_and_noise(sgd: torch.optim.Optimizer, draws: int, total: int, device: str) -> None:
    sgd.step()
    for _ in range(draws):
        torch.randn(total, device=device)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = {name: measure(shapes, arguments.rounds, arguments.device) for name, shapes in SHAPES.items()}
    for name, found in models.items():
        print(f"\n{name} ({found['num_parameters']} parameters): ratio to SGD (T=0), to SGD + randn (T>0)")
        for contestant, ratio in found["ratio"].items():
            more = ""
            if contestant in found["draws_alone"]:
                fair = found["ratio_to_sgd_and_as_many_randn"][contestant]
                alone = found["draws_alone"][contestant]
                more = f"   to SGD + as many randn {fair:5.2f}, draws alone {alone:5.2f}"
            print(
                f"  {contestant:24s} {ratio:5.2f}   {found['median_milliseconds'][contestant]:8.3f} ms{more}"
            )
    result = {
        "question": __doc__.splitlines()[0] if __doc__ else "",
        "environment": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "processor": platform.processor(),
            "device": arguments.device,
            "threads": arguments.threads,
            "clock": "wall" if arguments.device == "cuda" else "processor time",
        },
        "rounds": arguments.rounds,
        "models": models,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
