"""Write docs/comparison.md and its pictures from the recorded measurements.

    python benchmarks/sampling_comparison_page.py

Nothing is measured here: what a JSON file in benchmarks/results does not hold is not on the page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localmin.charts import Chart, Series
from localmin.reports.plots import write_svg

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "comparison.md"
FIGURES = ROOT / "docs" / "figures"
OURS = ("quick", "standard", "paper")
REFERENCES = ("uniform", "oracle")
CIFAR = "--data train.parquet --test test.parquet"

# File, heading, command.
CONDITIONS = (
    ("digits_symmetric40", "Digits, 40 % wrong labels", "digits --noise 0.4 --seeds 40-45"),
    ("digits_symmetric20", "Digits, 20 % wrong labels", "digits --noise 0.2 --seeds 40-45"),
    ("digits_pair40", "Digits, 40 % confused pairs", "digits --noise 0.4 --kind pair --seeds 40-45"),
    ("digits_clean_tail20", "Digits, long tail 1:20", "digits --noise 0 --imbalance 20 --seeds 40-45"),
    ("digits_clean", "Digits, right labels", "digits --noise 0 --seeds 40-45"),
    ("cifar10_symmetric40", "CIFAR-10, 40 % wrong labels", f"cifar10 --noise 0.4 --seeds 40-42 {CIFAR}"),
    ("cifar10_clean", "CIFAR-10, right labels", f"cifar10 --noise 0 --seeds 40-45 {CIFAR}"),
)

INTRODUCTION = Path(__file__).with_name("sampling_comparison_introduction.md")

TRANSFER_COLUMNS = (
    "uniform",
    "self",
    "narrow, numbers",
    "narrow, probabilities",
    "part of the data, numbers",
    "oracle",
)


def load(name: str) -> dict[str, Any] | None:
    """Read a record, if there is one."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def percent(value: float) -> str:
    """Show an accuracy."""
    return f"{100 * value:.1f}"


def with_error(cell: dict[str, Any], digits: int = 2) -> str:
    """Show a mean, its standard error and the worst seed."""
    error = "" if cell["se"] is None else f" +- {cell['se']:.{digits}f}"
    return f"{cell['mean']:.{digits}f}{error} ({cell['worst']:.{digits}f})"


def signed_with_error(cell: dict[str, Any]) -> str:
    """Show a gain in points, its standard error and the worst seed."""
    error = "" if cell["se"] is None else f" +- {cell['se']:.1f}"
    return f"{cell['mean']:+.1f}{error} ({cell['worst']:+.1f})"


def side_by_side(name: str, heading: str, command: str) -> Iterator[str]:
    """Write the table of one condition."""
    record = load(f"sampling_side_by_side_{name}")
    if record is None:
        return
    rows: dict[str, Any] = record["summary"]
    seeds = sorted({seed for row in rows.values() for seed in row["seeds"]})
    yield f"## {heading}\n"
    yield f"`python benchmarks/sampling_side_by_side.py {command}`; {len(seeds)} seeds.\n"
    yield "| arm | cost | test, % | gain +- se, points (worst seed) | gap +- se (worst seed) | seeds |"
    yield "|---|---|---|---|---|---|"
    for arm, row in sorted(rows.items(), key=lambda item: -item[1]["gain"]["mean"]):
        gap = "" if row["gap"] is None or arm in REFERENCES else with_error(row["gap"])
        gain = "" if arm == "uniform" else signed_with_error(row["gain"])
        label = f"**{arm}**" if arm in OURS else arm
        cells = (label, f"{row['cost']:.2f}", percent(row["test"]["mean"]), gain, gap, str(len(row["seeds"])))
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield verdict(rows)
    yield ""


def verdict(rows: dict[str, Any]) -> str:
    """Say who beats the presets, in words."""
    ours = {arm: rows[arm]["gain"]["mean"] for arm in OURS if arm in rows}
    peers = {arm: row["gain"]["mean"] for arm, row in rows.items() if arm not in (*OURS, *REFERENCES)}
    if not ours or not peers:
        return ""
    best = max(ours, key=lambda arm: ours[arm])
    above = [arm for arm, gain in peers.items() if gain > ours[best]]
    beside = [arm for arm, gain in peers.items() if "quick" in ours and ours[best] >= gain > ours["quick"]]
    parts = []
    if above:
        parts.append(f"**Better than every preset here: {'; '.join(above)}.**")
    else:
        parts.append(f"No peer beats the best preset, `{best}`.")
    if beside:
        parts.append(f"Better than `quick`: {'; '.join(beside)}.")
    quick = rows.get("quick")
    cheaper = [] if quick is None else [
        arm
        for arm, gain in peers.items()
        if rows[arm]["cost"] < quick["cost"] and abs(gain - ours["quick"]) <= 1 and gain > 1
    ]  # fmt: skip
    if cheaper:
        parts.append(f"Within a point of `quick` and cheaper: {'; '.join(cheaper)}.")
    harmed = [arm for arm, gain in peers.items() if gain < -0.5]
    if harmed:
        parts.append(f"Worse than uniform by more than half a point: {'; '.join(harmed)}.")
    return " ".join(parts)


