"""Do features that follow the final training help?

Digits with wrong labels. One policy of the quick preset a seed, used in three trainings: with the features it
was found on (*fixed*), with features recomputed by half a training (*recomputed*), and placed anew after each
epoch by what this very training says (*following*, a forward pass an epoch more).

    python benchmarks/sampling_follow.py --seeds 90-95
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch

from localmin.experiments.recorded_runs import RecordedRuns, mean_and_worst
from localmin.sampling import search
from localmin.sampling.transfer import train_run
from localmin.tasks import digits
from localmin.tasks.seed_lists import parse_seeds

RESULTS = Path(__file__).parent / "results" / "sampling_follow.json"
CONDITIONS: dict[str, dict[str, Any]] = {
    "40 % symmetric": {"noise": 0.4},
    "20 % symmetric": {"noise": 0.2},
    "40 % pair": {"noise": 0.4, "noise_kind": "pair"},
}
ARMS = ("uniform", "fixed", "recomputed", "following", "oracle")


def measure(seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Train in every way under one policy."""
    task = digits(seed=seed, **settings)
    found = search(task, preset="quick", guard="none", safe_rule=False, seed=seed)
    return {
        "uniform": found.arms["uniform"].test,
        "oracle": found.arms["oracle"].test,
        "fixed": found.arms["searched"].test,
        "recomputed": train_run(task, policy=found.candidate, seed=seed).scores["test"],
        "following": train_run(task, policy=found.candidate, follow=True, seed=seed).scores["test"],
    }


def summarize(record: RecordedRuns) -> dict[str, Any]:
    """Average the arms of each condition, and the paired differences to the fixed features."""
    rows: dict[str, Any] = {}
    for condition in CONDITIONS:
        runs = [arms[condition] for arms in record.runs.values() if condition in arms]
        if runs:
            rows[condition] = {arm: mean_and_worst([run[arm] for run in runs]) for arm in ARMS} | {
                "following - fixed": mean_and_worst([run["following"] - run["fixed"] for run in runs])
            }
    return rows


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="90-95")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = RecordedRuns(options.out, {"task": "digits"})
    for seed in parse_seeds(options.seeds):
        for condition, settings in CONDITIONS.items():
            record.once(seed, condition, partial(measure, seed, settings))
        record.save(summary=summarize(record))
        print(f"seed {seed} done", flush=True)
    for condition, row in summarize(record).items():
        shown = "  ".join(f"{arm} {100 * row[arm]['mean']:.1f}" for arm in ARMS)
        print(f"{condition:16s} {shown}")


if __name__ == "__main__":
    main()
