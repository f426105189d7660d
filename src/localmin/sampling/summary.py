"""Results over seeds, as the one JSON object that `localmin search --json` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from torch import Tensor

from localmin.sampling.result import SearchResult
from localmin.tasks.environment import describe_device, versions
from localmin.tasks.schemas import versioned
from localmin.tasks.storage import write_json

__all__ = ["mean_and_error", "recommend", "summarize", "write_summary"]

_RARE = 0.5


def mean_and_error(values: Sequence[float]) -> dict[str, Any]:
    """Compute the mean over seeds and its standard error.

    Args:
        values: One per seed, at least one.

    Returns:
        ``mean``, ``se`` (None for a single value) and ``values``.

    Example:
        >>> mean_and_error([0.8, 0.9])["mean"], round(mean_and_error([0.8, 0.9])["se"], 3)
        (0.8500000000000001, 0.05)
    """
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"mean": fmean(values), "se": error, "values": list(values)}


def recommend(results: Sequence[SearchResult]) -> str:
    """Recommend ``"searched"`` if the guard accepted on more than half of the seeds, else ``"uniform"``.

    The test scores have no say: a recommendation that had seen them could not be trusted elsewhere.

    Args:
        results: One per seed.

    Returns:
        ``"searched"`` or ``"uniform"``.
    """
    accepted = sum(result.recommendation == "searched" for result in results)
    return "searched" if 2 * accepted > len(results) else "uniform"


def policy_seed(results: Sequence[SearchResult]) -> int:
    """Choose whose policy stands for all: the first seed whose recommendation is that of all."""
    wanted = recommend(results)
    return next(i for i, result in enumerate(results) if result.recommendation == wanted)


def summarize(results: Sequence[SearchResult], *, command: str, device: str = "cpu") -> dict[str, Any]:
    """Join the results of all seeds.

    Args:
        results: One per seed, of the same data and settings.
        command: What was typed, or the call.
        device: Where it ran.

    Returns:
        JSON types: scores with mean, standard error and values; gain of searched over uniform; gap closed;
        share of the examples that the recommended policies draw rarely or never; cost per seed;
        policy; recommendation; the details of each seed.
    """
    first = results[0]
    arms: dict[str, Any] = {
        name: {"test": mean_and_error([result.arms[name].test for result in results])}
        if all(name in result.arms for result in results)
        else None
        for name in ("uniform", "searched", "oracle")
    }
    gaps = [gap for gap in (result.gap_closed for result in results) if gap is not None]
    noise = first.task.noise
    chosen = policy_seed(results)
    costs = [result.cost for result in results]
    content = {
        "command": command,
        "data": first.task.name,
        "seeds": [result.seed for result in results],
        "noise": None
        if noise is None
        else noise.to_dict()
        | {"realised": fmean(r.task.noise.realised for r in results if r.task.noise is not None)},
        "kind": first.task.kind.name,
        "metric": first.task.metric,
        **arms,
        # Positive is better, whatever the metric's direction.
        "gain": {"test": mean_and_error([result.gain for result in results])},
        "gap_closed": mean_and_error(gaps) if gaps else None,
        "rarely_drawn": _rarely_drawn(results),
        "policy": results[chosen].policy.describe(),
        "policy_seed": results[chosen].seed,
        "num_trials": len(first.trials),
        "cost": {
            "search_epochs": fmean(cost.search_epochs for cost in costs),
            "training_epochs": costs[0].training_epochs,
            "ratio": fmean(cost.ratio for cost in costs),
            "guard_epochs": fmean(cost.guard_epochs for cost in costs),
            "guard_ratio": fmean(cost.guard_epochs / cost.training_epochs for cost in costs),
            "seconds": sum(cost.seconds for cost in costs),
        },
        "recommendation": recommend(results),
        "versions": versions(),
        "device": describe_device(device),
        "settings": first.settings,
        "per_seed": [result.to_dict() | {"classes": _classes(result)} for result in results],
    }
    return versioned("search", content)


def _draws(weights: Tensor) -> Tensor:
    return weights * (len(weights) / weights.sum())


def _rarely_drawn(results: Sequence[SearchResult]) -> dict[str, Any]:
    """Measure what share of the examples the recommended policies draw less than half as often as uniform."""
    shares = [float((_draws(result.weights) < _RARE).double().mean()) for result in results]
    return {"below": _RARE, "share": mean_and_error(shares)}


def _classes(result: SearchResult) -> list[dict[str, Any]]:
    """Count the examples of each class and average the candidate's expected draws per epoch over them."""
    task, draws = result.task, _draws(result.candidate_weights)
    if task.num_groups < 2:
        return []
    labels = task.train_groups
    counts = labels.bincount(minlength=task.num_classes)
    sums = labels.bincount(weights=draws, minlength=task.num_classes)
    return [
        {"name": name, "num_examples": int(count), "mean_draws": float(total / count) if count else None}
        for name, count, total in zip(task.class_names, counts, sums, strict=True)
    ]


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write ``result.json`` into a run folder, atomically."""
    write_json(path / "result.json", summary)
