"""How much of a search's gain does a policy keep that was found elsewhere?

Digits with 40 % symmetric noise. Policies are found by the quick preset on a narrow network, on the target
network itself (*self*), and on a part of the training examples; each is then used, without a new search, on
networks of other widths and on the full set: with the ten numbers on recomputed features, and, where the
examples are the same, with the probabilities kept. The table is shaped as the paper's: targets by
sources.

    python benchmarks/sampling_transfer.py --seeds 60-65
    python benchmarks/sampling_transfer.py cifar10 --data train.parquet --test test.parquet --seeds 60
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from localmin.experiments.recorded_runs import RecordedRuns, mean_and_worst
from localmin.experiments.swift_sampler.peers import train_arm
from localmin.sampling import SearchResult, search
from localmin.sampling.transfer import train_run
from localmin.tasks import Task
from localmin.tasks.models import build_cnn, build_mlp
from localmin.tasks.request import TaskRequest
from localmin.tasks.seed_lists import parse_seeds

RESULTS = Path(__file__).parent / "results"
NOISE = 0.4
WIDTHS: dict[str, dict[str, tuple[int, ...]]] = {
    "digits": {"narrow": (64, 64), "usual": (256, 256), "wide": (512, 512)},
    "cifar10": {"narrow": (16, 32, 64), "usual": (32, 64, 128)},
}
SUBSET = 0.5


def with_width(task: Task, data: str, name: str) -> Task:
    """Give the task a network of another width."""
    widths = WIDTHS[data][name]
    if data == "digits":
        build: Callable[[], torch.nn.Module] = partial(build_mlp, 64, 10, widths=widths)
    else:
        build = partial(build_cnn, 3, 10, widths=widths)
    return replace(task, model=build, model_name=name)


def subset(task: Task) -> Task:
    """Keep the first part of the (shuffled) training examples."""
    count = round(SUBSET * len(task.train))
    clean = task.clean_train_labels
    assert clean is not None
    return replace(task, train=task.train.subset(torch.arange(count)), clean_train_labels=clean[:count])


def sources(task: Task, data: str, target: str) -> dict[str, Task]:
    """Name the tasks on which policies are searched."""
    narrow = with_width(task, data, "narrow")
    found = {"self": with_width(task, data, target)}
    if target != "narrow":
        found["narrow"] = narrow
    found["part of the data"] = subset(with_width(task, data, target))
    return found


def measure(task: Task, data: str, target: str, seed: int, found: dict[str, SearchResult]) -> dict[str, Any]:
    """Train the target under every source's policy."""
    aim = with_width(task, data, target)
    cells: dict[str, Any] = {}
    for name, source in sources(task, data, target).items():
        key = name if name == "narrow" else f"{name} {target}"
        if key not in found:
            found[key] = search(source, seed=seed, preset="quick", guard="none", safe_rule=False)
        result = found[key]
        if name == "self":
            cells["uniform"], cells["oracle"] = result.arms["uniform"].test, result.arms["oracle"].test
            cells["self"] = result.arms["searched"].test
            continue
        run = train_run(aim, policy=result.candidate, seed=seed)
        cells[f"{name}, numbers"] = run.scores["test"]
        if name == "narrow":
            cells[f"{name}, probabilities"] = train_arm(aim, result.candidate_weights, seed=seed).test
    return cells


def summarize(record: RecordedRuns) -> dict[str, Any]:
    """Average accuracies, and what share of the gain of a search on the target is kept."""
    rows: dict[str, Any] = {}
    measured = {name for arms in record.runs.values() for name in arms}
    for target in (name for name in ("narrow", "usual", "wide") if name in measured):
        runs = [arms[target] for arms in record.runs.values() if target in arms]
        columns = [column for column in runs[0] if column != "seconds"]
        table = {column: mean_and_worst([run[column] for run in runs]) for column in columns}
        gain = table["self"]["mean"] - table["uniform"]["mean"]
        for column in columns:
            table[column]["share_of_gain"] = (table[column]["mean"] - table["uniform"]["mean"]) / gain
        rows[target] = table
    return rows


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", nargs="?", choices=("digits", "cifar10"), default="digits")
    parser.add_argument("--seeds", default="60-65")
    parser.add_argument("--targets", nargs="+", help="networks: narrow, usual, wide")
    parser.add_argument("--data", help="CIFAR-10: train.parquet")
    parser.add_argument("--test", help="CIFAR-10: test.parquet")
    parser.add_argument("--limit", type=int, default=5_000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    request = TaskRequest("digits")
    if options.task == "cifar10":
        request = TaskRequest(options.data, test=options.test, model="cnn", limit=options.limit)
    make = replace(request, noise=NOISE).open()
    record = RecordedRuns(
        options.out / f"sampling_transfer_{options.task}.json",
        {"task": options.task, "noise": NOISE, "widths": WIDTHS[options.task], "part": SUBSET},
    )
    for seed in parse_seeds(options.seeds):
        found: dict[str, SearchResult] = {}
        for target in options.targets or WIDTHS[options.task]:
            work = partial(measure, make(seed), options.task, target, seed, found)
            record.once(seed, target, work)
        record.save(summary=summarize(record))
        print(f"seed {seed} done", flush=True)
    for target, row in summarize(record).items():
        for column, cell in row.items():
            share = cell["share_of_gain"]
            print(f"{target:8s} {column:28s} {100 * cell['mean']:5.1f} %  {share:5.2f} of the gain")


if __name__ == "__main__":
    main()
