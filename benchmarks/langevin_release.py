"""Which dynamics leaves a minimum of a trained classifier first, at equal gradients and temperature?

A small network is trained with weight decay until it stands still, then released from the minimum at the same
temperature under the three dynamics, for the same number of full gradients, five seeds. The network has one
hidden layer; "digits" are 400 of the bundled digits, "cifar10" 200 images of the given Parquet file, brought
to 8 x 8.

    python benchmarks/langevin_release.py
    python benchmarks/langevin_release.py --data cifar10 --file ../shared/data/cifar10/test.parquet
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from localmin.langevin import (
    Descent,
    LangevinDynamics,
    NonReversibleLangevin,
    PairwiseRotation,
    UnderdampedLangevin,
    compare_releases,
)
from localmin.tasks import open_source

RESULTS = Path(__file__).parent / "results"
SEEDS = range(5)
SETTINGS: dict[str, dict[str, Any]] = {
    "digits": {
        "lr": 0.2,
        "num_steps": 1500,
        "check_every": 250,
        "weight_decay": 2e-3,
        "curvature": 0.02,
        "temperatures": (1e-5, 1e-4, 1e-3),
        "training": (0.3, 0.95, 6000),
        "descent": Descent(0.3, momentum=0.95, num_steps=500),
    },
    "cifar10": {
        "lr": 0.1,
        "num_steps": 800,
        "check_every": 200,
        "weight_decay": 4e-3,
        "curvature": 0.02,
        "temperatures": (1e-4, 1e-3),
        "training": (0.1, 0.95, 4000),
        "descent": Descent(0.1, momentum=0.95, num_steps=200),
    },
}
SAME_WITHIN, SKEW = 0.1, 0.5


def _digits(seed: int) -> tuple[nn.Module, Tensor, Tensor]:
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(seed))[:400]
    x = torch.tensor(digits.data, dtype=torch.float32)[order] / 16
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    return model, x, torch.tensor(digits.target)[order]


def _cifar(file: Path) -> Callable[[int], tuple[nn.Module, Tensor, Tensor]]:
    source = open_source(str(file), image_size=8)
    inputs, labels = source.examples.inputs.float() / 255, source.examples.labels

    def problem(seed: int) -> tuple[nn.Module, Tensor, Tensor]:
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))[:200]
        x = inputs[order] - inputs.mean(dim=(0, 2, 3), keepdim=True)
        model = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.Tanh(), nn.Linear(16, 10))
        return model, x / inputs.std(), labels[order].long()

    return problem


def _closure(model: nn.Module, x: Tensor, y: Tensor, weight_decay: float) -> Callable[[], Tensor]:
    parameters = list(model.parameters())

    def closure() -> Tensor:
        for parameter in parameters:
            parameter.grad = None
        decay = sum((parameter.square().sum() for parameter in parameters), torch.zeros(()))
        loss = nn.functional.cross_entropy(model(x), y) + weight_decay / 2 * decay
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return closure


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=sorted(SETTINGS), default="digits")
    parser.add_argument("--file", type=Path, help="the Parquet file of cifar10")
    arguments = parser.parse_args()
    if arguments.data == "cifar10" and arguments.file is None:
        parser.error("--data cifar10 needs --file, the Parquet file with images and labels")
    torch.set_num_threads(1)
    settings = SETTINGS[arguments.data]
    make = _digits if arguments.data == "digits" else _cifar(arguments.file)

    def problem(seed: int) -> tuple[Sequence[Tensor], Callable[[], Tensor]]:
        model, x, y = make(seed)
        generator = torch.Generator().manual_seed(100 + seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0, 0.2, generator=generator)
        closure = _closure(model, x, y, settings["weight_decay"])
        lr, momentum, num_steps = settings["training"]
        trainer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
        for _ in range(num_steps):
            closure()
            trainer.step()
        return list(model.parameters()), closure

    lr, curvature = settings["lr"], settings["curvature"]
    study = compare_releases(
        problem,
        {
            "overdamped": lambda p, t, s: LangevinDynamics(p, lr=lr, temperature=t, seed=s),
            "underdamped": lambda p, t, s: UnderdampedLangevin(
                p, lr=lr, friction="critical", curvature=curvature, temperature=t, seed=s
            ),
            "nonreversible": lambda p, t, s: NonReversibleLangevin(
                p, lr=lr, temperature=t, skew=PairwiseRotation(SKEW), seed=s
            ),
        },
        temperatures=settings["temperatures"],
        seeds=SEEDS,
        num_steps=settings["num_steps"],
        check_every=settings["check_every"],
        descent=settings["descent"],
        same_within=SAME_WITHIN,
        progress=lambda done, total: print(f"{done} of {total}", file=sys.stderr, flush=True),
    )
    print(
        f"{'dynamics':14s} {'T':>6s} {'left':>5s} {'escapes':>8s} {'start':>9s} {'best':>9s} {'distance':>9s}"
    )
    for row in study.table():
        print(
            f"{row['dynamics']:14s} {row['temperature']:6.0e} {row['left']:3d}/{row['num_seeds']}"
            f" {row['num_escapes']:8.1f} {row['loss_at_start']:9.5f} {row['best_loss']:9.5f}"
            f" {row['distance']:9.3f}"
        )
    result = {
        "question": __doc__.splitlines()[0] if __doc__ else "",
        "environment": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
        },
        "settings": {
            **settings,
            "descent": vars(settings["descent"]),
            "data": arguments.data,
            "seeds": list(SEEDS),
            "same_within": SAME_WITHIN,
            "skew_strength": SKEW,
        },
        **study.to_dict(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"langevin_release_{arguments.data}.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
