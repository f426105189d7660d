"""What do other curvature tools say about the smallest eigenvalue of a trained network, and how fast?

Trains a tanh perceptron on the bundled digits, cut into batches of which the last is smaller, and compares
localmin with curvlinops and hessian-eigenthings: time of a Hessian-vector product, in turn in one process,
and the smallest eigenvalue against the dense Hessian. The peers are no dependencies; install them into an
environment of their own (curvlinops pulls torchvision unless installed without dependencies). What is missing
is left out. Prints tables; writes JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse.linalg
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from localmin.certification import certify
from localmin.objective import HessianOperator, Objective
from localmin.tasks.environment import describe_device, versions

RESULTS = Path(__file__).parent / "results" / "certification_peers.json"
BATCH_SIZE = 450
PEERS = ("curvlinops", "hessian_eigenthings")


def trained(width: int) -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
    """Train by Adam with the whole data in each step; give the network and its batches."""
    digits = load_digits()
    x, y = torch.tensor(digits.data) / 16.0, torch.tensor(digits.target)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, 10)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(600):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model, list(zip(torch.split(x, BATCH_SIZE), torch.split(y, BATCH_SIZE), strict=True))


def peers() -> dict[str, Any]:
    """Import what is installed."""
    found = {}
    for name in PEERS:
        try:
            found[name] = importlib.import_module(name)
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return found


def products(
    model: nn.Module, data: list[tuple[Tensor, Tensor]], tools: dict[str, Any], vector: Tensor
) -> dict[str, Callable[[], Any]]:
    """Build one function for each tool that multiplies by the Hessian."""
    kept = Objective(model, F.cross_entropy, data)
    fresh = Objective(model, F.cross_entropy, data, max_cache_bytes=0)
    runs: dict[str, Callable[[], Any]] = {
        "localmin": lambda: kept.hvp(vector),
        "localmin, nothing kept": lambda: fresh.hvp(vector),
    }
    if "curvlinops" in tools:
        linear = tools["curvlinops"].HessianLinearOperator(
            model, nn.CrossEntropyLoss(), list(model.parameters()), data, check_deterministic=False
        )
        runs["curvlinops"] = lambda: linear @ vector
    if "hessian_eigenthings" in tools:
        operator = eigenthings_operator(tools["hessian_eigenthings"], model, data)
        runs["hessian-eigenthings"] = lambda: operator.matvec(vector)
    return runs


def eigenthings_operator(tool: Any, model: nn.Module, data: list[tuple[Tensor, Tensor]]) -> Any:
    """Build the operator of hessian-eigenthings over all batches."""
    return tool.HessianOperator(model, data, tool.supervised_loss(F.cross_entropy))


def speed(width: int, tools: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Time every tool in turn on one network; show how far its product is from localmin's."""
    model, data = trained(width)
    size = sum(part.numel() for part in model.parameters())
    vector = torch.randn(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    runs = products(model, data, tools, vector)
    expected = runs["localmin"]()
    errors = {
        name: float((torch.as_tensor(run()) - expected).norm() / expected.norm())
        for name, run in runs.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "num_parameters": size,
        "milliseconds": {name: 1e3 * value for name, value in medians.items()},
        "times_localmin": {name: value / medians["localmin"] for name, value in medians.items()},
        "relative_difference_from_localmin": errors,
    }


def smallest(width: int, tools: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask every tool for the smallest eigenvalue, or its sign."""
    model, data = trained(width)
    objective = Objective(model, F.cross_entropy, data)
    rows = []

    def note(tool: str, run: Callable[[], tuple[float, float | None, str]]) -> None:
        began = time.perf_counter()
        value, count, remark = run()
        seconds = time.perf_counter() - began
        rows.append({"tool": tool, "value": value, "num_hvps": count, "seconds": seconds, "remark": remark})

    def dense() -> tuple[float, float | None, str]:
        hessian = HessianOperator(objective)
        return float(torch.linalg.eigvalsh(hessian.dense())[0]), hessian.num_products, "truth"

    def verdict() -> tuple[float, float | None, str]:
        found = certify(objective, gradient_tolerance=1e-2)
        return found.curvature or float("nan"), found.num_hvps, f"{found.verdict}; a witness, no eigenvalue"

    def arpack() -> tuple[float, float | None, str]:
        hessian = HessianOperator(objective)
        start = np.random.default_rng(0).standard_normal(objective.num_parameters)
        value = scipy.sparse.linalg.eigsh(
            hessian.to_scipy(), k=1, which="SA", v0=start, return_eigenvectors=False
        )
        return float(value[0]), hessian.num_products, "scipy's defaults"

    note("dense Hessian", dense)
    note("localmin certify", verdict)
    note("localmin products, scipy eigsh", arpack)
    if "hessian_eigenthings" in tools:
        tool = tools["hessian_eigenthings"]
        operator = eigenthings_operator(tool, model, data)
        for steps in (None, 60, 300):

            def lanczos(steps: int | None = steps) -> tuple[float, float | None, str]:
                options = {} if steps is None else {"max_iter": steps}
                found = tool.lanczos(operator, k=1, which="SA", seed=0, **options)
                # By their position: the names of the result change between releases.
                return (
                    float(torch.as_tensor(found.eigenvalues).flatten()[0]),
                    found.iterations,
                    str(f"converged: {bool(torch.as_tensor(found.converged).all())}"),
                )

            note(f"hessian-eigenthings, {steps or 'default'} iterations", lanczos)
    return rows


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="*", default=[16, 128])
    parser.add_argument("--repeats", type=int, default=31)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tools = peers()
    speeds = [speed(width, tools, options.repeats) for width in options.widths]
    for row in speeds:
        print(f"{row['num_parameters']} parameters: milliseconds for a product, times localmin's")
        for name, value in row["milliseconds"].items():
            print(f"  {name:28s}{value:10.2f}{row['times_localmin'][name]:8.2f}")
    rows = smallest(options.widths[0], tools)
    for row in rows:
        print(
            f"{row['tool']:44s}{row['value']:12.4e}{row['num_hvps'] or 0:8}{row['seconds']:9.2f} s  "
            f"{row['remark']}"
        )
    peer_versions = {name: str(getattr(tool, "__version__", "unknown")) for name, tool in tools.items()}
    record = {
        "repeats": options.repeats,
        "device": describe_device("cpu"),
        "versions": {**versions(), **peer_versions},
        "products": speeds,
        "smallest_eigenvalue": rows,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
