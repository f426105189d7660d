"""What closes how much of the gap to clean labels, at which cost: localmin's presets and their peers.

Every arm is trained on the same examples, network and random numbers with equally many optimiser steps in
its last training (but for the arm that says longer), and scored once on clean test data. *Gap* is
(arm - uniform) / (oracle - uniform); the oracle draws right labels only. Costs are in trainings, the last
one included. One JSON file per condition is rewritten after every arm of every seed: a run that was killed
goes on with what is missing. The arms of cleanlab and of imbalanced-learn need the extra ``peers``.

    python benchmarks/sampling_side_by_side.py digits --noise 0.4 --seeds 40-45
    python benchmarks/sampling_side_by_side.py cifar10 --noise 0.4 --seeds 40-42 --data train.parquet \
        --test test.parquet
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal, get_args

import torch

from localmin.experiments.swift_sampler import peers
from localmin.sampling import SearchResult, class_balanced_weights, search
from localmin.sampling.feature_run import run_features
from localmin.sampling.second_opinion import plan_opinion
from localmin.sampling.settings import Preset
from localmin.tasks import Task
from localmin.tasks.environment import describe_device, versions
from localmin.tasks.request import TaskRequest
from localmin.tasks.seed_lists import parse_seeds
from localmin.tasks.storage import write_json
from localmin.tasks.training import mix_seed

RESULTS = Path(__file__).parent / "results"
PRESETS = get_args(Preset)


@dataclass
class Bench:
    """One task of one seed, with what arms share."""

    task: Task
    seed: int
    folds: int
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    _loss: torch.Tensor | None = None

    @property
    def loss(self) -> torch.Tensor:
        """The loss averaged over the steps of half a uniform training."""
        if self._loss is None:
            table, _ = run_features(
                self.task,
                source="step-mean",
                epochs=max(1, round(self.task.epochs / 2)),
                seed=mix_seed(self.seed, 1, 2),
                model_seed=mix_seed(self.seed, 0, 1),
            )
            self._loss = table.column("loss")
        return self._loss

    @property
    def rate(self) -> float:
        """The true share of wrong labels."""
        clean = self.task.clean_train_labels
        return 0.0 if clean is None else float((clean != self.task.train.labels).double().mean())


def run_uniform(bench: Bench) -> dict[str, Any]:
    """Train uniformly."""
    return vars(peers.train_arm(bench.task, seed=bench.seed))


def run_oracle(bench: Bench) -> dict[str, Any]:
    """Train on the right labels only."""
    clean = bench.task.clean_train_labels
    assert clean is not None
    weights = (clean == bench.task.train.labels).double()
    return vars(peers.train_arm(bench.task, weights, seed=bench.seed))


def run_longer(bench: Bench) -> dict[str, Any]:
    """Train uniformly for as long as the quick search, its guard and its training take."""
    cost = bench.records["quick"]["planned_cost"]
    return vars(peers.train_arm(bench.task, seed=bench.seed, length=cost))


def run_cleanlab(bench: Bench) -> dict[str, Any]:
    """Drop what cleanlab finds, from probabilities of networks of full length."""
    probabilities, spent = peers.cross_validated_probabilities(bench.task, folds=bench.folds, seed=bench.seed)
    weights = peers.confident_learning_weights(bench.task.train.labels, probabilities)
    run = peers.train_arm(bench.task, weights, seed=bench.seed, spent=spent)
    return vars(run) | {"folds": bench.folds, "dropped": float((weights == 0).double().mean())}


def run_super_loss(strength: float) -> Callable[[Bench], dict[str, Any]]:
    """Train with SuperLoss."""

    def run(bench: Bench) -> dict[str, Any]:
        loss = peers.SuperLoss(bench.task.num_classes, strength)
        return vars(peers.train_arm(replace(bench.task, loss=loss), seed=bench.seed))

    return run


def run_co_teaching(bench: Bench) -> dict[str, Any]:
    """Train two networks that are told the true rate."""
    return vars(peers.train_co_teaching(bench.task, noise_rate=bench.rate, seed=bench.seed))


def run_mixture(bench: Bench) -> dict[str, Any]:
    """Drop the upper part of a two-component mixture."""
    weights = peers.mixture_weights(bench.loss, seed=bench.seed)
    run = peers.train_arm(bench.task, weights, seed=bench.seed, spent=0.5)
    return vars(run) | {"dropped": float((weights == 0).double().mean())}


def run_trimming(bench: Bench) -> dict[str, Any]:
    """Drop the true rate of the largest losses."""
    weights = peers.trimming_weights(bench.loss, bench.rate)
    return vars(peers.train_arm(bench.task, weights, seed=bench.seed, spent=0.5))


def run_trimming_by_opinion(bench: Bench, *, network: bool) -> dict[str, Any]:
    """Drop the true rate of the largest losses of our second opinion, alone or with the network's."""
    plan = plan_opinion(bench.task)
    assert plan is not None  # images and vectors
    opinion = plan.table(bench.task, seed=mix_seed(bench.seed, 0, 7)).column("loss")
    loss, spent = opinion, plan.epochs / bench.task.epochs
    if network:
        loss, spent = (bench.loss + opinion) / 2, spent + 0.5
    weights = peers.trimming_weights(loss, bench.rate)
    return vars(peers.train_arm(bench.task, weights, seed=bench.seed, spent=spent))


