"""What does an epoch over more items than fit into memory cost, up to 10^10?

`BlockSampler` over weights in a memory-mapped file (10^8 and 10^9 float32 weights) and over weights that a
formula gives slice by slice (10^10: the file would take 40 GB; the rest is the real thing). Measured:
building the index, the first index, resuming at 20 random positions, drawing blocks, a whole epoch (10^8:
run; above: the time of a block times their number), and the peak of the process's own memory (anonymous
pages; pages of the mapped file belong to the system's cache). Times are CPU seconds of one thread: the file
is in the cache when it is read, so add the time your disk takes. At every size, counts are compared with
expected ones.

    python benchmarks/sampler_block_mode.py                 # 10^8, 10^9 (writes a 4 GB file), 10^10
    python benchmarks/sampler_block_mode.py --sizes 100000000
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from localmin.sampling.block_sampler import BlockSampler
from localmin.sampling.weight_index import WeightIndex
from localmin.tasks.environment import describe_device, versions

RESULTS = Path(__file__).parent / "results" / "sampler_block_mode.json"
SIZES = (10**8, 10**9, 10**10)
LARGEST_FILE = 10**9
LARGEST_EPOCH = 10**8
PIECE = 2**22
NUM_POSITIONS = 20
NUM_BLOCKS = 20


def formula(start: int, stop: int) -> np.ndarray:
    """Give the weights of a stretch: a tenth are 0, the others spread between 0 and 1."""
    words = np.arange(start, stop, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    words ^= words >> np.uint64(29)
    weights = (words >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    weights[weights < 0.1] = 0.0
    return weights


class FormulaWeights:
    """A table of weights that exists nowhere."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, piece: slice) -> np.ndarray:
        return formula(piece.start, piece.stop)


def write_weights(path: Path, length: int) -> None:
    """Write the same weights to a file, piece by piece."""
    table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(length,))
    for start in range(0, length, PIECE):
        stop = min(start + PIECE, length)
        table[start:stop] = formula(start, stop)
    table.flush()


def seconds(run: Callable[[], object]) -> float:
    """Take the CPU time of one call."""
    began = time.process_time()
    run()
    return time.process_time() - began


def own_bytes() -> int:
    """Read the size of the anonymous pages of this process, files in the page cache left out."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in line]
    return int(line.split()[1]) * 1024


class Peak(threading.Thread):
    """Largest own memory above the beginning, looked at every few milliseconds."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before = self.most = own_bytes()
        self.ended = threading.Event()
        self.start()

    def run(self) -> None:
        """Look until the end."""
        while not self.ended.wait(0.002):
            self.most = max(self.most, own_bytes())

    def mebibytes(self) -> float:
        """End the watch and give the peak."""
        self.ended.set()
        return (self.most - self.before) / 2**20


def check_counts(index: WeightIndex, num_items: int) -> float:
    """Draw the whole axis of the first items and give the largest ``|count - N p|`` among them."""
    weights = np.asarray(index.weights[0:num_items], dtype=np.float64)
    num = len(index)
    end = int(index.starts[num_items // index.stride])
    num_draws = (end * num) // index.total  # draws whose point lies before the end, offset 0
    spacing, remainder = divmod(index.total, num)
    steps = np.arange(num_draws, dtype=np.int64)
    points = steps * spacing + (steps * remainder) // num
    counts = np.bincount(index.locate(points), minlength=num_items)[:num_items]
    expected = np.rint(weights * index.scale) * (num / index.total)
    return float(np.abs(counts - expected)[: num_items - index.stride].max())


def measure(weights: Any, kind: str) -> dict[str, Any]:
    """Measure one table."""
    next(iter(BlockSampler(np.ones(1000))))
    num, peak = len(weights), Peak()
    began = time.process_time()
    index = WeightIndex.build(weights)
    build = time.process_time() - began
    first = seconds(lambda: next(iter(BlockSampler(index))))
    sampler = BlockSampler(index)
    positions = np.random.default_rng(0).integers(0, num, NUM_POSITIONS).tolist()
    resumptions = []
    for position in positions:
        began = time.process_time()
        sampler.load_state_dict(sampler.state_dict() | {"epoch": 3, "cursor": position})
        found = next(iter(sampler))
        resumptions.append(time.process_time() - began)
        assert sampler.at(3, np.array([position])).tolist() == [found]
    order = sampler._order(index, 5)
    num_blocks = -(-num // 2**20)
    blocks = []
    for block in np.random.default_rng(1).integers(0, num_blocks - 1, NUM_BLOCKS).tolist():
        began = time.process_time()
        order.block(block)
        blocks.append(time.process_time() - began)
    row: dict[str, Any] = {
        "weights": kind,
        "build_index_seconds": build,
        "index_mebibytes": index.starts.nbytes / 2**20,
        "first_index_seconds": first,
        "resume_seconds": {"median": statistics.median(resumptions), "largest": max(resumptions)},
        "block_seconds_median": statistics.median(blocks),
        "nanoseconds_a_draw": 1e9 * statistics.median(blocks) / 2**20,
        "epoch_seconds_from_blocks": statistics.median(blocks) * num / 2**20,
        "peak_own_mebibytes": peak.mebibytes(),
        "float64_weights_and_a_shuffled_list_mebibytes": 16 * num / 2**20,
        "largest_count_error_of_first_items": check_counts(index, 1024 * 1000),
    }
    if num <= LARGEST_EPOCH:
        counts, epoch = np.zeros(num, dtype=np.uint8), 0.0
        for block in range(num_blocks):
            began = time.process_time()
            items = order.block(block).numpy()
            epoch += time.process_time() - began
            np.add.at(counts, items, 1)
        expected = np.asarray(weights[0:num], dtype=np.float64)
        expected *= num / expected.sum()
        row["epoch_seconds_run"] = epoch
        row["largest_count_error_of_an_epoch"] = float(np.abs(counts - expected).max())
    return row


def measure_size(num: int) -> dict[str, Any]:
    """Measure one size, with a file where one of a few GB is enough."""
    if num > LARGEST_FILE:
        return measure(FormulaWeights(num), "formula, slice by slice")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.npy"
        # In a process of its own, whose memory does not count here.
        subprocess.run([sys.executable, __file__, "--write", str(path), "--one", str(num)], check=True)
        return measure(np.load(path, mmap_mode="r"), "float32 file, memory-mapped")


def main() -> None:
    """Measure all sizes, each in a process of its own, and record them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--one", type=int, help="measure one size in this process and print it as JSON")
    parser.add_argument("--write", type=Path, help="write the weights of one size to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.write:
        write_weights(options.write, options.one)
        return
    if options.one:
        print(json.dumps(measure_size(options.one)))
        return
    rows = {}
    for num in options.sizes:
        command = [sys.executable, __file__, "--one", str(num)]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        row = json.loads(run.stdout)
        rows[str(num)] = row
        print(f"\n{num:,} weights ({row['weights']})")
        for name, value in row.items():
            if name != "weights":
                print(f"  {name:48s}{value if isinstance(value, dict) else format(value, '16.6f')}")
    recorded = json.loads(RESULTS.read_text())["sizes"] if RESULTS.exists() else {}
    rows = dict(sorted({**recorded, **rows}.items(), key=lambda pair: int(pair[0])))
    record = {"device": describe_device("cpu"), "versions": versions(), "sizes": rows}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
