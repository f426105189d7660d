"""Every tracker against its own library: what was sent can be read back."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from localmin.cli import main
from localmin.errors import InputError, MissingDependencyError, RunFolderError
from localmin.integrations.trackers import TRACKERS, export_run, measurements, mlflow_uri


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracked") / "my-run"
    with pytest.raises(SystemExit) as stop:
        main(
            ["search", "digits", "--noise", "0.4", "--epochs", "2", "--preset", "quick", "--out", str(folder)]
        )
    assert stop.value.code == 0
    return folder


def result(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "result.json").read_text())
    return content


def test_measurements_are_those_of_the_result(run: Path) -> None:
    found = list(measurements(result(run)))
    seed = result(run)["per_seed"][0]
    scores = {one.step: one.value for one in found if one.name == "seed 0/trial score"}
    assert scores == {trial["number"]: trial["score"] for trial in seed["trials"]}
    losses = [one.value for one in found if one.name == "seed 0/training loss uniform"]
    assert losses == seed["arms"]["uniform"]["losses"]
    assert {one.name for one in found if one.step == 0} >= {
        "seed 0/test searched",
        "gain over uniform",
        "gap closed",
    }


def test_json_lines(run: Path, tmp_path: Path) -> None:
    count = export_run(run, "jsonl", directory=tmp_path, project="p")
    lines = [json.loads(line) for line in (tmp_path / "p" / "my-run.jsonl").read_text().splitlines()]
    assert sum("value" in line for line in lines) == count
    assert lines[0]["settings"]["data"] == "digits"


def test_tensorboard_reads_it_back(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    export_run(run, "tensorboard", directory=tmp_path)
    events = EventAccumulator(str(tmp_path / "localmin" / "my-run"))
    events.Reload()
    losses = result(run)["per_seed"][0]["arms"]["searched"]["losses"]
    found = events.Scalars("seed 0/training loss searched")
    assert [event.value for event in found] == pytest.approx(losses, rel=1e-6)
    assert [event.step for event in found] == list(range(1, len(losses) + 1))


@pytest.mark.slow
def test_mlflow_reads_it_back(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    export_run(run, "mlflow", directory=tmp_path / "store", project="p")
    export_run(run, "mlflow", directory=tmp_path / "store", project="p")
    client = MlflowClient(tracking_uri=mlflow_uri(tmp_path / "store"))
    experiment = client.get_experiment_by_name("p")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 2
    assert runs[0].data.metrics["seed 0/test uniform"] == result(run)["uniform"]["test"]["mean"]
    assert runs[0].data.params["data"] == "digits"
    assert runs[0].info.status == "FINISHED"
    assert "policy.json" in {file.path for file in client.list_artifacts(runs[0].info.run_id)}


@pytest.mark.slow
def test_wandb_works_offline(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    export_run(run, "wandb", directory=tmp_path)
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert list(folder.glob("*.wandb"))
    assert (folder / "files" / "policy.json").exists()


def test_the_dashboard_shows_the_study(run: Path, tmp_path: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    shutil.copy(run / "trials.log", tmp_path / "trials.log")
    application = dashboard.wsgi(JournalStorage(JournalFileBackend(str(tmp_path / "trials.log"))))
    answer: list[str] = []

    def start(status: str, *_: object) -> None:
        answer.append(status)

    request = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies", "QUERY_STRING": "", "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(),
    }  # fmt: skip
    body = b"".join(application(request, start))
    assert answer == ["200 OK"]
    assert [study["study_name"] for study in json.loads(body)["study_summaries"]] == ["digits"]


def test_unknown_trackers_missing_packages_and_folders_are_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="jsonl, tensorboard, wandb, mlflow"):
        export_run(run, "notebook", directory=tmp_path)
    with pytest.raises(RunFolderError, match="no finished search"):
        export_run(tmp_path, "jsonl", directory=tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "result.json").write_text('{"a": 1}')
    with pytest.raises(RunFolderError, match="not the result of a search"):
        export_run(tmp_path / "other", "jsonl", directory=tmp_path)

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("localmin.integrations.trackers.import_module", missing)
    for tracker in set(TRACKERS) - {"jsonl"}:
        with pytest.raises(MissingDependencyError, match=r"localmin\[trackers\]"):
            export_run(run, tracker, directory=tmp_path)


def test_the_command_says_what_it_sent(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["track", str(run), "--dir", str(tmp_path), "--json"])
    assert stop.value.code == 0
    assert json.loads(capsys.readouterr().out)["num_measurements"] > 10
