"""Write docs/peers.md, localmin beside other libraries, from the recorded measurements.

    python benchmarks/peers_page.py

Nothing is measured here: what a JSON file in benchmarks/results does not hold is not on the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "peers.md"

INTRODUCTION = """# Beside other libraries

Everything on this page was measured side by side in one run, on two shared CPU cores, and is written from
the recorded JSON by `python benchmarks/peers_page.py`. Ratios are what to look at; times belong to that
machine. Rows where another library is ahead are shown like all others. Data samplers against label-noise
methods have [a page of their own](comparison.md).
"""


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a Markdown table; numbers with three digits."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(text(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def text(value: object) -> str:
    """Show a cell."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)


def first_index(record: dict[str, Any]) -> str:
    """Compare the first index of weighted samplers."""
    rows = [
        [
            int(size),
            one.get("torch_sampler_over_ours"),
            one.get("our_memory_over_torch_sampler"),
            one.get("ours_over_randperm"),
            one.get("all_read_torch_over_ours"),
        ]
        for size, one in record["sizes"].items()
    ]
    head = [
        "weights",
        "torch's time / ours, first index",
        "our memory / torch's",
        "our time / torch.randperm",
        "torch's time / ours, whole epoch",
    ]
    return table(head, rows)


def products(record: dict[str, Any]) -> str:
    """Compare Hessian-vector products."""
    names = list(record["products"][0]["times_localmin"])
    rows = [
        [one["num_parameters"], *(one["times_localmin"][name] for name in names)]
        for one in record["products"]
    ]
    return table(["parameters", *(f"{name}, time / localmin's" for name in names)], rows)


def eigenvalues(record: dict[str, Any]) -> str:
    """Compare the sign of the smallest eigenvalue on a trained network."""
    rows = [
        [one["tool"], one["value"], one["num_hvps"], one["remark"]] for one in record["smallest_eigenvalue"]
    ]
    return table(["tool", "smallest eigenvalue or curvature", "products", "remark"], rows)


def saddle_verdict(record: dict[str, Any]) -> str:
    """Compare the products until the verdict with ARPACK's."""
    rows = [
        [name, one["num_parameters"], one["localmin_median_hvps"], one["arpack_median_hvps"],
         one["arpack_over_localmin_hvps"]]
        for name, one in record["digits"].items()
    ]  # fmt: skip
    return table(["network", "parameters", "products until the verdict", "scipy eigsh", "ratio"], rows)


def langevin_steps(record: dict[str, Any]) -> str:
    """Compare optimiser steps with posteriors'."""
    rows = []
    for name, one in record["models"].items():
        draw, ours = one["median_milliseconds"]["one draw in blocks"], one["update_milliseconds"]
        bound = draw + ours["localmin baoab T=0"]
        for key, ratio in one["ratio_posteriors_over_localmin"].items():
            scheme, temperature, what = key.split()
            limited = what == "update" and temperature == "T>0"
            theirs = ours[f"posteriors {scheme} {temperature}"]
            rows.append([name, key, ratio, *([theirs / bound] if limited else ["-"])])
    head = [
        "model",
        "scheme, temperature, what is timed",
        "posteriors' time / localmin's",
        "posteriors' time / (localmin's at T = 0 and one draw)",
    ]
    return table(head, rows)


def langevin_speed(record: dict[str, Any]) -> str:
    """Compare optimiser steps with torch's SGD with momentum."""
    rows = [
        [name, scheme, one["ratio"][f"{scheme} T=0"], one["ratio"][f"{scheme} T>0"],
         one["ratio_to_sgd_and_as_many_randn"][f"{scheme} T>0"], one["draws_alone"][f"{scheme} T>0"]]
        for name, one in record["models"].items()
        for scheme in (key.removesuffix(" T=0") for key in one["ratio"] if key.endswith(" T=0"))
    ]  # fmt: skip
    head = [
        "model",
        "scheme",
        "T = 0, / SGD",
        "T > 0, / (SGD + one randn)",
        "T > 0, / (SGD + as many randn as it draws)",
        "its draws alone / (SGD + one randn)",
    ]
    return table(head, rows)


