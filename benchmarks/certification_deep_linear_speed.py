"""How much faster is the algebraic classification of a deep linear network than dense eigenvalues?

Classifies one point of each kind at width 64 and depth 6 (24,576 parameters) and computes the eigenvalues of
dense Hessians of smaller widths at the same depth. Their time grows with the third power of the number of
parameters, so the largest one measured bounds the time at width 64 from below: the ratio printed is a
lower bound of the true one. A matrix of random numbers stands in for the Hessian, which is not even built.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Literal

import torch

from localmin.certification import classify_deep_linear, construct_critical_point
from localmin.tasks.environment import describe_device, versions

RESULTS = Path(__file__).parent / "results" / "certification_deep_linear_speed.json"
DEPTH, WIDTH = 6, 64


def classification(kind: str, repeats: int) -> dict[str, object]:
    """Time the classification of a constructed point with a known verdict."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, WIDTH, generator=generator, dtype=torch.float64)
    y = torch.randn(200, WIDTH, generator=generator, dtype=torch.float64)
    selected = {
        "global-minimum": range(1, WIDTH + 1),
        "exchange": range(2, 21),
        "pivot": range(1, 21),
        "tight": range(1, 21),
    }[kind]
    seeds = range(50) if kind == "pivot" else range(1)
    for seed in seeds:
        links: Literal["random", "none"] = "random" if kind == "pivot" else "none"
        point = construct_critical_point(
            x, y, (WIDTH,) * (DEPTH - 1), selected=list(selected), links=links, seed=seed
        )
        if kind != "pivot" or point.reason == "pivot":
            break
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        found = classify_deep_linear(point.weights, x, y)
        seconds.append(time.perf_counter() - began)
    return {
        "kind": kind,
        "constructed": point.verdict,
        "classified": found.verdict,
        "reason": found.reason,
        "seconds": statistics.median(seconds),
    }


def dense_seconds(width: int) -> float:
    """Time the eigenvalues of a symmetric matrix of the size of the Hessian."""
    size = DEPTH * width * width
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix += matrix.mT.clone()
    began = time.perf_counter()
    torch.linalg.eigvalsh(matrix)
    return time.perf_counter() - began


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dense-widths", type=int, nargs="*", default=[16, 20, 24])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    points = [
        classification(kind, options.repeats) for kind in ("global-minimum", "exchange", "pivot", "tight")
    ]
    for point in points:
        print(f"{point['kind']:16s}{point['classified']:20s}{point['seconds']:8.3f} s")
    dense = {width: dense_seconds(width) for width in options.dense_widths}
    for width, seconds in dense.items():
        print(f"dense eigenvalues, width {width} ({DEPTH * width * width} parameters): {seconds:8.2f} s")
    slowest = max(float(str(point["seconds"])) for point in points)
    largest = max(dense)
    growth = (WIDTH / largest) ** 6
    record = {
        "depth": DEPTH,
        "width": WIDTH,
        "num_parameters": DEPTH * WIDTH * WIDTH,
        "classification": points,
        "dense_seconds": {str(width): seconds for width, seconds in dense.items()},
        "ratio_at_least": dense[largest] / slowest,
        "ratio_extrapolated": dense[largest] * growth / slowest,
        "device": describe_device("cpu"),
        "versions": versions(),
    }
    print(
        f"slowest classification {slowest:.2f} s: at least {record['ratio_at_least']:.1f} times faster than "
        f"dense eigenvalues at width {largest} alone; extrapolated to width {WIDTH}: "
        f"{record['ratio_extrapolated']:.0f}"
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
