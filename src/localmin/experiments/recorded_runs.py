"""Measurements by seed and name in one JSON file, rewritten after each, so that a killed run goes on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from localmin.tasks.environment import describe_device, versions
from localmin.tasks.storage import write_json

__all__ = ["RecordedRuns", "mean_and_worst"]


class RecordedRuns:
    """Keep measurements of many seeds.

    Args:
        path: Of the JSON file; read if it exists.
        about: What was measured, JSON types; replaces what the file says.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "record.json"
        >>> RecordedRuns(path).once(3, "arm", lambda: {"test": 0.5})["test"]
        0.5
        >>> RecordedRuns(path).once(3, "arm", lambda: 1 / 0)["test"]  # read, not measured again
        0.5
    """

    def __init__(self, path: Path, about: dict[str, Any] | None = None) -> None:
        self.path = path
        stored = json.loads(path.read_text()) if path.exists() else {}
        self.content: dict[str, Any] = {"runs": {}, **stored, **(about or {})}

    @property
    def runs(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Measurements by seed (as text), then by name."""
        runs: dict[str, dict[str, dict[str, Any]]] = self.content["runs"]
        return runs

    def once(self, seed: int, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Measure, unless the file has it.

        Args:
            seed: Of the measurement.
            name: Of what is measured.
            measure: Gives JSON types.

        Returns:
            What was measured, now or earlier, and the seconds it took.
        """
        runs = self.runs.setdefault(str(seed), {})
        if name not in runs:
            began = time.perf_counter()
            found = measure()
            runs[name] = {**found, "seconds": round(time.perf_counter() - began, 1)}
            self.save()
        return runs[name]

    def save(self, **summary: Any) -> None:
        """Write the file, with what is given as further keys, the versions and the device."""
        self.content |= summary | {"device": describe_device("cpu"), "versions": versions()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self.content)


def mean_and_worst(values: Sequence[float]) -> dict[str, Any]:
    """Compute the mean over seeds, its standard error (None for one value), the lowest value and the count.

    Args:
        values: One per seed, at least one.

    Returns:
        ``mean``, ``se``, ``worst``, ``count``.

    Example:
        >>> mean_and_worst([1.0, 3.0])
        {'mean': 2.0, 'se': 1.0, 'worst': 1.0, 'count': 2}
    """
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"mean": fmean(values), "se": error, "worst": min(values), "count": len(values)}
