"""Launchers of one search in a real PostgreSQL: one is killed, the other goes on, every trial counts once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy

import localmin
from localmin.sampling.execution import Database

SCRIPT = """
import json, sys
import torch
from test_shared_search import run_search

torch.set_num_threads(1)
print(json.dumps(run_search(*sys.argv[1:])))
"""


def run_search(url: str | None, out: str) -> Any:
    """Search as one of the launchers, or alone; give what does not depend on the time it took."""
    task = localmin.tasks.digits(noise=0.4, seed=0, epochs=10)
    storage = None if url is None else Database(url, lease=2.0)
    result = localmin.search(task, trials=11, storage=storage, out=out).to_dict()
    del result["cost"]["seconds"]
    return json.loads(json.dumps(result))


def launch(folder: Path, url: str, out: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, url, str(folder / out)]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path})


def finish(process: subprocess.Popen[str]) -> object:
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return json.loads(out)


@pytest.mark.slow
def test_one_of_two_launchers_is_killed(postgres: str, tmp_path: Path) -> None:
    url = postgres.replace("postgresql:", "postgresql+psycopg:")
    engine = sqlalchemy.create_engine(url)
    running = sqlalchemy.text(
        "select count(*) from localmin_stages where owner = :owner and name like 'trial-%' and done = 0"
    )
    first = launch(tmp_path, postgres, "first")
    second = launch(tmp_path, postgres, "second")
    name = tmp_path / "first" / "launcher.json"
    while first.poll() is None:  # until it is in the middle of a trial
        if name.exists() and (tmp_path / "first" / "stages" / "round-1-features.json").exists():
            owner = json.loads(name.read_text())["name"]
            with engine.begin() as connection:
                if connection.execute(running, {"owner": owner}).scalar():
                    break
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    found = finish(second)
    # the one that was killed is started again, when all is done
    assert run_search(postgres, str(tmp_path / "first")) == found
    assert run_search(None, str(tmp_path / "alone")) == found
    with engine.begin() as connection:
        rows = connection.execute(
            sqlalchemy.text(
                "select name, done from localmin_stages where study like 'digits-%' and name like 'trial-%'"
            )
        ).all()
    assert sorted(map(tuple, rows)) == [(f"trial-{k:03d}", 1) for k in range(11)]
    storage = optuna.storages.RDBStorage(url)
    (study,) = [s for s in optuna.get_all_study_names(storage) if s.startswith("digits")]
    trials = optuna.load_study(study_name=study, storage=storage).get_trials()
    assert sorted(trial.user_attrs["number"] for trial in trials) == list(range(11))
    engine.dispose()
