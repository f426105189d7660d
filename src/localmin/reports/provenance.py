"""How a result was made, as rows of a name and a value."""

from __future__ import annotations

from dataclasses import dataclass

from localmin.reports.quantities import Quantity, Result
from localmin.reports.run_data import shown_seed

__all__ = ["Group", "provenance"]

_HIDDEN_PROVENANCE = {"seed", "clean_validation"}


@dataclass(frozen=True)
class Group:
    """Rows under a heading.

    Args:
        title: Of the group.
        rows: Name and value.
    """

    title: str
    rows: tuple[tuple[str, Quantity], ...]


def provenance(result: Result) -> list[Group]:
    """Group everything that decided the result.

    Args:
        result: Of a search.

    Returns:
        The run, the data, the training recipe, the settings of the search, the versions.
    """
    task = f"{shown_seed(result)}.task"
    run = (
        ("seeds", result.text("seeds")),
        ("device", result.text("device")),
        ("time, all seeds", result.duration("cost.seconds")),
        ("trials a seed", result.text("num_trials")),
        ("search, epochs", result.number("cost.search_epochs")),
        ("guard, epochs", result.number("cost.guard_epochs")),
        ("features", result.text(f"{shown_seed(result)}.candidate.origin.feature_source")),
    )
    data = (
        ("name", result.text("data")),
        *((f"{part} examples", result.count(f"{task}.sizes.{part}")) for part in result[f"{task}.sizes"]),
        ("classes", result.text(f"{task}.num_classes")),
        ("metric", result.text("metric")),
        *_noise(result),
        *_rows(result, f"{task}.provenance", hidden=_HIDDEN_PROVENANCE),
    )
    recipe = (("network", result.text(f"{task}.model")), *_rows(result, f"{task}.recipe"))
    return [
        Group("Run", run),
        Group("Data", data),
        Group("One training", recipe),
        Group("Settings of the search", _rows(result, "settings")),
        Group("Versions", _rows(result, "versions")),
    ]


def _noise(result: Result) -> tuple[tuple[str, Quantity], ...]:
    if result["noise"] is None:
        return ()
    return (
        ("noise, kind", result.text("noise.kind")),
        ("noise, asked for", result.percent("noise.rate")),
        ("noise, realised in training", result.percent("noise.realised")),
        ("noise, realised in validation", result.percent("noise.validation_realised")),
    )


def _rows(result: Result, key: str, *, hidden: set[str] | None = None) -> tuple[tuple[str, Quantity], ...]:
    return tuple(
        (name.replace("_", " "), result.text(f"{key}.{name}"))
        for name in result[key]
        if name not in (hidden or set())
    )
