"""Which dynamics leaves a minimum of a trained classifier first, at equal gradients and temperature?

A network is trained with weight decay until it stands still, then released from that minimum under the
three dynamics, for the same number of full gradients, at the same `lr` and temperature, five seeds. From time
to time a copy descends without noise; the path has left if the minimum found is farther than a distance AND
the loss on the straight line to the first minimum rises above both by more than a height. Temperature 0 is
the control: there nothing may leave, and what the loss falls by is what more training alone brings.

"digits": one hidden layer on 400 of the bundled digits. "cifar10": three stride-2 convolutions (26 000
parameters, SiLU, no batch norm, whose scale invariance leaves no minimum under weight decay) on 500 images
of the given Parquet file, brought to 16 x 16 and whitened, without which the curvatures of this network
spread too far for its minima to be reached.

    python benchmarks/langevin_release.py
    python benchmarks/langevin_release.py --data cifar10 --file ../shared/data/cifar10/train.parquet

The JSON is written after every release; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
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
    ReleaseStudy,
    SameBasin,
    UnderdampedLangevin,
    compare_releases,
)
from localmin.tasks import open_source

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Setting:
    """Everything that decides the numbers.

    Args:
        num_examples: Drawn anew for each seed.
        weight_decay: Half of it times the squared norm is part of the loss.
        training: How the first minimum is found.
        lr: Of all three dynamics.
        friction_curvature: m of the critical friction.
        skew_strength: Of the non-reversible dynamics, neighbours paired.
        temperatures: T.
        num_steps: Gradients per release.
        check_every: Steps between descents.
        descent: From the path to the minimum below.
        same: When two minima are one.
    """

    num_examples: int
    weight_decay: float
    training: Descent
    lr: float
    friction_curvature: float
    skew_strength: float
    temperatures: tuple[float, ...]
    num_steps: int
    check_every: int
    descent: Descent
    same: SameBasin


SETTINGS = {
    "digits": Setting(
        num_examples=400,
        weight_decay=2e-3,
        training=Descent(0.3, 0.95, 4000),
        lr=0.2,
        friction_curvature=0.02,
        skew_strength=0.5,
        temperatures=(0.0, 1e-4, 1e-3),
        num_steps=500,
        check_every=250,
        descent=Descent(0.3, 0.95, 300),
        same=SameBasin(within=0.1, barrier_above=1e-3),
    ),
    "cifar10": Setting(
        num_examples=500,
        weight_decay=1e-2,
        training=Descent(0.05, 0.95, 2000),
        lr=0.03,
        friction_curvature=1e-2,
        skew_strength=0.5,
        temperatures=(0.0, 1e-5, 1e-4),
        num_steps=400,
        check_every=200,
        descent=Descent(0.05, 0.95, 300),
        same=SameBasin(within=0.1, barrier_above=1e-3),
    ),
}

Data = Callable[[int], tuple[nn.Sequential, Tensor, Tensor]]


def _digits(setting: Setting) -> Data:
    digits = load_digits()

    def data(seed: int) -> tuple[nn.Sequential, Tensor, Tensor]:
        chosen = _chosen(len(digits.target), setting.num_examples, seed)
        x = torch.tensor(digits.data, dtype=torch.float32)[chosen] / 16
        model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
        return model, x, torch.tensor(digits.target)[chosen]

    return data


def _cifar(setting: Setting, file: Path) -> Data:
    source = open_source(str(file), image_size=16)
    inputs, labels = _whitened(source.examples.inputs.float() / 255), source.examples.labels.long()

    def data(seed: int) -> tuple[nn.Sequential, Tensor, Tensor]:
        chosen = _chosen(len(labels), setting.num_examples, seed)
        layers: list[nn.Module] = []
        for channels_in, channels_out in ((3, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1), nn.SiLU()]
        model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10))
        # Channels last: convolutions on the CPU take three quarters of the time.
        return model, inputs[chosen].contiguous(memory_format=torch.channels_last), labels[chosen]

    return data


def _whitened(images: Tensor) -> Tensor:
    """Remove the correlations of pixels (ZCA), variances below 0.001 left small; unit variance over all."""
    flat = images.flatten(1).double()
    flat -= flat.mean(0)
    variances, directions = torch.linalg.eigh(flat.T @ flat / len(flat))
    white = (flat @ (directions / (variances + 1e-3).sqrt()) @ directions.T).float()
    result: Tensor = (white / white.std()).view(images.shape)
    return result


def _chosen(num_all: int, num: int, seed: int) -> Tensor:
    return torch.randperm(num_all, generator=torch.Generator().manual_seed(seed))[:num]


def _initialise(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(100 + seed)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter, generator=generator)
        else:
            nn.init.zeros_(parameter)


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


def study(
    setting: Setting, data: Data, seeds: Sequence[int], earlier: ReleaseStudy | None, record: Path
) -> ReleaseStudy:
    """Train, release, and write the JSON after every release."""

    def problem(seed: int) -> tuple[Sequence[Tensor], Callable[[], Tensor]]:
        model, x, y = data(seed)
        _initialise(model, seed)
        closure = _closure(model, x, y, setting.weight_decay)
        trainer = torch.optim.SGD(
            model.parameters(), lr=setting.training.lr, momentum=setting.training.momentum
        )
        for _ in range(setting.training.num_steps):
            closure()
            trainer.step()
        return list(model.parameters()), closure

    lr = setting.lr
    return compare_releases(
        problem,
        {
            "overdamped": lambda p, t, s: LangevinDynamics(p, lr=lr, temperature=t, seed=s),
            "underdamped": lambda p, t, s: UnderdampedLangevin(
                p, lr=lr, friction="critical", curvature=setting.friction_curvature, temperature=t, seed=s
            ),
            "nonreversible": lambda p, t, s: NonReversibleLangevin(
                p, lr=lr, temperature=t, skew=PairwiseRotation(setting.skew_strength), seed=s
            ),
        },
        temperatures=setting.temperatures,
        seeds=seeds,
        num_steps=setting.num_steps,
        check_every=setting.check_every,
        descent=setting.descent,
        same=setting.same,
        earlier=earlier,
        save=lambda found: _write(record, setting, seeds, found),
        progress=lambda done, total: print(f"{done} of {total}", file=sys.stderr, flush=True),
    )


def _write(record: Path, setting: Setting, seeds: Sequence[int], found: ReleaseStudy) -> None:
    result = {
        "question": __doc__.splitlines()[0] if __doc__ else "",
        "environment": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
        },
        "settings": {**_settings(setting), "seeds": list(seeds)},
        **found.to_dict(),
    }
    temporary = record.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=1) + "\n")
    temporary.replace(record)


def _settings(setting: Setting) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(json.dumps(asdict(setting)))
    return stored


def _earlier(record: Path, setting: Setting) -> ReleaseStudy | None:
    """Read what a stopped run left, if it had the same settings."""
    if not record.exists():
        return None
    stored = json.loads(record.read_text())
    settings = {key: value for key, value in stored["settings"].items() if key != "seeds"}
    return ReleaseStudy.from_dict(stored) if settings == _settings(setting) else None


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=sorted(SETTINGS), default="digits")
    parser.add_argument("--file", type=Path, help="the Parquet file of cifar10")
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON")
    parser.add_argument("--again", action="store_true", help="do not go on with a record of a stopped run")
    arguments = parser.parse_args()
    if arguments.data == "cifar10" and arguments.file is None:
        parser.error("--data cifar10 needs --file, the Parquet file with images and labels")
    torch.set_num_threads(1)
    setting = SETTINGS[arguments.data]
    data = _digits(setting) if arguments.data == "digits" else _cifar(setting, arguments.file)
    arguments.out.mkdir(parents=True, exist_ok=True)
    record = arguments.out / f"langevin_release_{arguments.data}.json"
    seeds = range(arguments.seeds)
    found = study(setting, data, seeds, None if arguments.again else _earlier(record, setting), record)
    _write(record, setting, seeds, found)
    print(
        f"{'dynamics':14s} {'T':>6s} {'left':>5s} {'escapes':>8s} {'start':>9s} {'best':>9s} {'barrier':>9s}"
        f" {'distance':>9s}"
    )
    for row in found.table():
        print(
            f"{row['dynamics']:14s} {row['temperature']:6.0e} {row['left']:3d}/{row['num_seeds']}"
            f" {row['num_escapes']:8.1f} {row['loss_at_start']:9.5f} {row['best_loss']:9.5f}"
            f" {row['highest_barrier']:9.5f} {row['distance']:9.3f}"
        )


if __name__ == "__main__":
    main()
