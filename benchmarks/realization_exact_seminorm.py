"""How much faster is the exact semi-norm than listing regions by linear programs, and how far does it go?"""

import json
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scipy
import torch

from localmin.networks import ReLUNetwork
from localmin.realization import invariants, normal_form, seminorm
from localmin.testing.realization import maximise_by_linear_programs

RESULTS = Path(__file__).parent / "results" / "realization_exact_seminorm.json"


def main() -> None:
    """Measure, print a table, write the results."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    rows = [_against_linear_programs(generator, 3, 30)]
    rows += [
        _alone(generator, num_inputs, num_kinks, bias=bias)
        for num_inputs, num_kinks, bias in ((2, 2000, False), (2, 2000, True), (3, 200, False), (4, 60, True))
    ]
    rows += [_normal_form(generator, 10**exponent) for exponent in (4, 5, 6)]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    environment = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "scipy": scipy.__version__,
        "machine": platform.machine(),
        "threads": 1,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"environment": environment, "rows": rows}, indent=2) + "\n")


def _against_linear_programs(generator: torch.Generator, num_inputs: int, num_kinks: int) -> dict[str, Any]:
    network = _random_network(generator, num_inputs, num_kinks, bias=False)
    found = invariants(network)
    coefficients = torch.einsum("ko,kd->kod", found.jumps, found.normals).flatten(1) / 2
    constant = found.linear.flatten() / 2
    start = time.perf_counter()
    expected = maximise_by_linear_programs(found.normals, found.offsets, coefficients, constant)
    slow = time.perf_counter() - start
    fast, value = _median_seconds(lambda: seminorm(network).value)
    return {
        "question": "semi-norm",
        "inputs": num_inputs,
        "kinks": num_kinks,
        "seconds": round(fast, 5),
        "linear_programs_seconds": round(slow, 3),
        "times_faster": round(slow / fast),
        "relative_difference": abs(value - expected) / expected,
    }


def _alone(generator: torch.Generator, num_inputs: int, num_kinks: int, *, bias: bool) -> dict[str, Any]:
    network = _random_network(generator, num_inputs, num_kinks, bias=bias)
    seconds, exact = _median_seconds(lambda: seminorm(network).exact)
    return {
        "question": "semi-norm",
        "inputs": num_inputs,
        "kinks": num_kinks,
        "biases": bias,
        "exact": exact,
        "seconds": round(seconds, 4),
    }


def _normal_form(generator: torch.Generator, width: int) -> dict[str, Any]:
    network = _random_network(generator, 8, width, bias=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, _ = _median_seconds(lambda: float(normal_form(network).report.num_neurons_after))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    bytes_of_network = 8 * network.num_parameters
    return {
        "question": "normal form",
        "width": width,
        "seconds": round(seconds, 4),
        "network_megabytes": round(bytes_of_network / 1e6, 2),
        "peak_growth_megabytes": round(grown * 1024 / 1e6, 1),
    }


def _random_network(generator: torch.Generator, num_inputs: int, width: int, *, bias: bool) -> ReLUNetwork:
    first = torch.randn(width, num_inputs, generator=generator, dtype=torch.float64)
    second = torch.randn(1, width, generator=generator, dtype=torch.float64)
    biases = [torch.randn(width, generator=generator, dtype=torch.float64), None] if bias else None
    return ReLUNetwork([first, second], biases)


def _median_seconds(action: Callable[[], float]) -> tuple[float, float]:
    times, value = [], 0.0
    for _ in range(5):
        start = time.perf_counter()
        value = action()
        times.append(time.perf_counter() - start)
    return statistics.median(times), value


if __name__ == "__main__":
    main()
