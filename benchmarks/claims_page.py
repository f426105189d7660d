"""Record what `localmin reproduce` found, and write docs/claims.md from the record.

    localmin reproduce --out runs/claims && python benchmarks/claims_page.py runs/claims
    python benchmarks/claims_page.py        # the page alone

A run of some claims replaces those in the record. Nothing is measured here. Pictures and rows stay in the run
folder, whose `claims.html` shows them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localmin.tasks.schemas import read_versioned, write_versioned

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "benchmarks" / "results" / "claims_full.json"
PAGE = ROOT / "docs" / "claims.md"
NOT_RECORDED = ("rows", "figures")
WORDS = {"holds": "holds here", "partly": "only partly", "does-not-hold": "does not hold here"}

INTRODUCTION = """# What the papers claim, and what was found

Every claim is an experiment of `localmin reproduce`, which prints what was expected, what was measured
and how far apart they may be. This page is written by `python benchmarks/claims_page.py` from runs in full
size, on two shared CPU cores, seed 0. The claims are stated in our own words. *Holds
here* means: in this experiment, on these data, at this size; an experiment proves no theorem. Where the
paper's scale needs GPUs, the experiment is scaled down and says so. `localmin reproduce --quick` takes
small sizes; the page that either writes, `claims.html`, has the pictures.
"""


def show(value: Any) -> str:
    """Write a measured value in a few characters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {show(part)}" for name, part in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(show(part) for part in value) + "]"
    return "none" if value is None else str(value)


def table(claims: list[dict[str, Any]]) -> Iterator[str]:
    """List the verdicts."""
    yield "| claim | verdict | minutes |"
    yield "|---|---|---|"
    for one in claims:
        scaled = ", scaled down" if one["is_scaled_down"] else ""
        name, verdict = one["claim"], WORDS[one["verdict"]]
        yield f"| [{name}](#{name}) | {verdict}{scaled} | {one['seconds'] / 60:.1f} |"


def details(one: dict[str, Any]) -> Iterator[str]:
    """Say everything about one claim."""
    yield f"({one['claim']})=\n### {one['claim']}\n"
    yield f"{one['statement']}\n"
    yield f"* Verdict: **{WORDS[one['verdict']]}**{' (scaled down)' if one['is_scaled_down'] else ''}"
    yield f"* Expected: {one['expected']}"
    yield "* Measured: " + "; ".join(
        f"{name.replace('_', ' ')}: {show(value)}" for name, value in one["measured"].items()
    )
    yield f"* Tolerance: {one['tolerance']}"
    if one["remark"]:
        yield f"* Remark: {one['remark']}"
    yield ""


def page(record: dict[str, Any]) -> str:
    """Write the whole page."""
    claims = record["claims"]
    counts = {verdict: sum(one["verdict"] == verdict for one in claims) for verdict in WORDS}
    lines = [INTRODUCTION]
    counted = f"{counts['holds']} hold here, {counts['partly']} only partly, {counts['does-not-hold']} do not"
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines.append(f"{len(claims)} claims: {counted}. Times are wall clock on a busy machine. {versions}.\n")
    lines += table(claims)
    for paper in dict.fromkeys(one["paper"] for one in claims):
        lines.append(f"\n## {paper}\n")
        for one in claims:
            if one["paper"] == paper:
                lines += details(one)
    return "\n".join(lines).rstrip() + "\n"


def merge(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put what was found in place of what the record holds on the same claims, in the order of the record."""
    if not RECORD.exists():
        return found
    new = {one["claim"]: one for one in found}
    recorded = read_versioned(RECORD, "claims")["claims"]
    return [new.pop(one["claim"], one) for one in recorded] + list(new.values())


def main(arguments: list[str]) -> None:
    """Take over a run, if one is named, and write the page."""
    if arguments:
        found = read_versioned(Path(arguments[0]) / "result.json", "claims")
        kept = [{k: v for k, v in one.items() if k not in NOT_RECORDED} for one in found["claims"]]
        claims = merge(kept)
        failed = sum(one["verdict"] == "does-not-hold" for one in claims)
        write_versioned(RECORD, "claims", found | {"claims": claims, "num_failed": failed})
    PAGE.write_text(page(json.loads(RECORD.read_text())))
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
