"""How well does each feature tell wrong labels from right ones on hard images?

CIFAR-10, 4,000 training images with 40 % symmetric noise, the network `cnn`, half a training (10 epochs).
Area under the ROC curve of each feature as a detector of wrong labels: 0.5 is chance, 1 is perfect.

    python benchmarks/sampling_feature_auc.py --data train.parquet --test test.parquet --seeds 70-71
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from localmin.experiments.recorded_runs import RecordedRuns, mean_and_worst
from localmin.sampling.features import renormed_entropy
from localmin.sampling.second_opinion import plan_opinion
from localmin.sampling.transforms import mid_rank
from localmin.tasks import Task
from localmin.tasks.prediction import batched_logits
from localmin.tasks.request import TaskRequest
from localmin.tasks.seed_lists import parse_seeds
from localmin.tasks.training import mix_seed, shortened, train_model, uniform_draw

RESULTS = Path(__file__).parent / "results" / "sampling_feature_auc.json"
NOISE = 0.4


class LogitRecorder:
    """Keep the logits of all examples, in training steps and, if asked for, at the ends of epochs."""

    watches_steps = True

    def __init__(self, task: Task, epochs: int, *, ends: bool) -> None:
        shape = (epochs, len(task.train), task.num_classes)
        self.task, self.ends = task, ends
        self.at_steps, self.at_ends = torch.zeros(shape), torch.zeros(shape)

    def on_step(self, epoch: int, indices: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Keep a batch."""
        self.at_steps[epoch - 1, indices] = logits

    def on_epoch(self, epoch: int, model: nn.Module) -> None:
        """Look at everything."""
        if self.ends:
            for part, logits in batched_logits(model, self.task, self.task.train):
                self.at_ends[epoch - 1, part] = logits

    def state(self) -> dict[str, Tensor]:
        """List nothing: these runs are short."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up nothing."""


def record(task: Task, seed: int, *, epochs: int, number: int = 1, ends: bool = False) -> LogitRecorder:
    """Train a feature network and keep its logits."""
    seen = LogitRecorder(task, epochs, ends=ends)
    train_model(
        task,
        task.train,
        uniform_draw(len(task.train)),
        seed=mix_seed(seed, number, 2),
        model_seed=mix_seed(seed, number, 1),
        epochs=epochs,
        recipe=shortened(task.recipe, final_lr_fraction=0.5),
        observer=seen,
    )
    return seen


def measure(task: Task, seed: int) -> dict[str, Any]:
    """Compute the area of every feature."""
    labels, clean = task.train.labels, task.clean_train_labels
    assert clean is not None
    half, quarter = max(1, task.epochs // 2), max(1, task.epochs // 4)
    rows = torch.arange(len(labels))

    def loss(logits: Tensor) -> Tensor:
        return -logits.log_softmax(-1)[..., rows, labels]

    def entropy(logits: Tensor) -> Tensor:
        return torch.stack([renormed_entropy(one, labels) for one in logits]).mean(0)

    base = record(task, seed, epochs=half, ends=True)
    short = record(task, seed, epochs=quarter)
    again = record(task, seed, epochs=half, number=2)
    cropped = replace(task, recipe=replace(task.recipe, augmentation="flip-crop"))
    crop = record(cropped, seed, epochs=half)
    plan = plan_opinion(task)
    assert plan is not None  # images
    opinion = plan.table(task, seed=seed)
    left_out = opinion.column("loss")
    step, ends = loss(base.at_steps[1:]).mean(0), base.at_ends[2:].softmax(-1).mean(0)
    others = ends.scatter(1, labels[:, None], -1.0).max(1).values
    in_class = torch.zeros(len(labels), dtype=torch.float64)
    for k in range(task.num_classes):
        in_class[labels == k] = mid_rank(step[labels == k])
    found = {
        "loss, one pass with the last weights": loss(base.at_ends[-1]),
        "loss, mean over ends of epochs": loss(base.at_ends[2:]).mean(0),
        "loss, mean over training steps": step,
        "the same, a quarter of a training": loss(short.at_steps[1:]).mean(0),
        "the same, rank within the class": in_class,
        "the same, mean of two networks": step + loss(again.at_steps[1:]).mean(0),
        "the same, augmented by crops": loss(crop.at_steps[1:]).mean(0),
        "mean probability of the label": -ends[rows, labels],
        "margin of the mean probability": others - ends[rows, labels],
        "renormed entropy, low is suspect": -entropy(base.at_steps[1:]),
        "second opinion: loss, left out": left_out,
        "second opinion: renormed entropy": -opinion.column("renormed-entropy"),
        "mean of network and second opinion": step + left_out,
        "the same, a quarter of a training for the network": loss(short.at_steps[1:]).mean(0) + left_out,
    }
    from sklearn.metrics import roc_auc_score

    wrong = (clean != labels).numpy()
    return {name: float(roc_auc_score(wrong, values.numpy())) for name, values in found.items()}


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="train.parquet")
    parser.add_argument("--test", required=True, help="test.parquet")
    parser.add_argument("--limit", type=int, default=5_000)
    parser.add_argument("--seeds", default="70-71")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    request = TaskRequest(options.data, test=options.test, model="cnn", limit=options.limit, noise=NOISE)
    make = request.open()
    runs = RecordedRuns(options.out, {"task": "cifar10", "noise": NOISE, "limit": options.limit})
    for seed in parse_seeds(options.seeds):
        runs.once(seed, "areas", partial(lambda number: measure(make(number), number), seed))
    areas = [arms["areas"] for arms in runs.runs.values()]
    names = [name for name in areas[0] if name != "seconds"]
    summary = {name: mean_and_worst([one[name] for one in areas]) for name in names}
    runs.save(summary=summary)
    for name, row in summary.items():
        print(f"{name:52s} {row['mean']:.3f}")


if __name__ == "__main__":
    main()
