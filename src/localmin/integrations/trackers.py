"""A finished run, sent to an experiment tracker: TensorBoard, Weights & Biases, MLflow, or JSON lines."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from localmin.errors import InputError, MissingDependencyError, RunFolderError
from localmin.sampling.stored import read_summary
from localmin.tasks.storage import write_text

__all__ = ["TRACKERS", "Measurement", "Tracker", "export_run", "measurements", "mlflow_uri"]

_FILES = ("report.html", "policy.json", "dropped.csv")


@dataclass(frozen=True)
class Measurement:
    """One number of a run at one step.

    Args:
        name: Such as ``"seed 0/trial score"``.
        step: Number of the trial or of the epoch; 0 for what is measured once.
        value: Finite.
    """

    name: str
    step: int
    value: float


class Tracker(Protocol):
    """Takes the numbers and files of one run."""

    def settings(self, values: dict[str, Any]) -> None:
        """Take what the run was made with, one level deep."""

    def measure(self, measurement: Measurement) -> None:
        """Take one number."""

    def file(self, path: Path) -> None:
        """Take a copy of a file."""


def measurements(result: dict[str, Any]) -> Iterator[Measurement]:
    """List the numbers of ``result.json`` that a tracker can draw.

    Args:
        result: Content of the file.

    Yields:
        Per seed the trials' scores over trials, the training losses of each arm over epochs, the test scores;
        then gain and cost.
    """
    for seed in result["per_seed"]:
        name = f"seed {seed['seed']}"
        for trial in seed["trials"]:
            for key in ("score", "posterior_mean"):
                yield from _finite(f"{name}/trial {key.replace('_', ' ')}", trial["number"], trial.get(key))
        for arm, values in seed["arms"].items():
            for epoch, loss in enumerate(values["losses"], start=1):
                yield from _finite(f"{name}/training loss {arm}", epoch, loss)
            yield from _finite(f"{name}/test {arm}", 0, values["test"])
    yield from _finite("gain over uniform", 0, result["gain"]["test"]["mean"])
    if result["gap_closed"] is not None:
        yield from _finite("gap closed", 0, result["gap_closed"]["mean"])
    for key in ("ratio", "guard_ratio", "seconds"):
        yield from _finite(f"cost {key.replace('_', ' ')}", 0, result["cost"][key])


def export_run(run: str | Path, tracker: str, *, directory: str | Path, project: str = "localmin") -> int:
    """Send a finished run to a tracker, below a local directory.

    Nothing goes over a network: Weights & Biases is used offline (``wandb sync`` uploads later, if you wish),
    MLflow with a local store.

    Args:
        run: Folder of a finished search.
        tracker: A key of `TRACKERS`.
        directory: Where the tracker keeps its files.
        project: Name of the project or experiment.

    Returns:
        Number of measurements sent.

    Raises:
        InputError: If the tracker is unknown.
        RunFolderError: If the folder holds no finished search.
        MissingDependencyError: If the tracker is not installed.
    """
    if tracker not in TRACKERS:
        raise InputError(f"unknown tracker {tracker!r}; choose one of {', '.join(TRACKERS)}")
    folder = Path(run)
    result = read_summary(folder)
    count = 0
    with TRACKERS[tracker](Path(directory), project, folder.resolve().name) as opened:
        opened.settings(_settings(result))
        try:
            for measurement in measurements(result):
                opened.measure(measurement)
                count += 1
        except (KeyError, TypeError, AttributeError) as error:
            raise RunFolderError(f"{folder / 'result.json'} is no result of a search ({error})") from None
        for name in _FILES:
            if (folder / name).exists():
                opened.file(folder / name)
    return count


def _finite(name: str, step: int, value: float | None) -> Iterator[Measurement]:
    if value is not None and math.isfinite(value):
        yield Measurement(name, step, float(value))


def _settings(result: dict[str, Any]) -> dict[str, Any]:
    chosen = {key: result.get(key) for key in ("command", "data", "metric", "recommendation", "device")}
    return chosen | {f"settings.{key}": value for key, value in dict(result.get("settings") or {}).items()}


def _load(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise MissingDependencyError(
            f"{extra} is not installed; `pip install localmin[trackers]` brings it"
        ) from None


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = []

    def settings(self, values: dict[str, Any]) -> None:
        self.lines.append({"settings": values})

    def measure(self, measurement: Measurement) -> None:
        self.lines.append({"name": measurement.name, "step": measurement.step, "value": measurement.value})

    def file(self, path: Path) -> None:
        self.lines.append({"file": str(path)})


@contextmanager
def _json_lines(directory: Path, project: str, name: str) -> Iterator[Tracker]:
    tracker = _JsonLines(directory / project / f"{name}.jsonl")
    yield tracker
    write_text(tracker.path, "".join(json.dumps(line, allow_nan=False) + "\n" for line in tracker.lines))


class _TensorBoard:
    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def settings(self, values: dict[str, Any]) -> None:
        rows = [f"| {key} | {value} |" for key, value in values.items()]
        self.writer.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *rows]))

    def measure(self, measurement: Measurement) -> None:
        self.writer.add_scalar(measurement.name, measurement.value, measurement.step)

    def file(self, path: Path) -> None:
        self.writer.add_text("files", str(path))


@contextmanager
def _tensorboard(directory: Path, project: str, name: str) -> Iterator[Tracker]:
    _load("tensorboard", "tensorboard")
    writer = _load("torch.utils.tensorboard", "tensorboard").SummaryWriter(str(directory / project / name))
    try:
        yield _TensorBoard(writer)
    finally:
        writer.close()


class _Wandb:
    def __init__(self, run: Any) -> None:
        self.run = run
        self.steps: set[str] = set()

    def settings(self, values: dict[str, Any]) -> None:
        self.run.config.update(values)

    def measure(self, measurement: Measurement) -> None:
        # Trials and epochs count differently, so every name has an axis of its own.
        axis = f"{measurement.name} step"
        if measurement.name not in self.steps:
            self.steps.add(measurement.name)
            self.run.define_metric(measurement.name, step_metric=axis)
        self.run.log({measurement.name: measurement.value, axis: measurement.step})

    def file(self, path: Path) -> None:
        self.run.save(str(path), base_path=str(path.parent), policy="now")


@contextmanager
def _wandb(directory: Path, project: str, name: str) -> Iterator[Tracker]:
    wandb = _load("wandb", "wandb")
    directory.mkdir(parents=True, exist_ok=True)
    run = wandb.init(project=project, name=name, dir=str(directory), mode="offline")
    try:
        yield _Wandb(run)
    finally:
        run.finish()


class _Mlflow:
    def __init__(self, client: Any, run_id: str) -> None:
        self.client, self.run_id = client, run_id

    def settings(self, values: dict[str, Any]) -> None:
        for key, value in values.items():
            # MLflow refuses parameters of more than 6,000 characters.
            self.client.log_param(self.run_id, key, str(value)[:6000])

    def measure(self, measurement: Measurement) -> None:
        self.client.log_metric(self.run_id, measurement.name, measurement.value, step=measurement.step)

    def file(self, path: Path) -> None:
        self.client.log_artifact(self.run_id, str(path))


@contextmanager
def _mlflow(directory: Path, project: str, name: str) -> Iterator[Tracker]:
    client_class = _load("mlflow.tracking", "mlflow").MlflowClient
    directory.mkdir(parents=True, exist_ok=True)
    client = client_class(tracking_uri=mlflow_uri(directory))
    found = client.get_experiment_by_name(project)
    place = (directory.resolve() / "artifacts").as_uri()
    experiment = client.create_experiment(project, place) if found is None else found.experiment_id
    run = client.create_run(experiment, run_name=name)
    with ExitStack() as stack:
        stack.callback(client.set_terminated, run.info.run_id)
        yield _Mlflow(client, run.info.run_id)


def mlflow_uri(directory: Path) -> str:
    """Give the address of the local MLflow store in a directory, for ``mlflow ui --backend-store-uri``."""
    return f"sqlite:///{directory.resolve() / 'mlflow.db'}"


TRACKERS: dict[str, Callable[[Path, str, str], Any]] = {
    "jsonl": _json_lines,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