def run_class_balanced(bench: Bench) -> dict[str, Any]:
    """Draw all classes equally often."""
    weights = class_balanced_weights(bench.task.train.labels)
    return vars(peers.train_arm(bench.task, weights, seed=bench.seed))


def run_resampled(method: Literal["over", "under"]) -> Callable[[Bench], dict[str, Any]]:
    """Draw from what imbalanced-learn keeps or repeats, equally many steps."""

    def run(bench: Bench) -> dict[str, Any]:
        seed = mix_seed(bench.seed, 23) % 2**32
        weights = peers.resampling_weights(bench.task.train.labels, method, seed=seed)
        run = peers.train_arm(bench.task, weights, seed=bench.seed)
        return vars(run) | {"resampled": int(weights.sum())}

    return run


def run_smote(bench: Bench) -> dict[str, Any]:
    """Train on imbalanced-learn's made-up neighbours too, equally many steps."""
    return vars(peers.train_smote(bench.task, seed=bench.seed))


def run_preset(name: str, **changes: Any) -> Callable[[Bench], dict[str, Any]]:
    """Search with a preset."""

    def run(bench: Bench) -> dict[str, Any]:
        result = search(bench.task, seed=bench.seed, preset=name, **changes)
        # The search trains them too, with the same random numbers.
        for arm in ("uniform", "oracle"):
            if arm in result.arms and arm not in bench.records:
                bench.records[arm] = {"test": result.arms[arm].test, "cost": 1.0}
        return describe_search(result)

    return run


def describe_search(result: SearchResult) -> dict[str, Any]:
    """Keep of a search what the comparison shows."""
    cost = result.cost
    guard = cost.guard_epochs / cost.training_epochs
    clean = result.task.clean_train_labels
    area = None
    if clean is not None:
        from sklearn.metrics import roc_auc_score

        area = float(
            roc_auc_score((clean != result.task.train.labels).numpy(), result.features.column("loss"))
        )
    return {
        "test": result.arms["searched"].test,
        "cost": 1 + cost.ratio + guard,
        "planned_cost": 1 + cost.ratio + guard,
        "search_cost": cost.ratio,
        "guard_cost": guard,
        "recommendation": result.recommendation,
        "feature_auc": area,
        "scores": [trial.score for trial in result.trials],
        "guard": result.guard.to_dict(),
        "num_steps": result.arms["searched"].num_steps,
    }


ARMS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "quick": run_preset("quick"),
    "uniform": run_uniform,
    "oracle": run_oracle,
    "trimming at the true rate": run_trimming,
    "trimming with our second opinion": partial(run_trimming_by_opinion, network=True),
    "trimming by our second opinion alone": partial(run_trimming_by_opinion, network=False),
    "mixture of two": run_mixture,
    "SuperLoss": run_super_loss(1.0),
    "SuperLoss, strength 0.25": run_super_loss(0.25),
    "class-balanced": run_class_balanced,
    "random over-sampling": run_resampled("over"),
    "random under-sampling": run_resampled("under"),
    "SMOTE": run_smote,
    "Co-teaching, told the rate": run_co_teaching,
    "cleanlab": run_cleanlab,
    "uniform, longer": run_longer,
    "paper": run_preset("paper"),
    "standard": run_preset("standard"),
}