def pruning(record: dict[str, Any]) -> str:
    """Compare ways to remove neurons at equal counts."""
    rows = [
        [one["method"], ", ".join(map(str, one["widths"])), one["output_change_relative"], one["norm_ratio"],
         one["train_accuracy"], one["held_out_accuracy"]]
        for one in record["rows"]
    ]  # fmt: skip
    head = [
        "method",
        "hidden widths",
        "output change, relative",
        "squared norm / before",
        "accuracy on the points",
        "held out",
    ]
    return table(head, rows)


def vertices(record: dict[str, Any]) -> str:
    """Compare vertex steps with a linear program."""
    rows = [
        [one["points"], one["neurons"], one["kept"], one["seconds"], one["linear_program_seconds"],
         one["linear_program_finished"], one["cost_ratio"], one["linear_program_cost_ratio"]]
        for one in record["vertices"]
    ]  # fmt: skip
    head = [
        "points",
        "neurons",
        "kept",
        "localmin, s",
        "HiGHS, s",
        "HiGHS finished",
        "norm / before",
        "HiGHS's",
    ]
    return table(head, rows)


def seminorm(record: dict[str, Any]) -> str:
    """Compare the exact semi-norm with linear programs."""
    rows = [
        [one["inputs"], one["kinks"], one["seconds"], one["linear_programs_seconds"], one["times_faster"]]
        for one in record["rows"]
        if "linear_programs_seconds" in one
    ]
    return table(["inputs", "kinks", "localmin, s", "linear programs, s", "ratio"], rows)


# Heading, record, what follows, what it shows, command.
SECTIONS: tuple[tuple[str, str, Callable[[dict[str, Any]], str], str, str], ...] = (
    ("Weighted sampling: torch's WeightedRandomSampler", "sampler_first_index", first_index,
     "torch's sampler refuses more than 2^24 weights (-). It draws independently, ours systematically.",
     "benchmarks/sampler_first_index.py"),
    ("Hessian-vector products: curvlinops, hessian-eigenthings", "certification_peers", products,
     "A kept graph of the gradient makes repeated products cheap; 'nothing kept' is the price without it.",
     "benchmarks/certification_peers.py"),
    ("The sign of the smallest eigenvalue", "certification_peers", eigenvalues,
     "A verdict needs a witness only: `certify` stops there. Given enough iterations all are right.",
     "benchmarks/certification_peers.py"),
    ("A saddle's verdict: scipy's ARPACK", "certification_saddle_verdict", saddle_verdict,
     "ARPACK computes the eigenvalue, which is more than a verdict needs.",
     "benchmarks/certification_saddle_verdict.py"),
    ("Langevin steps: posteriors", "langevin_peers", langevin_steps,
     "An iteration includes the gradient, which is the same work for both. At T > 0 both draw one normal per "
     "parameter; the last column is what would be left if our update cost nothing but that draw and the step "
     "without noise.", "benchmarks/langevin_peers.py"),
    ("Langevin steps: torch's SGD with momentum", "langevin_step_speed", langevin_speed,
     "`exponential` needs two independent normals per parameter. On the small model its draws and its step "
     "at T = 0 take longer together than 1.3 times SGD and one randn. On the large one noise is drawn in "
     "blocks that stay in the cache; the last column is for all parameters in one call.",
     "benchmarks/langevin_step_speed.py"),
    ("Removing neurons: torch-pruning, merging", "reduction_pruning_peers", pruning,
     "Pruning is made for training on afterwards; here nothing is trained on. Merging all dependent neurons "
     "keeps fewer and pays with the norm.", "benchmarks/reduction_pruning_peers.py"),
    ("Vertex steps: HiGHS", "reduction_speed", vertices,
     "A linear program that finishes finds a slightly smaller norm: it optimises, a vertex step does not.",
     "benchmarks/reduction_speed.py"),
    ("Exact distance of two networks: linear programs", "realization_exact_seminorm", seminorm,
     "Both enumerate the same regions.", "benchmarks/realization_exact_seminorm.py"),
)  # fmt: skip


def load(name: str) -> dict[str, Any] | None:
    """Read a record, if there is one."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def page() -> str:
    """Write the whole page."""
    parts = [INTRODUCTION]
    for heading, name, write, remark, command in SECTIONS:
        record = load(name)
        if record is not None:
            parts.append(f"## {heading}\n\n`python {command}`\n\n{write(record)}\n\n{remark}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE)
