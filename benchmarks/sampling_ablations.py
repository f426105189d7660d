"""Which part of the search matters: form, transform, features and proxy; engine; number of trials.

On the bundled digits with 40 % symmetric noise, all searches without a guard, so that what is compared is
the pick. *Gap* is (searched - uniform) / (oracle - uniform) on clean test data.

    python benchmarks/sampling_ablations.py --seeds 50-52

* ``parts``: forms a (loss only), b, d, e (loss and renormed entropy) x cdf, cgf x cross-fit (quick: one
  network on a quarter, 5 cuts and 4 steps) and warm-start (the paper's preset, at its price of at most 3).
* ``engines``: 24 trials after uniform, no cuts: Gaussian process over samplers with cdf and with cgf,
  Optuna's Gaussian process, TPE, random search, policy gradient. Best score so far, and the pick.
* ``trials``: standard proxy and design with 2 to 20 trials in one round.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from localmin.experiments.recorded_runs import RecordedRuns, mean_and_worst
from localmin.sampling import SearchResult, search
from localmin.tasks import digits
from localmin.tasks.seed_lists import parse_seeds

RESULTS = Path(__file__).parent / "results" / "sampling_ablations.json"
NOISE = 0.4
NUM_ENGINE_TRIALS = 25
TRIAL_COUNTS = (2, 4, 8, 12, 20)

ENGINES: dict[str, dict[str, Any]] = {
    "SS(cgf)": {"engine": "sampler-process", "transform": "cgf"},
    "SS(cdf)": {"engine": "sampler-process", "transform": "cdf"},
    "Optuna's GP": {"engine": "optuna-gp", "transform": "cdf"},
    "TPE": {"engine": "tpe", "transform": "cdf"},
    "random": {"engine": "random", "transform": "cdf"},
    "policy gradient": {"engine": "policy-gradient", "transform": "cdf"},
}


def part_cells() -> dict[str, dict[str, Any]]:
    """Name every cell of the first table and give its settings."""
    cells: dict[str, dict[str, Any]] = {}
    for form in "abde":
        for transform in ("cdf", "cgf"):
            common = {"form": form, "transform": transform, "guard": "none"}
            cells[f"cross-fit {form} {transform}"] = {
                **common, "preset": "quick", "steps": 4, "top": 5, "safe_rule": False,
            }  # fmt: skip
            cells[f"warm-start {form} {transform}"] = {**common, "preset": "paper"}
    return cells


def engine_cells() -> dict[str, dict[str, Any]]:
    """Search with engines alone: uniform, then what they propose."""
    alone = {"preset": "quick", "form": "d", "cuts": (1.2,), "steps": NUM_ENGINE_TRIALS - 1, "batch": 1}
    rest = {"guard": "none", "safe_rule": False, "top": 5}
    return {f"engine {name}": alone | rest | chosen for name, chosen in ENGINES.items()}


def trial_cells() -> dict[str, dict[str, Any]]:
    """Vary the number of trials of the standard proxy."""
    return {
        f"{count} trials": {"preset": "standard", "rounds": 1, "trials": count, "guard": "none"}
        for count in TRIAL_COUNTS
    }


GROUPS: dict[str, Callable[[], dict[str, dict[str, Any]]]] = {
    "parts": part_cells,
    "engines": engine_cells,
    "trials": trial_cells,
}


def describe(result: SearchResult) -> dict[str, Any]:
    """Keep what the tables need."""
    scores = [trial.score for trial in result.trials]
    return {
        "uniform": result.arms["uniform"].test,
        "searched": result.arms["searched"].test,
        "oracle": result.arms["oracle"].test,
        "gap": result.gap_closed,
        "search_cost": result.cost.ratio,
        "best_so_far": list(accumulate(scores, max)),
        "notes": list(result.notes),
    }


def run_cell(seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Search once."""
    return describe(search(digits(noise=NOISE, seed=seed), seed=seed, **settings))


def summarize(record: RecordedRuns) -> dict[str, Any]:
    """Average over seeds."""
    cells = {name for arms in record.runs.values() for name in arms}
    rows = {}
    for name in sorted(cells):
        runs = [arms[name] for arms in record.runs.values() if name in arms]
        rows[name] = {
            "gap": mean_and_worst([run["gap"] for run in runs]),
            "search_cost": mean_and_worst([run["search_cost"] for run in runs])["mean"],
        }
        if name.startswith("engine"):
            curves = torch.tensor([run["best_so_far"] for run in runs])
            rows[name]["best_so_far"] = curves.mean(0).tolist()
            rows[name]["area"] = mean_and_worst(curves.mean(1).tolist())
    return rows


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("groups", nargs="*", default=list(GROUPS))
    parser.add_argument("--seeds", default="50-52")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = RecordedRuns(options.out, {"task": "digits", "noise": NOISE})
    for group in options.groups:
        for seed in parse_seeds(options.seeds):
            for name, settings in GROUPS[group]().items():
                record.once(seed, name, partial(run_cell, seed, settings))
            record.save(summary=summarize(record))
            print(f"{group}: seed {seed} done", flush=True)
    for name, row in summarize(record).items():
        gap, cost = row["gap"], row["search_cost"]
        print(f"{name:28s} gap {gap['mean']:5.2f} (worst {gap['worst']:5.2f})  {cost:5.2f} trainings")


if __name__ == "__main__":
    main()
