"""How long does a batch with a set share of every class take to draw?

`WeightedBatchSampler` at 10 and at 1,000 classes beside `WeightedSampler` with class-balanced weights in
torch's `BatchSampler`, which guarantees no numbers within a batch; batches of 64, the data of CIFAR-10's and
of ImageNet's size. Times are medians of runs in turn, with one thread. Recorded too: how far the class counts
of a batch are from their shares, for both.

    python benchmarks/sampler_batches.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler

from localmin.sampling.class_weights import class_balanced_weights
from localmin.sampling.weighted_batch_sampler import WeightedBatchSampler
from localmin.sampling.weighted_sampler import WeightedSampler
from localmin.tasks.environment import describe_device, versions

RESULTS = Path(__file__).parent / "results" / "sampler_batches.json"
CASES = {10: 50_000, 1_000: 1_281_167}
BATCH, NUM_TIMED = 64, 500


def seconds_of(batches: Iterator[list[int]]) -> tuple[float, float, list[list[int]]]:
    """Time the first batch, then some more; the batches come along."""
    began = time.perf_counter()
    first = next(batches)
    then = time.perf_counter()
    more = list(islice(batches, NUM_TIMED))
    return then - began, (time.perf_counter() - then) / NUM_TIMED, [first, *more]


def largest_error(batches: list[list[int]], labels: Tensor, num_classes: int) -> float:
    """Give the largest distance of a batch's class count from its share."""
    share = BATCH / num_classes
    counts = torch.stack([torch.bincount(labels[batch], minlength=num_classes) for batch in batches])
    return float((counts - share).abs().max())


def measure(num_classes: int, num_examples: int, repeats: int) -> dict[str, Any]:
    """Measure one case."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(num_classes, (num_examples,), generator=generator)
    weights = class_balanced_weights(labels)
    seconds: dict[str, list[tuple[float, float]]] = {"WeightedBatchSampler": [], "WeightedSampler": []}
    errors = {}
    for seed in range(repeats):
        contenders: dict[str, Iterator[list[int]]] = {
            "WeightedBatchSampler": iter(WeightedBatchSampler(None, labels, BATCH, seed=seed)),
            "WeightedSampler": iter(BatchSampler(WeightedSampler(weights, seed=seed), BATCH, drop_last=True)),
        }
        for name, batches in contenders.items():
            first, each, drawn = seconds_of(batches)
            seconds[name].append((first, each))
            errors[name] = largest_error(drawn, labels, num_classes)
    return {
        "num_examples": num_examples,
        "batch_size": BATCH,
        "repeats": repeats,
        "first_batch_milliseconds": {
            name: 1e3 * statistics.median(first for first, _ in runs) for name, runs in seconds.items()
        },
        "batch_milliseconds": {
            name: 1e3 * statistics.median(each for _, each in runs) for name, runs in seconds.items()
        },
        "largest_class_count_error": errors,
    }


def main() -> None:
    """Measure all cases and record them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    for num_classes, num_examples in CASES.items():
        row = rows[str(num_classes)] = measure(num_classes, num_examples, options.repeats)
        print(f"\n{num_classes} classes, {num_examples:,} examples, batches of {BATCH}")
        for name in row["batch_milliseconds"]:
            figures = [
                row[key][name]
                for key in ("first_batch_milliseconds", "batch_milliseconds", "largest_class_count_error")
            ]
            print(
                f"  {name:24s}first {figures[0]:7.1f} ms   each {figures[1]:6.3f} ms   error {figures[2]:.2f}"
            )
    record = {"device": describe_device("cpu"), "versions": versions(), "classes": rows}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
