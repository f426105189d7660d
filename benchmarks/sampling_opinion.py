"""What does a second opinion on vectors buy a search, and where does it cost?

The quick preset on digits and on two tables, with the network's own features and averaged with those of a
ridge regression on random waves, which lets the feature run be half as long. Same seeds, splits and wrong
labels; *gain* is searched - uniform on clean test data, *cost* the search in trainings.

    python benchmarks/sampling_opinion.py --seeds 100-111
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch

from localmin.experiments.recorded_runs import RecordedRuns, mean_and_worst
from localmin.sampling import search
from localmin.tasks.request import TaskRequest
from localmin.tasks.seed_lists import parse_seeds

RESULTS = Path(__file__).parent / "results" / "sampling_opinion.json"
CONDITIONS: dict[str, TaskRequest] = {
    "digits, 40 % symmetric": TaskRequest("digits", noise=0.4),
    "digits, 20 % symmetric": TaskRequest("digits", noise=0.2),
    "digits, 40 % pair": TaskRequest("digits", noise=0.4, noise_kind="pair"),
    "digits, 40 % symmetric, 4 epochs": TaskRequest("digits", noise=0.4, recipe={"epochs": 4}),
    "digits, 40 % symmetric, 8 epochs": TaskRequest("digits", noise=0.4, recipe={"epochs": 8}),
    "digits, 20 % symmetric, 12 epochs": TaskRequest("digits", noise=0.2, recipe={"epochs": 12}),
    "digits, right labels": TaskRequest("digits"),
    "wine, 40 % symmetric": TaskRequest("wine", noise=0.4),
    "wine, right labels": TaskRequest("wine"),
    "breast_cancer, 40 % symmetric": TaskRequest("breast_cancer", noise=0.4),
    "breast_cancer, right labels": TaskRequest("breast_cancer"),
}
ARMS = {"network": "none", "with opinion": "auto"}


def measure(seed: int, request: TaskRequest) -> dict[str, Any]:
    """Search with and without."""
    task = request.open()(seed)
    found = {
        name: search(task, preset="quick", seed=seed, second_opinion=kind) for name, kind in ARMS.items()
    }
    return {
        name: {
            "gain": result.arms["searched"].test - result.arms["uniform"].test,
            "cost": result.cost.ratio,
        }
        for name, result in found.items()
    }


def summarize(record: RecordedRuns) -> dict[str, Any]:
    """Average gain, in points, and cost of each condition, and the paired difference of the gains."""
    rows: dict[str, Any] = {}
    for condition in CONDITIONS:
        runs = [seed[condition] for seed in record.runs.values() if condition in seed]
        if runs:
            gains = {arm: mean_and_worst([100 * run[arm]["gain"] for run in runs]) for arm in ARMS}
            costs = {arm: mean_and_worst([run[arm]["cost"] for run in runs])["mean"] for arm in ARMS}
            paired = [100 * (run["with opinion"]["gain"] - run["network"]["gain"]) for run in runs]
            rows[condition] = {"gain": gains, "cost": costs, "difference": mean_and_worst(paired)}
    return rows


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="100-111")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = RecordedRuns(options.out)
    for seed in parse_seeds(options.seeds):
        for condition, request in CONDITIONS.items():
            record.once(seed, condition, partial(measure, seed, request))
        record.save(summary=summarize(record))
        print(f"seed {seed} done", flush=True)
    for condition, row in summarize(record).items():
        shown = "  ".join(
            f"{arm} {row['gain'][arm]['mean']:+.1f} (worst {row['gain'][arm]['worst']:+.1f}) "
            f"cost {row['cost'][arm]:.2f}"
            for arm in ARMS
        )
        print(f"{condition:34s} {shown}")


if __name__ == "__main__":
    main()
