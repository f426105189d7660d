"""How many more trials a second does a search make with two workers than with one?

Opens a pool of one worker and a pool of two, lets both load what they need, and then gives them the same
batch of trials in turn, so that noise of the machine hits both alike: each repeat gives a pair. Trials are
those of the standard preset (two networks on half of the data each) on the bundled digits and on images of
CIFAR's size. Then whole searches on digits, start of the workers included: alone, with one worker and with
two. Prints trials per second (median over repeats) and the median of the paired ratios; writes JSON with the
share of the machine that other programs took meanwhile: two workers cannot be twice as fast on two cores that
are busy already. ``--wait`` waits until they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import localmin
from localmin.sampling.execution import InProcess, ProcessPool, TrialExecutor, TrialRequest
from localmin.sampling.trial import TrialPlan, cross_fit_folds
from localmin.tasks import Examples, Recipe, Task
from localmin.tasks.environment import describe_device, versions
from localmin.tasks.models import build_cnn

RESULTS = Path(__file__).parent / "results" / "search_workers_speed.json"


def busy_seconds() -> float:
    """Count the CPU time that all programs of the machine have used; nought where it cannot be read."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system = map(int, stat.read_text().split("\n", 1)[0].split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(minutes: float) -> None:
    """Wait until two seconds in a row leave nine tenths of the machine idle, or the time is over."""
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        before = busy_seconds()
        time.sleep(2.0)
        if busy_seconds() - before < 0.1 * 2.0 * (os.cpu_count() or 1):
            return


class Foreign:
    """Measure what other programs took of the machine while a block ran, as a share of all its cores."""

    def __init__(self, pools: Sequence[ProcessPool]) -> None:
        self.pools = pools

    def _own(self) -> float:
        ids = [os.getpid(), *(number for pool in self.pools for number in pool.process_ids)]
        ticks = 0
        for number in ids:
            fields = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Foreign:
        self.began, self.busy, self.own = time.monotonic(), busy_seconds(), self._own()
        return self

    def __exit__(self, *exception: object) -> None:
        spent = (time.monotonic() - self.began) * (os.cpu_count() or 1)
        self.share = max(0.0, busy_seconds() - self.busy - (self._own() - self.own)) / spent


def digits_task() -> Task:
    """Take the task of the README: trials of a quarter of a second."""
    return localmin.tasks.digits(noise=0.4, seed=0)


def images_task() -> Task:
    """Make 8-bit images of CIFAR-10's size and a network with convolutions: trials of some seconds."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1_024, 3, 32, 32), generator=generator, dtype=torch.uint8)
    data = Examples(images, torch.arange(1_024) % 10)
    few = data.subset(torch.arange(200))
    recipe = Recipe(epochs=4, batch_size=64, lr=0.01)
    return Task("images", data, few, few, lambda: build_cnn(3, 10), 10, recipe)


def plan_of(task: Task) -> TrialPlan:
    """Plan trials as the standard preset does."""
    folds = cross_fit_folds(task.train.labels, share=0.5, num_folds=2, seed=0)
    return TrialPlan(folds, max(1, task.epochs // 2), seed=0)


def run_batch(executor: TrialExecutor, task: Task, plan: TrialPlan, count: int) -> float:
    """Run so many trials; give the seconds."""
    began = time.perf_counter()
    for number in range(count):
        weights = torch.linspace(0.5, 1, len(task.train), dtype=torch.float64).roll(number)
        executor.submit(TrialRequest(f"trial-{number:03d}", weights, plan))
    done = 0
    while done < count:
        done += len(executor.collect())
    return time.perf_counter() - began


def trials_a_second(task: Task, count: int, repeats: int, wait: float) -> dict[str, Any]:
    """Give both pools, and this process, the same trials in turn."""
    plan = plan_of(task)
    with ProcessPool(1) as one, ProcessPool(2) as two:
        executors: dict[str, TrialExecutor] = {"in process": InProcess(), "1 worker": one, "2 workers": two}
        for executor in executors.values():
            executor.use(task, device=torch.device("cpu"))
            run_batch(executor, task, plan, 2)
        seconds: dict[str, list[float]] = {name: [] for name in executors}
        foreign = []
        for _ in range(repeats):
            wait_for_quiet(wait)
            with Foreign((one, two)) as others:
                for name, executor in executors.items():
                    seconds[name].append(run_batch(executor, task, plan, count))
            foreign.append(others.share)
    ratios = [slow / fast for slow, fast in zip(seconds["1 worker"], seconds["2 workers"], strict=True)]
    return {
        "trials": count,
        "trials_per_second": {name: count / statistics.median(values) for name, values in seconds.items()},
        "speed_of_2_workers_relative_to_1": statistics.median(ratios),
        "all_ratios": ratios,
        "share_of_the_machine_taken_by_others": foreign,
    }


def whole_searches(repeats: int) -> dict[str, Any]:
    """Time searches from the first line to the result, with everything that is not a trial."""
    task = digits_task()
    ways: dict[str, Callable[[], object]] = {
        "in process": lambda: localmin.search(task),
        "1 worker": lambda: localmin.search(task, workers=1),
        "2 workers": lambda: localmin.search(task, workers=2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {"seconds": medians, "speed_of_2_workers": medians["in process"] / medians["2 workers"]}


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--searches", type=int, default=3)
    parser.add_argument("--wait", type=float, default=0.0, help="minutes, before each pair")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    load_before = os.getloadavg()[0]
    rows = {}
    for task, count in ((digits_task(), 12), (images_task(), 6)):
        rows[task.name] = trials_a_second(task, count, options.repeats, options.wait)
        print(f"{task.name}:")
        for name, value in rows[task.name]["trials_per_second"].items():
            print(f"  {name:10s} {value:6.2f} trials/s")
        print(f"  2 workers / 1 worker {rows[task.name]['speed_of_2_workers_relative_to_1']:.2f}")
        others = statistics.median(rows[task.name]["share_of_the_machine_taken_by_others"])
        print(f"  other programs took {others:.0%} of the machine")
    searches = whole_searches(options.searches)
    print("whole search on digits, seconds:", {k: round(v, 1) for k, v in searches["seconds"].items()})
    record = {
        "repeats": options.repeats,
        "device": describe_device("cpu"),
        "cores": os.cpu_count(),
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "versions": versions(),
        "tasks": rows,
        "whole_search_on_digits": searches,
    }
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
