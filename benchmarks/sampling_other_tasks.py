"""Does the search pay on tables, on regression and on text, and what does it cost where nothing is wrong?

Every row is a search on several seeds, with noise and without: uniform, searched and oracle on clean test
data, the same optimiser steps, how many suspects were called surely bad and how many of them are wrong.

    python benchmarks/sampling_other_tasks.py [ROW ...] [--seeds 6] [--text FILE]

Rows: breast_cancer, wine, diabetes, friedman and, with a file, text. Results are merged into
benchmarks/results/sampling_other_tasks.json.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from sklearn.datasets import make_friedman1

from localmin.sampling import search
from localmin.sampling.summary import mean_and_error
from localmin.tasks.environment import describe_device, versions
from localmin.tasks.request import TaskRequest
from localmin.tasks.storage import read_json, write_json

RESULTS = Path(__file__).parent / "results" / "sampling_other_tasks.json"
NOISE = 0.3
ROWS = ("breast_cancer", "wine", "diabetes", "friedman")


def friedman_table(folder: Path) -> str:
    """Write 1,500 rows of Friedman's first function with noise of deviation 1 as CSV."""
    inputs, targets = make_friedman1(1_500, n_features=10, noise=1.0, random_state=0)
    path = folder / "friedman.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*(f"x{i}" for i in range(10)), "target"])
        writer.writerows(
            [*row, target] for row, target in zip(inputs.tolist(), targets.tolist(), strict=True)
        )
    return str(path)


def measure(request: Callable[[float], TaskRequest], noise: float, seeds: int, preset: str) -> dict[str, Any]:
    """Search on every seed and gather what counts."""
    make, results, began = request(noise).open(), [], time.perf_counter()
    for seed in range(seeds):
        results.append(search(make(seed), seed=seed, preset=preset))
        print(f"  noise {noise:g} seed {seed}: gain {results[-1].gain:+.4f}", flush=True)
    arms = [name for name in ("uniform", "searched", "oracle") if name in results[0].arms]
    reports = [result.drop_report for result in results]
    return {
        "noise": noise,
        "preset": preset,
        "metric": results[0].task.metric,
        "seeds": seeds,
        **{arm: mean_and_error([result.arms[arm].test for result in results]) for arm in arms},
        "gain": mean_and_error([result.gain for result in results]),
        "gap_closed": [result.gap_closed for result in results],
        "accepted": sum(result.recommendation == "searched" for result in results),
        "cost_in_trainings": fmean(result.cost.ratio for result in results),
        "dropped": [report.num_dropped for report in reports],
        "dropped_wrong": [report.num_dropped_wrong for report in reports],
        "surely_bad": [report.num_surely_bad for report in reports],
        "surely_bad_wrong": [report.num_surely_bad_wrong for report in reports],
        "seconds": time.perf_counter() - began,
    }


def main() -> None:
    """Measure the rows that were asked for, print and merge them into the JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="*", choices=[*ROWS, "text"], default=list(ROWS))
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--text", type=Path, help="the file of the row text")
    parser.add_argument("--preset", default="quick")
    arguments = parser.parse_args()
    if "text" in arguments.rows and arguments.text is None:
        parser.error("the row text needs --text FILE")
    torch.set_num_threads(1)
    stored = read_json(RESULTS) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        table = friedman_table(Path(folder))
        for row in arguments.rows:
            print(row, flush=True)
            data = {"friedman": table, "text": str(arguments.text)}.get(row, row)
            limits: dict[str, Any] = {"limit": 2_500} if row == "text" else {}

            def request(noise: float, data: str = data, limits: dict[str, Any] = limits) -> TaskRequest:
                return TaskRequest(data, noise=noise, **limits)

            noises = (NOISE,) if row == "text" else (NOISE, 0.0)
            stored[row] = [measure(request, noise, arguments.seeds, arguments.preset) for noise in noises]
            write_json(RESULTS, {"device": describe_device("cpu"), "versions": versions()} | stored)


if __name__ == "__main__":
    main()
