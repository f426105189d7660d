"""Does training the networks of several trials at once pay, and for which networks?

Runs trials of the standard preset (two networks on half of the bundled digits) one by one and eight at once,
in turn and in one process, for networks of three sizes. Prints trials per second (median over repeats), their
ratio, what the probe of ``--together`` says, and the largest difference between the scores of a trial; writes
JSON with the load of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import localmin
from localmin.sampling.execution import InProcess, TrialRequest
from localmin.sampling.execution.joint_trials import probe
from localmin.sampling.trial import ScoreWeights, TrialOutcome, TrialPlan, cross_fit_folds
from localmin.tasks import Task
from localmin.tasks.environment import describe_device, versions
from localmin.tasks.models import build_mlp

RESULTS = Path(__file__).parent / "results" / "search_together_speed.json"

WIDTHS: dict[str, tuple[int, ...]] = {"64-16-10": (16,), "64-64-64-10": (64, 64), "64-256-256-10": (256, 256)}


def run_batch(
    task: Task, plan: TrialPlan, count: int, together: int, device: torch.device
) -> tuple[float, dict[str, TrialOutcome]]:
    """Run so many trials; give the seconds and the outcomes."""
    executor = InProcess(max_together=together)
    executor.use(task, device=device)
    began = time.perf_counter()
    for number in range(count):
        weights = torch.linspace(0.5, 1, len(task.train), dtype=torch.float64).roll(37 * number)
        executor.submit(TrialRequest(f"trial-{number:03d}", weights, plan))
    found: dict[str, TrialOutcome] = {}
    while batch := executor.collect():
        found |= dict(batch)
    return time.perf_counter() - began, found


def measure(widths: tuple[int, ...], count: int, repeats: int, device: torch.device) -> dict[str, Any]:
    """Compare both ways for a network of these widths."""
    task = replace(localmin.tasks.digits(noise=0.4, seed=0), model=lambda: build_mlp(64, 10, widths=widths))
    folds = cross_fit_folds(task.train.labels, share=0.5, num_folds=2, seed=0)
    plan = TrialPlan(folds, task.epochs // 2, seed=0)
    seconds: dict[int, list[float]] = {1: [], count: []}
    for together in seconds:
        run_batch(task, plan, 2, together, device)
    for _ in range(repeats):
        for together, values in seconds.items():
            values.append(run_batch(task, plan, count, together, device)[0])
    alone, joint = (run_batch(task, plan, count, together, device)[1] for together in seconds)
    weights = ScoreWeights.for_task(task, None)
    gap = max(abs(weights.score(alone[name])[0] - weights.score(joint[name])[0]) for name in alone)
    ratios = [slow / fast for slow, fast in zip(*seconds.values(), strict=True)]
    return {
        "trials": count,
        "trials_per_second_one_by_one": count / statistics.median(seconds[1]),
        "trials_per_second_together": count / statistics.median(seconds[count]),
        "speed_together_relative_to_one_by_one": statistics.median(ratios),
        "probe": probe(task, count, device=device).to_dict(),
        "largest_difference_of_scores": gap,
    }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    load_before = os.getloadavg()[0]
    rows = {}
    for name, widths in WIDTHS.items():
        rows[name] = measure(widths, options.trials, options.repeats, torch.device(options.device))
        print(
            f"{name:14s} one by one {rows[name]['trials_per_second_one_by_one']:6.2f} trials/s, together "
            f"{rows[name]['trials_per_second_together']:6.2f}, ratio "
            f"{rows[name]['speed_together_relative_to_one_by_one']:.2f}; {rows[name]['probe']['reason']}; "
            f"scores differ by at most {rows[name]['largest_difference_of_scores']:.4f}"
        )
    record = {
        "repeats": options.repeats,
        "device": describe_device(options.device),
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "versions": versions(),
        "networks": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
