from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from localmin.sampling.trial_log import TrialLog

NAMES = ("x", "y")


def read(path: Path) -> list[optuna.trial.FrozenTrial]:
    study = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))
    return list(study.get_trials())


def write(path: Path, count: int) -> None:
    log = TrialLog(path, study_name="s", parameter_names=NAMES)
    for number in range(count):
        log.record(number, [0.1 * number, 1.0], 0.5 + number, {"kind": "cut", "cut": None, "epochs": 2.5})


def test_optuna_reads_the_trials(tmp_path: Path) -> None:
    path = tmp_path / "trials.log"
    write(path, 3)
    trials = read(path)
    assert [trial.value for trial in trials] == [0.5, 1.5, 2.5]
    assert trials[2].params == {"x": 0.2, "y": 1.0}
    assert trials[0].user_attrs == {"kind": "cut", "cut": None, "epochs": 2.5}


def test_whatever_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "trials.log"
    write(path, 2)
    path.write_bytes(path.read_bytes()[:-9] + b"\xff garbage")
    (tmp_path / "trials.log.lock").write_text("stale")
    write(path, 4)
    assert len(read(path)) == 4


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    TrialLog(None, study_name="s", parameter_names=NAMES).record(0, [0.0, 0.0], 1.0, {})
    assert list(tmp_path.iterdir()) == []
