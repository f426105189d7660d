"""How much does a step cost, next to posteriors' SGHMC and BAOA on the same model?

Both run the same multilayer perceptron on the same batch. An iteration is the gradient and the update; the
update alone is the iteration less the library's own way to the gradient, measured by itself. At T > 0 both
draw one normal per parameter, and no update takes less than that: its time is recorded too. Times are
processor time, medians over rounds in which all take turns. posteriors is not a dependency: install
it in an environment of its own and run

    python -m pip install posteriors
    python benchmarks/langevin_peers.py [--threads N] [--rounds N]

The same run checks that both BAOA have the same law: means and variances of a quadratic agree.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import platform
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from localmin.langevin import UnderdampedLangevin
from localmin.langevin.updates import UnderdampedScheme

RESULTS = Path(__file__).parent / "results" / "langevin_peers.json"

WIDTHS = {"mlp 0.12 M": (784, 128, 128, 10), "mlp 2.9 M": (784, 1200, 1200, 400, 10)}
LR, FRICTION, TEMPERATURE, BATCH = 1e-8, 1.0, 1e-6, 32

Action = Callable[[], object]


def _model(widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _ours(widths: tuple[int, ...], scheme: UnderdampedScheme, temperature: float) -> dict[str, Action]:
    model = _model(widths)
    x, y = _batch(widths)
    optimizer = UnderdampedLangevin(
        model.parameters(), lr=LR, friction=FRICTION, temperature=temperature, scheme=scheme
    )

    def gradient() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]

    def iteration() -> None:
        gradient()
        optimizer.step()

    return {"iteration": iteration, "gradient": gradient}


def _theirs(widths: tuple[int, ...], method: str, temperature: float) -> dict[str, Action]:
    sampler = getattr(importlib.import_module("posteriors").sgmcmc, method)
    model = _model(widths)
    batch = _batch(widths)
    params = {name: one.detach().clone() for name, one in model.named_parameters()}

    def log_posterior(params: Any, batch: Any) -> tuple[Tensor, Tensor]:
        output = torch.func.functional_call(model, params, (batch[0],))
        return -nn.functional.cross_entropy(output, batch[1]), output

    transform = sampler.build(log_posterior, lr=LR**0.5, alpha=FRICTION, temperature=temperature)
    state = transform.init(params)
    differentiate = torch.func.grad_and_value(log_posterior, has_aux=True)

    def iteration() -> None:
        nonlocal state
        state, _ = transform.update(state, batch, inplace=True)

    def gradient() -> None:
        with torch.no_grad():
            differentiate(params, batch)

    return {"iteration": iteration, "gradient": gradient}


def _batch(widths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, widths[0], generator=generator)
    return x, torch.randint(0, widths[-1], (BATCH,), generator=generator)


def measure(widths: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Time all contestants in turns; give medians and ratios."""
    contestants: dict[str, dict[str, Action]] = {}
    for label, temperature in (("T=0", 0.0), ("T>0", TEMPERATURE)):
        contestants[f"localmin baoa {label}"] = _ours(widths, "baoa", temperature)
        contestants[f"localmin baoab {label}"] = _ours(widths, "baoab", temperature)
        contestants[f"posteriors baoa {label}"] = _theirs(widths, "baoa", temperature)
        contestants[f"posteriors sghmc {label}"] = _theirs(widths, "sghmc", temperature)
    total = sum(one.numel() for one in _model(widths).parameters())
    repeats = max(2, int(4e6 / total))
    noise = torch.empty(total)

    def blocks() -> None:  # the fastest way to draw on this CPU: no update with noise can take less
        for block in torch.split(noise, 65536):
            block.normal_()

    times: dict[str, list[float]] = {}
    for index in range(rounds + 2):
        singles = {
            f"{name} {part}": action for name, one in contestants.items() for part, action in one.items()
        }
        for name, action in {**singles, "one randn": noise.normal_, "one draw in blocks": blocks}.items():
            seconds = _seconds(action, repeats)
            if index >= 2:  # the first two rounds warm up
                times.setdefault(name, []).append(seconds)
    median = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    update = {name: median[f"{name} iteration"] - median[f"{name} gradient"] for name in contestants}
    ratios = {}
    for label in ("T=0", "T>0"):
        for peer in ("baoa", "sghmc"):
            theirs, ours = f"posteriors {peer} {label}", f"localmin baoab {label}"
            ratios[f"{peer} {label} update"] = update[theirs] / update[ours]
            ratios[f"{peer} {label} iteration"] = median[f"{theirs} iteration"] / median[f"{ours} iteration"]
    return {
        "num_parameters": total,
        "median_milliseconds": median,
        "update_milliseconds": update,
        "ratio_posteriors_over_localmin": ratios,
    }


def _seconds(action: Action, repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        action()
    return (time.process_time() - start) / repeats


def laws() -> dict[str, float]:
    """Run both BAOA on the same quadratic and compare variances with T / curvature."""
    curvature, step, temperature, count, steps = 0.7, 0.4, 0.25, 20_000, 200
    x = nn.Parameter(torch.zeros(count))
    optimizer = UnderdampedLangevin([x], lr=step**2, friction=1.1, temperature=temperature, scheme="baoa")
    for _ in range(steps):
        x.grad = curvature * x.detach()
        optimizer.step()

    def log_posterior(params: Any, _: Any) -> tuple[Tensor, Tensor]:
        return -curvature * params["x"].square().sum() / 2, torch.zeros(())

    baoa = importlib.import_module("posteriors").sgmcmc.baoa
    transform = baoa.build(log_posterior, lr=step, alpha=1.1, temperature=temperature)
    state = transform.init({"x": torch.zeros(count)})
    for _ in range(steps):
        state, _ = transform.update(state, None)
    expected = temperature / curvature
    return {
        "localmin variance / (T/curvature)": float(x.detach().var()) / expected,
        "posteriors variance / (T/curvature)": float(state.params["x"].var()) / expected,
        "standard error": (2 / count) ** 0.5,
    }


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = {name: measure(widths, arguments.rounds) for name, widths in WIDTHS.items()}
    for name, found in models.items():
        print(f"\n{name} ({found['num_parameters']} parameters): update alone, milliseconds")
        for contestant, value in found["update_milliseconds"].items():
            print(f"  {contestant:26s} {value:8.3f}")
        for name in ("one randn", "one draw in blocks"):
            print(f"  {name:26s} {found['median_milliseconds'][name]:8.3f}")
        for what, ratio in found["ratio_posteriors_over_localmin"].items():
            print(f"  posteriors / localmin, {what:22s} {ratio:5.2f}")
    checked = laws()
    print("\n", checked)
    result = {
        "question": __doc__.splitlines()[0] if __doc__ else "",
        "environment": {
            "torch": torch.__version__,
            "posteriors": importlib.metadata.version("posteriors"),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "threads": arguments.threads,
            "clock": "processor time",
        },
        "rounds": arguments.rounds,
        "models": models,
        "same_law": checked,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
