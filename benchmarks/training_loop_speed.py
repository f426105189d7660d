"""Is our training loop as fast as a bare one, and how much faster than a DataLoader?

Trains the same network on the same in-memory data for one epoch at a time, interleaved in one process:
localmin's loop, a bare hand-written loop that indexes tensors, a DataLoader over the same tensors, and a
DataLoader whose data set prepares its items one by one, in the main process and in two workers. The
network is small, as on a CPU it must be: with a large one every loop is as fast as the network.
Prints examples per second (median over repeats) and their ratios; writes JSON beside the environment.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from localmin.tasks import Examples, Recipe, Task
from localmin.tasks.environment import describe_device, versions
from localmin.tasks.models import build_cnn, build_mlp
from localmin.tasks.training import train_model, uniform_draw

RESULTS = Path(__file__).parent / "results" / "training_loop_speed.json"


def mlp_task() -> Task:
    """Make a table of the size of the bundled digits, four times as long."""
    generator = torch.Generator().manual_seed(0)
    data = Examples(torch.randn(4_000, 64, generator=generator), torch.arange(4_000) % 10)
    return Task("table", data, data, data, lambda: build_mlp(64, 10), 10, Recipe(batch_size=64, lr=0.01))


def linear_task() -> Task:
    """Make the same table with a linear classifier: what a loop costs when the network costs nothing."""
    task = mlp_task()
    return replace(task, name="table, linear", model=lambda: nn.Linear(64, 10))


def cnn_task() -> Task:
    """Make 8-bit images of the size of CIFAR-10's."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1_024, 3, 32, 32), generator=generator, dtype=torch.uint8)
    data = Examples(images, torch.arange(1_024) % 10)
    return Task("images", data, data, data, lambda: build_cnn(3, 10), 10, Recipe(batch_size=64, lr=0.01))


def ours(task: Task) -> Callable[[], None]:
    """Train one epoch with localmin's loop."""
    return lambda: (train_model(task, task.train, uniform_draw(len(task.train)), seed=0, epochs=1), None)[1]


def bare(task: Task) -> Callable[[], None]:
    """Train one epoch the way one would write it by hand: shuffle, index, step; a cosine schedule."""

    def epoch() -> None:
        model = task.build_model(0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        inputs, labels = task.train.inputs, task.train.labels
        steps = len(labels) // 64
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        order = torch.randperm(len(labels))
        for step in range(steps):
            chosen = order[step * 64 : (step + 1) * 64]
            loss = nn.functional.cross_entropy(model(task.prepare(inputs[chosen])), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()

    return epoch


class PerItem(Dataset[tuple[Tensor, Tensor]]):
    """Give one example at a time, scaled and normalised on its own, as most training scripts do."""

    def __init__(self, task: Task) -> None:
        assert task.normalization is not None
        self.data = task.train
        shape = (-1, 1, 1) if self.data.is_image else (-1,)
        self.mean = torch.tensor(task.normalization.mean).view(shape)
        self.deviation = torch.tensor(task.normalization.deviation).view(shape)
        self.scale = task.normalization.scale

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        scaled = self.data.inputs[index].float() * self.scale
        return (scaled - self.mean) / self.deviation, self.data.labels[index]


def with_items(task: Task, *, num_workers: int = 0) -> Callable[[], None]:
    """Train one epoch with a DataLoader over items that are prepared one by one."""
    loader = DataLoader(
        PerItem(task),
        batch_size=64,
        shuffle=True,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )

    def epoch() -> None:
        model = task.build_model(0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        for inputs, labels in loader:
            loss = nn.functional.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return epoch


def with_loader(task: Task) -> Callable[[], None]:
    """Train one epoch with torch's DataLoader in the main process, its fastest way for small items."""
    dataset = TensorDataset(task.train.inputs, task.train.labels)
    loader: DataLoader[tuple[Tensor, ...]] = DataLoader(dataset, batch_size=64, shuffle=True)

    def epoch() -> None:
        model = task.build_model(0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        for inputs, labels in loader:
            loss = nn.functional.cross_entropy(model(task.prepare(inputs)), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return epoch


def data_only(task: Task) -> tuple[Callable[[], None], Callable[[], None]]:
    """Fetch one epoch of batches without a network: ours and the DataLoader's."""
    dataset = TensorDataset(task.train.inputs, task.train.labels)
    loader: DataLoader[tuple[Tensor, ...]] = DataLoader(dataset, batch_size=64, shuffle=True)
    inputs, labels = task.train.inputs, task.train.labels

    def indexed() -> None:
        for chosen in torch.split(torch.randperm(len(labels)), 64):
            _ = inputs[chosen], labels[chosen]

    def loaded() -> None:
        for _ in loader:
            pass

    return indexed, loaded


def median_seconds(runs: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Time every run in turn, so that noise of the machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    """Measure both tasks and record the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = {}
    for task in (linear_task(), mlp_task(), cnn_task()):
        indexed, loaded = data_only(task)
        runs = {
            "localmin": ours(task),
            "bare loop": bare(task),
            "DataLoader loop": with_loader(task),
            "per-item loop": with_items(task),
            "per-item, 2 workers": with_items(task, num_workers=2),
            "indexing alone": indexed,
            "DataLoader alone": loaded,
        }
        seconds = median_seconds(runs, options.repeats)
        rows[task.name] = {
            "examples_per_second": {name: len(task.train) / value for name, value in seconds.items()},
            "speed_relative_to_bare": seconds["bare loop"] / seconds["localmin"],
            "speed_relative_to_loader": seconds["DataLoader loop"] / seconds["localmin"],
            "speed_relative_to_items": seconds["per-item loop"] / seconds["localmin"],
            "speed_relative_to_items_with_workers": seconds["per-item, 2 workers"] / seconds["localmin"],
            "fetch_relative_to_loader": seconds["DataLoader alone"] / seconds["indexing alone"],
        }
        print(f"{task.name}:")
        for name, value in seconds.items():
            print(f"  {name:20s} {len(task.train) / value:12,.0f} examples/s")
        print(f"  localmin / bare loop       {rows[task.name]['speed_relative_to_bare']:.2f}")
        print(f"  localmin / DataLoader loop {rows[task.name]['speed_relative_to_loader']:.2f}")
        print(f"  localmin / per-item loop   {rows[task.name]['speed_relative_to_items']:.2f}")
        print(
            f"  localmin / the same, 2 workers {rows[task.name]['speed_relative_to_items_with_workers']:.2f}"
        )
        print(f"  fetching, indexing / DataLoader {rows[task.name]['fetch_relative_to_loader']:.1f}")
    RESULTS.parent.mkdir(exist_ok=True)
    record = {
        "repeats": options.repeats,
        "device": describe_device("cpu"),
        "versions": versions(),
        "tasks": rows,
    }
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