def cost_curve(data: str, name: str) -> Chart | None:
    """Plot gap closed against cost."""
    record = load(f"sampling_side_by_side_{name}")
    if record is None:
        return None
    rows = {arm: row for arm, row in record["summary"].items() if row["gap"] and arm not in REFERENCES}
    shown = {arm: row for arm, row in rows.items() if row["gap"]["mean"] > -0.2}
    series = [
        Series(
            arm,
            (row["cost"],),
            (row["gap"]["mean"],),
            "points",
            "accent" if arm in OURS else "dashed",
            low=(row["gap"]["mean"] - (row["gap"]["se"] or 0),),
            high=(row["gap"]["mean"] + (row["gap"]["se"] or 0),),
        )
        for arm, row in sorted(shown.items(), key=lambda item: item[1]["cost"])
    ]
    return Chart(
        f"cost-{data}",
        f"Gap closed against cost, {data}, 40 % wrong labels",
        "cost in trainings, the last one included",
        "share of the gap closed",
        series,
        x_log=True,
        note="Error bars are standard errors over seeds.",
    )


def engine_chart(record: dict[str, Any]) -> Chart:
    """Plot the best score so far of every engine, in the shape of the paper's third figure."""
    rows = {name: row for name, row in record["summary"].items() if name.startswith("engine")}
    series = [
        Series(
            name.removeprefix("engine "),
            range(1, len(row["best_so_far"]) + 1),
            row["best_so_far"],
            "line",
            "accent" if "SS" in name else ("dashed" if "random" in name else "muted"),
        )
        for name, row in rows.items()
    ]
    return Chart(
        "engines", "Best score so far", "trials", "score on noisy labels, mean over seeds", series,
        note="All engines start from uniform and get no design of cuts.",
    )  # fmt: skip


def ablations() -> Iterator[str]:
    """Write the tables of parts, engines and trials."""
    record = load("sampling_ablations")
    if record is None or "summary" not in record:
        return
    rows = record["summary"]
    yield "## Ablations on digits, 40 % wrong labels\n"
    yield "`python benchmarks/sampling_ablations.py`; no guard; gap, mean +- se (worst seed).\n"
    yield "| form | features | cross-fit, cdf | cross-fit, cgf | warm-start, cdf | warm-start, cgf |"
    yield "|---|---|---|---|---|---|"
    for form in "abde":
        features = "loss" if form == "a" else "loss and renormed entropy"
        cells = []
        for proxy in ("cross-fit", "warm-start"):
            for transform in ("cdf", "cgf"):
                row = rows.get(f"{proxy} {form} {transform}")
                cells.append("" if row is None else with_error(row["gap"]))
        yield f"| {form} | {features} | {' | '.join(cells)} |"
    yield ""
    yield from engines(record)
    trials = {name: row for name, row in rows.items() if name.endswith(" trials")}
    if trials:
        yield "| trials of `standard`, one round | search cost | gap |"
        yield "|---|---|---|"
        for name, row in sorted(trials.items(), key=lambda item: int(item[0].split()[0])):
            yield f"| {name.split()[0]} | {row['search_cost']:.1f} | {with_error(row['gap'])} |"
        yield ""


def engines(record: dict[str, Any]) -> Iterator[str]:
    """Write the table of engines and point to its picture."""
    rows = {name: row for name, row in record["summary"].items() if name.startswith("engine")}
    if not rows:
        return
    yield "| engine alone, 24 trials after uniform | mean of best-so-far | gap of the pick |"
    yield "|---|---|---|"
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["area"]["mean"]):
        yield f"| {name.removeprefix('engine ')} | {row['area']['mean']:.3f} | {with_error(row['gap'])} |"
    yield "\n![Best score so far of each engine](figures/sampling_engines.svg)\n"