def summarize(record: dict[str, Any]) -> dict[str, Any]:
    """Average each arm over the seeds that have it, the uniform arm and, for the gap, the oracle."""
    rows = {}
    for arm in ARMS:
        runs = [(seed, arms) for seed, arms in record["runs"].items() if arm in arms and "uniform" in arms]
        if not runs:
            continue
        gains = [100 * (arms[arm]["test"] - arms["uniform"]["test"]) for _, arms in runs]
        gaps = [
            (arms[arm]["test"] - arms["uniform"]["test"]) / (arms["oracle"]["test"] - arms["uniform"]["test"])
            for _, arms in runs
            if "oracle" in arms and arms["oracle"]["test"] > arms["uniform"]["test"]
        ]
        rows[arm] = {
            "seeds": [int(seed) for seed, _ in runs],
            "cost": fmean(arms[arm]["cost"] for _, arms in runs),
            "test": mean_and_error([arms[arm]["test"] for _, arms in runs]),
            "gain": mean_and_error(gains) | {"worst": min(gains)},
            "gap": mean_and_error(gaps) | {"worst": min(gaps)} if gaps else None,
        }
    return rows


def mean_and_error(values: list[float]) -> dict[str, Any]:
    """Compute mean and standard error."""
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"mean": fmean(values), "se": error}


def describe_condition(options: argparse.Namespace) -> str:
    """Name the file of a condition."""
    noise = f"{options.kind}{round(100 * options.noise)}" if options.noise else "clean"
    tail = f"_tail{options.imbalance:g}" if options.imbalance != 1 else ""
    return f"sampling_side_by_side_{options.task}_{noise}{tail}"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", nargs="?", choices=("digits", "cifar10"), default="digits")
    parser.add_argument("--noise", type=float, default=0.4)
    parser.add_argument("--kind", choices=("symmetric", "pair"), default="symmetric")
    parser.add_argument("--imbalance", type=float, default=1.0)
    parser.add_argument("--seeds", default="40-45")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--folds", type=int, default=5, help="of cleanlab's cross-validation")
    parser.add_argument("--limit", type=int, default=5_000, help="CIFAR-10: training and validation images")
    parser.add_argument("--data", help="CIFAR-10: train.parquet")
    parser.add_argument("--test", help="CIFAR-10: test.parquet")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def open_task(options: argparse.Namespace) -> Callable[[int], Task]:
    """Read the data once."""
    if options.task == "digits":
        request = TaskRequest("digits")
    else:
        request = TaskRequest(options.data, test=options.test, model="cnn", limit=options.limit)
    return replace(request, noise=options.noise, noise_kind=options.kind, imbalance=options.imbalance).open()


def wanted(arm: str, options: argparse.Namespace) -> bool:
    """Leave out arms that are the uniform one under this condition."""
    told = arm == "oracle" or arm.startswith(("trimming", "Co-teaching"))
    if options.noise == 0 and told:
        return False
    against_tails = ("class-balanced", "random over-sampling", "random under-sampling", "SMOTE")
    return not (arm in against_tails and options.imbalance == 1)


def main() -> None:
    """Run what is missing and print the table."""
    options = parse()
    torch.set_num_threads(1)
    path = options.out / f"{describe_condition(options)}.json"
    record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": {}}
    make = open_task(options)
    for seed in parse_seeds(options.seeds):
        runs = record["runs"].setdefault(str(seed), {})
        bench = Bench(make(seed), seed, options.folds, runs)
        record["task"] = bench.task.to_dict() | {"name": options.task}
        for arm in options.arms:
            if arm in runs or not wanted(arm, options):
                continue
            began = time.perf_counter()
            runs[arm] = ARMS[arm](bench) | {"seconds": round(time.perf_counter() - began, 1)}
            record |= {
                "summary": summarize(record),
                "device": describe_device("cpu"),
                "versions": versions(),
            }
            write_json(path, record)
            print(f"seed {seed}  {arm:28s} {100 * runs[arm]['test']:.1f} %", flush=True)
    for arm, row in sorted(summarize(record).items(), key=lambda item: -item[1]["test"]["mean"]):
        gap = "" if row["gap"] is None else f"{row['gap']['mean']:6.2f} (worst {row['gap']['worst']:.2f})"
        print(
            f"{arm:28s} {row['cost']:5.2f} trainings {100 * row['test']['mean']:5.1f} % "
            f"{row['gain']['mean']:+5.1f} (worst {row['gain']['worst']:+.1f}) points {gap}"
        )


if __name__ == "__main__":
    main()
