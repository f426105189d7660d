"""Write docs/concepts/langevin_release.md, what noise does to trained classifiers, from recorded runs.

    python benchmarks/langevin_release_page.py

Nothing is measured here; `benchmarks/langevin_release.py` does that.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from localmin.charts import Chart
from localmin.langevin import Release, ReleaseStudy
from localmin.reports.plots import write_svg

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "concepts" / "langevin_release.md"
FIGURES = ROOT / "docs" / "figures"
NAMES = {"overdamped": "overdamped", "underdamped": "underdamped", "nonreversible": "non-reversible"}

SECTIONS = {
    "cifar10": (
        "Convolutions on CIFAR-10",
        "--data cifar10 --file ../shared/data/cifar10/train.parquet",
        "Stride-2 convolutions (26 154 parameters, SiLU, no batch norm) on 500 whitened images of 16 x 16.",
    ),
    "digits": (
        "One hidden layer on digits",
        "--data digits",
        "A perceptron with 16 hidden tanh neurons (1 210 parameters) on 400 of scikit-learn's digits.",
    ),
}

INTRODUCTION = Path(__file__).with_name("langevin_release_introduction.md")


def load(data: str) -> dict[str, Any] | None:
    """Read a record, if there is one."""
    path = RESULTS / f"langevin_release_{data}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _mean(values: Sequence[float], digits: int) -> str:
    error = statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.{digits}f} ± {error:.{digits}f}"


def _row(study: ReleaseStudy, dynamics: str, temperature: float) -> list[str]:
    def chosen(one: Release, wanted: float) -> bool:
        return one.dynamics == dynamics and one.temperature == wanted

    results = [one.result for one in study.releases if chosen(one, temperature)]
    control = [one.result for one in study.releases if chosen(one, 0.0)]
    gained = [hot.best_loss - cold.best_loss for hot, cold in zip(results, control, strict=True)]
    return [
        f"{temperature:g}",
        NAMES[dynamics],
        f"{sum(one.left for one in results)}/{len(results)}",
        f"{sum(one.num_escapes for one in results)}",
        _mean([one.highest_barrier or 0.0 for one in results], 4),
        f"{statistics.mean(one.distance for one in results):.2f}",
        _mean([one.best_loss for one in results], 5),
        _mean([one.loss_at_end for one in results], 5),
        "control" if temperature == 0 else _mean(gained, 5),
        f"{statistics.mean(one.checks[-1].gradient_norm for one in results):.4f}",
    ]


HEAD = (
    "T", "dynamics", "left", "escapes", "highest barrier", "distance", "best minimum", "last minimum",
    "best less control", "gradient there",
)  # fmt: skip


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _section(data: str, record: dict[str, Any]) -> str:
    title, options, network = SECTIONS[data]
    settings, study = record["settings"], ReleaseStudy.from_dict(record)
    starts = {one.seed: one.result for one in study.releases}.values()
    rows = [
        _row(study, dynamics, temperature)
        for temperature in dict.fromkeys(one.temperature for one in study.releases)
        for dynamics in NAMES
    ]
    hot = [one.result for one in study.releases if one.temperature > 0]
    best = {(one.dynamics, one.seed): one.result.best_loss for one in study.releases if one.temperature == 0}
    better = sum(
        one.result.best_loss < best[one.dynamics, one.seed] for one in study.releases if one.temperature > 0
    )
    norm = statistics.mean(one.gradient_norm_at_start for one in starts)
    hottest = max(one.temperature for one in study.releases)
    peaks = ", ".join(
        f"{NAMES[row['dynamics']]} {row['highest_loss']:.2f}"
        for row in study.table()
        if row["temperature"] == hottest
    )
    return f"""## {title}

`python benchmarks/langevin_release.py {options}`

{network}
Weight decay {settings["weight_decay"]:g}, `lr` {settings["lr"]:g},
{settings["num_steps"]} gradients per release,
a descent of {settings["descent"]["num_steps"]} steps every {settings["check_every"]}.
First minima: loss {_mean([one.loss_at_start for one in starts], 5)}, gradient norm {norm:.4f}.

{_table(rows)}

"Escapes" is the sum over seeds; barrier, distance (over the norm of the first minimum), losses and the
gradient norm at the last minimum are means over seeds, with standard errors. Of {len(hot)} releases with
noise, {better} found a lower loss than their control. Highest loss on the way at $T$ = {hottest:g}, mean over
seeds: {peaks}.

![Loss of the minimum below the path](../figures/langevin_release_{data}.svg)
"""


def charts() -> dict[str, Chart]:
    """Draw, for each record, the losses at the highest temperature."""
    records = {data: load(data) for data in SECTIONS}
    return {
        f"langevin_release_{data}": ReleaseStudy.from_dict(record).figures()[-1]
        for data, record in records.items()
        if record is not None
    }


def page() -> str:
    """Write the whole page."""
    parts = [INTRODUCTION.read_text()]
    for data in SECTIONS:
        record = load(data)
        if record is not None:
            parts.append(_section(data, record))
    return "\n".join(parts)


def main() -> None:
    """Write page and pictures."""
    FIGURES.mkdir(exist_ok=True)
    for name, chart in charts().items():
        write_svg(chart, FIGURES / f"{name}.svg")
    PAGE.write_text(page())
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
