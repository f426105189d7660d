"""How long until a weighted sampler gives its first index, and how much memory does that take?

Compares `WeightedSampler` with torch's `WeightedRandomSampler` and, as a yardstick for any shuffled epoch,
`torch.randperm`; also `BlockSampler` (its index built anew each time), a whole epoch drawn as one tensor, and
a whole epoch read index by index. The sizes: ImageNet's, 10^7, 2^24 + 5 (just above the limit of torch's
sampler, whose complaint is recorded) and 10^8. Times are medians of runs in turn, with one thread, from the
float64 weights on: building the sampler counts. Memory is the peak above what was resident before, one
process for each case, after the same call at 1,000 weights has loaded what it needs. (It is the kernel's
`VmHWM`: `ru_maxrss` would include the process that started this one.)

    python benchmarks/sampler_first_index.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import WeightedRandomSampler

from localmin.sampling.block_sampler import BlockSampler
from localmin.sampling.draws import systematic_draw
from localmin.sampling.weighted_sampler import WeightedSampler
from localmin.tasks.environment import describe_device, versions

RESULTS = Path(__file__).parent / "results" / "sampler_first_index.json"
# Number of weights: timed runs.
SIZES = {1_281_167: 11, 10_000_000: 3, 2**24 + 5: 3, 100_000_000: 3}
# Reading index by index says nothing new above this size, and takes long.
MOST_READ = 10_000_000
TORCHS_LIMIT = 2**24
MEMORY_RUNS = 3

OURS, TORCHS, RANDPERM = "WeightedSampler", "WeightedRandomSampler", "torch.randperm"
BLOCKS = "BlockSampler"
DRAWN = "systematic_draw, whole epoch"
OURS_READ, TORCHS_READ = "WeightedSampler, all read", "WeightedRandomSampler, all read"


def make_weights(num_weights: int) -> Tensor:
    """Make the same uneven float64 weights in every process."""
    return torch.rand(num_weights, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def contenders(weights: Tensor) -> dict[str, Callable[[], object]]:
    """List what is measured, each from the weights on."""
    generator = torch.Generator().manual_seed(0)
    num = len(weights)

    def torchs() -> WeightedRandomSampler:
        return WeightedRandomSampler(weights, num, generator=generator)  # type: ignore[arg-type]

    runs: dict[str, Callable[[], object]] = {
        OURS: lambda: next(iter(WeightedSampler(weights))),
        RANDPERM: lambda: torch.randperm(num, generator=generator),
        DRAWN: lambda: systematic_draw(weights, num, generator),
        BLOCKS: lambda: next(iter(BlockSampler(weights.numpy()))),
    }
    if num <= MOST_READ:
        runs |= {
            OURS_READ: lambda: deque(WeightedSampler(weights), maxlen=0),
            TORCHS_READ: lambda: deque(torchs(), maxlen=0),
        }
    if num <= TORCHS_LIMIT:
        runs[TORCHS] = lambda: next(iter(torchs()))
    return runs


def complaint_of_torch(num_weights: int) -> str | None:
    """Ask torch's sampler for an index above its limit, and take down what it says."""
    if num_weights <= TORCHS_LIMIT:
        return None
    try:
        next(iter(WeightedRandomSampler(make_weights(num_weights), 1)))  # type: ignore[arg-type]
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return None


def median_seconds(num_weights: int, repeats: int) -> dict[str, float]:
    """Time every contender in turn, so that noise of the machine hits all alike."""
    runs = contenders(make_weights(num_weights))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def resident_bytes(field: str) -> int:
    """Read how much memory this process has (``VmRSS``) or had at most (``VmHWM``)."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024


def extra_bytes_here(name: str, num_weights: int) -> int:
    """Measure the peak of one call above what was resident before it."""
    contenders(make_weights(1000))[name]()
    run = contenders(make_weights(num_weights))[name]
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident_bytes("VmRSS")
    run()
    return resident_bytes("VmHWM") - before


def extra_bytes(name: str, num_weights: int) -> int:
    """Measure one case in a process of its own; the median of some."""
    command = [sys.executable, __file__, "--memory-of", name, "--num-weights", str(num_weights)]
    values = [
        int(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(MEMORY_RUNS)
    ]
    return int(statistics.median(values))


def measure(num_weights: int, repeats: int) -> dict[str, Any]:
    """Measure one size."""
    seconds = median_seconds(num_weights, repeats)
    extra = {
        name: extra_bytes(name, num_weights)
        for name in (OURS, TORCHS, RANDPERM, DRAWN, BLOCKS)
        if name in seconds
    }
    row = {
        "repeats": repeats,
        "milliseconds": {name: 1e3 * value for name, value in seconds.items()},
        "extra_mebibytes": {name: value / 2**20 for name, value in extra.items()},
        "extra_bytes_per_weight": {name: value / num_weights for name, value in extra.items()},
        "torch_sampler_fails": complaint_of_torch(num_weights),
        "ours_over_randperm": seconds[OURS] / seconds[RANDPERM],
        "whole_draw_over_randperm": seconds[DRAWN] / seconds[RANDPERM],
        "our_memory_over_randperm": extra[OURS] / extra[RANDPERM],
    }
    if TORCHS in seconds:
        row["torch_sampler_over_ours"] = seconds[TORCHS] / seconds[OURS]
        row["our_memory_over_torch_sampler"] = extra[OURS] / extra[TORCHS]
    if TORCHS_READ in seconds:
        row["all_read_torch_over_ours"] = seconds[TORCHS_READ] / seconds[OURS_READ]
    return row


def main() -> None:
    """Measure all sizes and record the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="others keep their record")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-of", help="measure one case in this process")
    parser.add_argument("--num-weights", type=int)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(extra_bytes_here(options.memory_of, options.num_weights))
        return
    rows = {}
    for num_weights in options.sizes:
        repeats = SIZES.get(num_weights, 3)
        row = measure(num_weights, repeats)
        rows[str(num_weights)] = row
        print(f"\n{num_weights:,} weights{'':24s}milliseconds     MiB above")
        for name, milliseconds in row["milliseconds"].items():
            memory = row["extra_mebibytes"].get(name)
            print(f"  {name:32s}{milliseconds:14.1f}" + (f"{memory:14.1f}" if memory is not None else ""))
        for name in [name for name in row if "_over_" in name]:
            print(f"  {name:32s}{row[name]:14.2f}")
        if row["torch_sampler_fails"]:
            print(f"  torch's sampler: {row['torch_sampler_fails']}")
    recorded = json.loads(RESULTS.read_text())["sizes"] if RESULTS.exists() else {}
    rows = dict(sorted({**recorded, **rows}.items(), key=lambda pair: int(pair[0])))
    record = {"device": describe_device("cpu"), "versions": versions(), "sizes": rows}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
