"""Recorded measurements: nothing is measured twice, nothing is lost."""

import json
from pathlib import Path

import pytest

from localmin.experiments.recorded_runs import RecordedRuns, mean_and_worst


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    calls: list[int] = []

    def measure() -> dict[str, float]:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return {"test": 0.5}

    record = RecordedRuns(path, {"task": "digits"})
    record.once(1, "arm", measure)
    with pytest.raises(KeyboardInterrupt):
        record.once(2, "arm", measure)
    again = RecordedRuns(path, {"task": "digits"})
    for seed in (1, 2):
        assert again.once(seed, "arm", measure)["test"] == 0.5
    assert len(calls) == 3
    again.save(summary={"rows": 2})
    stored = json.loads(path.read_text())
    assert stored["summary"] == {"rows": 2}
    assert list(stored["runs"]) == ["1", "2"]
    assert "versions" in stored


def test_mean_of_one_value_has_no_error() -> None:
    assert mean_and_worst([2.0]) == {"mean": 2.0, "se": None, "worst": 2.0, "count": 1}
