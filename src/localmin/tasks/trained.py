"""A trained network together with the task it was trained on, from a run folder or a checkpoint."""

from __future__ import annotations

import pickle
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from localmin.errors import InputError, RunFolderError
from localmin.tasks.examples import Examples
from localmin.tasks.factories import is_factory
from localmin.tasks.recipe import Recipe
from localmin.tasks.request import TaskRequest
from localmin.tasks.run_folder import fingerprint
from localmin.tasks.schemas import read_versioned, write_versioned
from localmin.tasks.storage import read_json, read_tensors
from localmin.tasks.stored_fields import from_stored
from localmin.tasks.task import Task

__all__ = ["TrainedModel", "open_trained", "write_request"]

_REQUEST = "task.json"
_RUN_FILES = ("model.safetensors", "model.json", "result.json")
# torch's own formats; safetensors is preferred and needs no unpickling.
_TORCH_SUFFIXES = (".pt", ".pth", ".bin")


@dataclass(frozen=True)
class _StoredRequest:
    request: dict[str, Any]
    seed: int


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained network, and the data it was trained on.

    Args:
        model: In evaluation mode, on the CPU.
        task: Data, loss, recipe, with the split and the noise of the training.
        source: The run folder or the checkpoint, as given.
        weights: Relative drawing weights of the training examples, shape ``(n,)``; None for uniform or
            unknown.
    """

    model: nn.Module
    task: Task
    source: Path
    weights: Tensor | None = None

    def examples(self, part: str = "train", *, limit: int | None = None) -> tuple[Tensor, Tensor]:
        """Give the prepared inputs and the labels of a part.

        Args:
            part: ``"train"``, ``"validation"`` or ``"test"``.
            limit: At most so many, evenly spaced; None gives all.

        Returns:
            Normalised inputs, floating point, and labels, as the network was fed. An unknown part or a limit
            below 1 is an `InputError`.
        """
        chosen = self._part(part)
        if limit is not None:
            chosen = chosen.subset(self.positions(part, limit=limit))
        return self.task.prepare(chosen.inputs), chosen.labels

    def positions(self, part: str = "train", *, limit: int) -> Tensor:
        """Choose evenly spaced examples of a part.

        Args:
            part: As in `examples`.
            limit: At most so many.

        Returns:
            Their positions in the part, int64, increasing.

        Raises:
            InputError: If there is no such part, or the limit is below 1.
        """
        if limit < 1:
            raise InputError(f"the number of examples must be at least 1, got {limit}")
        total = len(self._part(part))
        return torch.linspace(0, total - 1, min(limit, total)).round().long()

    def relative_weights(self, *, limit: int | None = None) -> Tensor:
        """Give the drawing weights of the training examples, scaled to mean 1.

        Args:
            limit: Of those that `examples` gives with this limit.

        Returns:
            Shape ``(n,)``, float64; ones for a uniform training.
        """
        total = len(self.task.train)
        weights = (
            torch.ones(total, dtype=torch.float64) if self.weights is None else self.weights.double().cpu()
        )
        if limit is not None:
            weights = weights[self.positions("train", limit=limit)]
        return weights * (len(weights) / weights.sum())

    def _part(self, part: str) -> Examples:
        parts = self.task.parts()
        if part not in parts:
            raise InputError(f"unknown part {part!r}; choose one of {', '.join(parts)}")
        return parts[part]


def write_request(folder: Path, request: TaskRequest, seed: int) -> None:
    """Write down how the task of a run is made, so that other commands can make it again.

    Args:
        folder: The run folder.
        request: What was asked for; paths are stored absolute.
        seed: Of the task.
    """
    kept = replace(
        request,
        data=_absolute(request.data),
        test=None if request.test is None else _absolute(request.test),
        model=None if request.model is None else _absolute(request.model),
    )
    write_versioned(folder / _REQUEST, "task", {"request": asdict(kept), "seed": seed})


def open_trained(source: Path | str, *, request: TaskRequest | None = None, seed: int = 0) -> TrainedModel:
    """Open the network of a run folder, or a checkpoint together with the data it was trained on.

    Args:
        source: A run folder of `localmin search` or `localmin train`, or a checkpoint: a ``.safetensors``
            file, or a state dict saved by torch (read without running code from the file).
        request: Data and network. Needed for checkpoints and for runs started from Python; otherwise the
            run's own, and then it must be None.
        seed: Of the split, with a request.

    Returns:
        The network with its task.

    Raises:
        RunFolderError: If the folder holds no finished training, or its data has changed since.
        InputError: If a request is needed or not wanted, or the weights do not fit the network.
    """
    source = Path(source)
    if source.is_dir():
        return _from_run(source, request, seed)
    if not source.exists():
        raise RunFolderError(f"{source} does not exist; give a run folder or a checkpoint")
    if request is None:
        raise InputError(f"{source} is a checkpoint: say which DATA and --model it was trained with")
    task = request.open()(seed)
    return TrainedModel(_load(task, _read_checkpoint(source), source), task, source)


def _from_run(folder: Path, request: TaskRequest | None, seed: int) -> TrainedModel:
    missing = [name for name in _RUN_FILES if not (folder / name).exists()]
    if missing:
        raise RunFolderError(
            f"{folder} holds no finished training ({missing[0]} is missing); `localmin search` and "
            "`localmin train --out DIR` make one, and go on with one that was interrupted"
        )
    stored = folder / _REQUEST
    if stored.exists():
        if request is not None:
            raise InputError(f"{folder} knows its own data; leave DATA and its options out")
        request, seed = _read_request(stored)
    elif request is None:
        raise InputError(
            f"{folder} was not made by a command, so it does not say how to read its data: give DATA too"
        )
    task = request.open()(seed)
    _check_same_data(folder, task)
    tensors = read_tensors(folder / "model.safetensors")
    return TrainedModel(_load(task, tensors, folder), task, folder, _weights(folder, task))


def _read_request(path: Path) -> tuple[TaskRequest, int]:
    stored = from_stored(_StoredRequest, read_versioned(path, "task"), path)
    request = from_stored(TaskRequest, stored.request, path)
    from_stored(
        Recipe, {key: value for key, value in (request.recipe or {}).items() if value is not None}, path
    )
    return request, stored.seed


def _check_same_data(folder: Path, task: Task) -> None:
    """Refuse data that changed since: its verdicts would be about another loss."""
    identity = folder / "run.json"
    stored = read_json(identity) if identity.exists() else {}
    described = stored.get("task", {}) if isinstance(stored, dict) else {}
    found = described.get("data", {}) if isinstance(described, dict) else {}
    for part, examples in task.parts().items():
        if part in found and found[part] != fingerprint(examples):
            raise RunFolderError(
                f"the {part} data of {folder} has changed since it was trained on; restore it, or train "
                "again into another --out"
            )


def _weights(folder: Path, task: Task) -> Tensor | None:
    path = folder / "features.safetensors"
    if not path.exists():
        return None
    weights = read_tensors(path).get("weights")
    return weights if weights is not None and len(weights) == len(task.train) else None


def _read_checkpoint(path: Path) -> dict[str, Tensor]:
    if path.suffix not in _TORCH_SUFFIXES:
        return read_tensors(path)
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{path} cannot be read as plain weights ({reason}); save model.state_dict(), best as safetensors"
        ) from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path} holds no state dict; save model.state_dict()")
    return content


def _load(task: Task, tensors: dict[str, Tensor], source: Path) -> nn.Module:
    model = task.build_model(0)
    wanted = model.state_dict()
    lacking = sorted(set(wanted) - set(tensors))
    surplus = sorted(set(tensors) - set(wanted))
    wrong = [name for name in wanted if name in tensors and wanted[name].shape != tensors[name].shape]
    if lacking or surplus or wrong:
        what = (
            f"it lacks {lacking[0]}" if lacking
            else f"it has {surplus[0]} too" if surplus
            else f"{wrong[0]} has shape {tuple(tensors[wrong[0]].shape)}, not {tuple(wanted[wrong[0]].shape)}"
        )  # fmt: skip
        raise InputError(
            f"{source} does not fit the network {task.model_name} ({what}); check --model and DATA"
        )
    for name in wanted:
        if not bool(tensors[name].isfinite().all()):
            raise InputError(
                f"{source}: parameter {name!r} has entries that are NaN or infinite; did training diverge? "
                "Train again with a lower learning rate (--lr)"
            )
    model.load_state_dict(tensors)
    return model.eval()


def _absolute(text: str) -> str:
    path, colon, name = text.rpartition(":") if is_factory(text) else (text, "", "")
    return f"{Path(path).resolve()}{colon}{name}" if Path(path).exists() else text