def transfer() -> Iterator[str]:
    """Write targets by sources."""
    for task in ("digits", "cifar10"):
        record = load(f"sampling_transfer_{task}")
        if record is None or "summary" not in record:
            continue
        rows = record["summary"]
        columns = [*TRANSFER_COLUMNS]
        yield f"## Transfer, {task}, 40 % wrong labels\n"
        yield (
            f"`python benchmarks/sampling_transfer.py {task}`. Test accuracy in percent and, in brackets, "
            "the share of the gain that a search on the target itself brings. *Numbers*: the ten numbers, "
            "features recomputed; *probabilities*: kept for each example. Policies by `quick`.\n"
        )
        yield f"| target | {' | '.join(columns)} |"
        yield "|---" * (len(columns) + 1) + "|"
        for target, row in rows.items():
            widths = "-".join(str(width) for width in record["widths"][target])
            cells = [
                "" if column not in row
                else percent(row[column]["mean"])
                + ("" if column in (*REFERENCES, "self") else f" ({row[column]['share_of_gain']:.2f})")
                for column in columns
            ]  # fmt: skip
            yield f"| {target} ({widths}) | {' | '.join(cells)} |"
        yield f"\n{rows[next(iter(rows))]['uniform']['count']} seeds.\n"


def following() -> Iterator[str]:
    """Write what features buy that follow the training."""
    record = load("sampling_follow")
    if record is None:
        return
    yield "## Features that follow the training\n"
    yield (
        "`python benchmarks/sampling_follow.py`. Test accuracy in percent of one training under a policy of "
        "`quick`: *fixed*, on the features it was found with; *recomputed* by half a training; *following*, "
        "placed anew after each epoch by what this very training says (`localmin train --follow`).\n"
    )
    columns = ("uniform", "fixed", "recomputed", "following", "oracle")
    yield f"| digits, wrong labels | {' | '.join(columns)} | following - fixed, points |"
    yield "|---" * (len(columns) + 2) + "|"
    for condition, row in record["summary"].items():
        gain = row["following - fixed"]
        cells = [percent(row[column]["mean"]) for column in columns]
        cells.append(
            f"{100 * gain['mean']:+.1f} +- {100 * gain['se']:.1f} (worst {100 * gain['worst']:+.1f})"
        )
        yield f"| {condition} | {' | '.join(cells)} |"
    yield f"\n{len(record['runs'])} seeds.\n"


def opinions() -> Iterator[str]:
    """Write what a second opinion on vectors buys."""
    record = load("sampling_opinion")
    if record is None:
        return
    yield "## A second opinion on vectors\n"
    yield (
        "`python benchmarks/sampling_opinion.py`. Gain of `quick` over uniform in points, mean +- standard "
        "error (worst seed), with the network's own features and averaged with those of a ridge regression "
        "on random waves; in brackets the price of the search in trainings.\n"
    )
    yield "| task | network alone | with a second opinion | difference |\n|---|---|---|---|"
    for condition, row in record["summary"].items():
        cells = [f"{signed_with_error(row['gain'][arm])} [{row['cost'][arm]:.2f}]" for arm in row["gain"]]
        yield f"| {condition} | {' | '.join(cells)} | {signed_with_error(row['difference'])} |"
    yield f"\n{len(record['runs'])} seeds.\n"


def feature_areas() -> Iterator[str]:
    """Write the table of features."""
    record = load("sampling_feature_auc")
    if record is None or "summary" not in record:
        return
    yield "## Features on hard images\n"
    yield (
        "CIFAR-10, 4,000 images, 40 % wrong labels, network `cnn`: area under the ROC curve for finding "
        "wrong labels. "
        f"`python benchmarks/sampling_feature_auc.py {CIFAR}`; {len(record['runs'])} seed(s).\n"
    )
    yield "| feature | area |\n|---|---|"
    for name, row in record["summary"].items():
        yield f"| {name} | {row['mean']:.3f} |"
    yield ""


def charts() -> dict[str, Chart]:
    """Name the pictures."""
    found = {}
    for data, name in (("digits", "digits_symmetric40"), ("cifar10", "cifar10_symmetric40")):
        chart = cost_curve(data, name)
        if chart is not None:
            found[f"sampling_cost_{data}"] = chart
    record = load("sampling_ablations")
    if record is not None and any(name.startswith("engine") for name in record.get("summary", {})):
        found["sampling_engines"] = engine_chart(record)
    return found


def page() -> str:
    """Write the whole page."""
    parts = [INTRODUCTION.read_text()]
    names = charts()
    parts.append("## Gap closed against cost\n")
    for data in ("digits", "cifar10"):
        if f"sampling_cost_{data}" in names:
            parts.append(f"![Gap closed against cost, {data}](figures/sampling_cost_{data}.svg)\n")
    for condition in CONDITIONS:
        parts += side_by_side(*condition)
    parts += [*feature_areas(), *opinions(), *transfer(), *following(), *ablations()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def main() -> None:
    """Write page and pictures."""
    FIGURES.mkdir(exist_ok=True)
    for name, chart in charts().items():
        write_svg(chart, FIGURES / f"{name}.svg")
    PAGE.write_text(page())
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
