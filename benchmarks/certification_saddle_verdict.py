"""How many Hessian-vector products does the verdict "saddle" on a trained network take, against ARPACK?

Trains a small perceptron on the bundled digits, then asks for the sign of the smallest curvature in three
ways: `localmin.certify`, scipy's `eigsh` for the smallest eigenvalue on the same operator, and the dense
Hessian as truth. Also counts the products for a planted saddle among 100,000 parameters. Prints a table;
writes JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import scipy.sparse.linalg
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from localmin.certification import certify
from localmin.objective import HessianOperator, Objective
from localmin.tasks.environment import describe_device, versions

RESULTS = Path(__file__).parent / "results" / "certification_saddle_verdict.json"


def trained_objective(width: int, steps: int, seed: int) -> Objective:
    """Train a tanh perceptron on digits by Adam with the whole data in each step."""
    digits = load_digits()
    x, y = torch.tensor(digits.data) / 16.0, torch.tensor(digits.target)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, 10)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Objective(model, F.cross_entropy, (x, y), batch_size=450)


def arpack(objective: Objective, seed: int) -> dict[str, float]:
    """Ask scipy for the smallest eigenvalue with its default settings."""
    hessian = HessianOperator(objective)
    start = np.random.default_rng(seed).standard_normal(objective.num_parameters)
    began = time.perf_counter()
    try:
        value = float(
            scipy.sparse.linalg.eigsh(
                hessian.to_scipy(), k=1, which="SA", v0=start, return_eigenvectors=False
            )[0]
        )
    except scipy.sparse.linalg.ArpackNoConvergence:
        value = float("nan")
    return {
        "value": value,
        "num_hvps": hessian.num_products,
        "seconds": time.perf_counter() - began,
    }


def certificate(objective: Objective, seed: int) -> dict[str, float | str | bool]:
    """Certify, and check the certificate again."""
    began = time.perf_counter()
    found = certify(objective, gradient_tolerance=1e-2, seed=seed)
    seconds = time.perf_counter() - began
    return {
        "verdict": found.verdict,
        "curvature": found.curvature or 0.0,
        "num_hvps": found.num_hvps,
        "seconds": seconds,
        "rechecked": found.recheck(objective).holds,
    }


def digits_case(width: int, seeds: int) -> dict[str, object]:
    """Compare on one trained network, from several random starts."""
    objective = trained_objective(width, steps=600, seed=0)
    spectrum = torch.linalg.eigvalsh(HessianOperator(objective).dense())
    ours = [certificate(objective, seed) for seed in range(seeds)]
    theirs = [arpack(objective, seed) for seed in range(seeds)]
    our_median = statistics.median(float(run["num_hvps"]) for run in ours)
    their_median = statistics.median(run["num_hvps"] for run in theirs)
    return {
        "num_parameters": objective.num_parameters,
        "gradient_norm": float(objective.gradient().norm()),
        "smallest_eigenvalue": float(spectrum[0]),
        "largest_eigenvalue": float(spectrum[-1]),
        "localmin": ours,
        "arpack": theirs,
        "localmin_median_hvps": our_median,
        "arpack_median_hvps": their_median,
        "arpack_over_localmin_hvps": their_median / our_median,
    }


def planted_case(ratio: float, starts: int) -> dict[str, object]:
    """Count the products until a planted negative eigenvalue is found, from many random starts."""
    size = 100_000
    spectrum = torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    spectrum[0], spectrum[-1] = 1.0, -ratio
    objective = Objective.from_function(
        lambda p: 0.5 * (spectrum * p * p).sum(), torch.zeros(size, dtype=torch.float64)
    )
    runs = [certify(objective, seed=seed) for seed in range(starts)]
    counts = sorted(run.num_hvps for run in runs)
    return {
        "ratio": ratio,
        "starts": starts,
        "num_strict_saddle": sum(run.verdict == "strict-saddle" for run in runs),
        "median_hvps": statistics.median(counts),
        "99_percent_hvps": counts[min(starts - 1, int(0.99 * starts))],
        "largest_hvps": counts[-1],
    }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--widths", type=int, nargs="*", default=[16])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    digits = {f"digits 64-{width}-10": digits_case(width, options.seeds) for width in options.widths}
    print(
        f"{'trained network':20s}{'parameters':>12s}{'localmin':>12s}{'ARPACK':>12s}{'ratio':>8s}  products"
    )
    for name, row in digits.items():
        print(
            f"{name:20s}{row['num_parameters']:12}{row['localmin_median_hvps']:12}"
            f"{row['arpack_median_hvps']:12}{row['arpack_over_localmin_hvps']:8.1f}"
        )
    planted = [planted_case(ratio, options.starts) for ratio in (0.01, 0.003)] if options.starts else []
    for row in planted:
        print(
            f"planted -{row['ratio']}: {row['num_strict_saddle']} of {row['starts']} found, "
            f"median {row['median_hvps']}, 99 % within {row['99_percent_hvps']}, largest "
            f"{row['largest_hvps']} products"
        )
    record = {
        "device": describe_device("cpu"),
        "versions": versions(),
        "digits": digits,
        "planted": planted,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
