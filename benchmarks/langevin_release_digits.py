"""Which dynamics leaves a minimum of a small classifier first, at equal gradients and temperature?

A one-hidden-layer network is trained on 400 of the bundled digits with weight decay, then released from the
minimum at the same temperature under the three dynamics, for the same number of full gradients, five seeds.

    python benchmarks/langevin_release_digits.py
"""

from __future__ import annotations

import copy
import json
import platform
import statistics
from collections.abc import Callable
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
    ReleaseResult,
    UnderdampedLangevin,
    release_from_minimum,
)

RESULTS = Path(__file__).parent / "results" / "langevin_release_digits.json"
WEIGHT_DECAY, LR, NUM_STEPS, SEEDS = 2e-3, 0.2, 1500, range(5)
TEMPERATURES = (1e-5, 1e-4, 1e-3)

Parameters = list[nn.Parameter]
MAKERS: dict[str, Callable[[Parameters, float, int], torch.optim.Optimizer]] = {
    "overdamped": lambda p, t, s: LangevinDynamics(p, lr=LR, temperature=t, seed=s),
    "underdamped": lambda p, t, s: UnderdampedLangevin(
        p, lr=LR, friction="critical", curvature=0.02, temperature=t, seed=s
    ),
    "nonreversible": lambda p, t, s: NonReversibleLangevin(
        p, lr=LR, temperature=t, skew=PairwiseRotation(0.5), seed=s
    ),
}


def _problem(seed: int) -> tuple[nn.Module, Tensor, Tensor]:
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(seed))[:400]
    x = torch.tensor(digits.data, dtype=torch.float32)[order] / 16
    y = torch.tensor(digits.target)[order]
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    generator = torch.Generator().manual_seed(100 + seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2, generator=generator)
    return model, x, y


def _closure(model: nn.Module, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    parameters = list(model.parameters())

    def closure() -> Tensor:
        for parameter in parameters:
            parameter.grad = None
        decay = sum((parameter.square().sum() for parameter in parameters), torch.zeros(()))
        loss = nn.functional.cross_entropy(model(x), y) + WEIGHT_DECAY / 2 * decay
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    return closure


def _trained(seed: int) -> tuple[nn.Module, Tensor, Tensor]:
    model, x, y = _problem(seed)
    closure = _closure(model, x, y)
    trainer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.95)
    for _ in range(6000):
        closure()
        trainer.step()
    return model, x, y


def _measure(
    name: str, temperature: float, seed: int, trained: tuple[nn.Module, Tensor, Tensor]
) -> ReleaseResult:
    model = copy.deepcopy(trained[0])
    parameters = list(model.parameters())
    return release_from_minimum(
        parameters,
        _closure(model, *trained[1:]),
        MAKERS[name](parameters, temperature, seed),
        num_steps=NUM_STEPS,
        check_every=250,
        descent=Descent(0.3, momentum=0.95, num_steps=500),
        same_within=0.1,
    )


def main() -> None:
    """Measure, print a table, write JSON."""
    torch.set_num_threads(1)
    trained = {seed: _trained(seed) for seed in SEEDS}
    rows: list[dict[str, Any]] = []
    print(
        f"{'dynamics':14s} {'T':>6s} {'left':>5s} {'escapes':>8s} {'start':>8s} {'best':>8s} {'distance':>9s}"
    )
    for temperature in TEMPERATURES:
        for name in MAKERS:
            runs = [_measure(name, temperature, seed, trained[seed]).to_dict() for seed in SEEDS]
            means, errors = {}, {}
            for key in (
                "num_escapes",
                "loss_at_start",
                "loss_at_end",
                "best_loss",
                "distance",
                "highest_loss",
            ):
                values = [float(run[key]) for run in runs]
                means[key], errors[key] = (
                    statistics.mean(values),
                    statistics.stdev(values) / len(values) ** 0.5,
                )
            left = sum(run["left"] for run in runs)
            rows.append(
                {
                    "dynamics": name,
                    "temperature": temperature,
                    "left": left,
                    "mean": means,
                    "standard_error": errors,
                    "runs": runs,
                }
            )
            print(
                f"{name:14s} {temperature:6.0e} {left:3d}/5 {means['num_escapes']:8.1f}"
                f" {means['loss_at_start']:8.5f} {means['best_loss']:8.5f} {means['distance']:9.3f}"
            )
    result = {
        "question": __doc__.splitlines()[0] if __doc__ else "",
        "environment": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
        },
        "settings": {"lr": LR, "num_steps": NUM_STEPS, "weight_decay": WEIGHT_DECAY, "seeds": list(SEEDS)},
        "rows": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
