"""What a report is made from: the files of a finished run, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from localmin.errors import RunFolderError
from localmin.reports.quantities import Result
from localmin.sampling.feature_table import FeatureTable
from localmin.sampling.features import FEATURES
from localmin.sampling.forms import Form, get_form
from localmin.sampling.policy import PolicySpace
from localmin.sampling.stored import read_summary
from localmin.tasks.kinds import KINDS, TaskKind
from localmin.tasks.schemas import read_versioned
from localmin.tasks.storage import read_tensors

__all__ = ["RunData", "load_run"]

# File in the folder: the kind of its schema.
_AFTERWARDS = {"dynamics": "training", "ending": "ending", "shrinking": "shrinking"}


@dataclass(frozen=True, eq=False)
class RunData:
    """A finished search, as found in its folder.

    Args:
        result: ``result.json``.
        features: Of all training examples of the seed that is shown, shape ``(n, 3)``.
        labels: As given, one for each example.
        clean_labels: Before injected noise, shape ``(n,)``, where known.
        candidate_weights: Drawing weights of what the search picked, shape ``(n,)``.
        thumbnails: Images of the first dropped examples, uint8 ``(k, channels, height, width)``.
        has_csv: Whether ``dropped.csv`` lies beside the page.
        afterwards: ``dynamics.json``, ``ending.json``, ``shrinking.json``, each under its name; None
            where the run has none.
    """

    result: Result
    features: FeatureTable
    labels: Int64[Tensor, " n"]
    clean_labels: Int64[Tensor, " n"] | None
    candidate_weights: Float[Tensor, " n"]
    thumbnails: Tensor | None
    has_csv: bool
    afterwards: Result

    @cached_property
    def seed(self) -> str:
        """Key of the seed whose policy stands for all: ``"per_seed.0"``."""
        return shown_seed(self.result)

    @cached_property
    def kind(self) -> TaskKind:
        """Kind of the task, without its measured constants."""
        return KINDS[self.result.content.get("kind", "classification")]

    @cached_property
    def form(self) -> Form:
        """Function class of the policy."""
        return get_form(
            self.result[f"{self.seed}.candidate.form"],
            class_prior=self.result[f"{self.seed}.candidate.class_prior"],
        )

    @cached_property
    def z(self) -> Float[Tensor, " k"]:
        """The ten numbers of what the search picked."""
        return torch.tensor(self.result[f"{self.seed}.candidate.z"], dtype=torch.float64)

    @cached_property
    def places(self) -> Float[Tensor, "n f"]:
        """What the form's nodes stand over: placed features, or the rank of their mixture (form d)."""
        return self.space.rank_feature(self.z)

    @cached_property
    def space(self) -> PolicySpace:
        """The policies of this form over these features."""
        return PolicySpace.fit(
            self.form,
            self.features,
            self.kind.groups(self.labels),
            num_classes=self.kind.num_groups(self.result[f"{self.seed}.task.num_classes"]),
            kind=self.result[f"{self.seed}.candidate.transform"],
        )

    @cached_property
    def draws(self) -> Float[Tensor, " n"]:
        """Expected draws per epoch ``n p`` under what the search picked; 1 is uniform."""
        return self.candidate_weights * (len(self.candidate_weights) / self.candidate_weights.sum())

    @cached_property
    def wrong(self) -> Bool[Tensor, " n"] | None:
        """Which labels are wrong, where that is known and any are."""
        if self.clean_labels is None:
            return None
        wrong = self.kind.differs(self.clean_labels, self.labels)
        return wrong if bool(wrong.any()) else None


def load_run(folder: Path) -> RunData:
    """Read a finished search.

    Args:
        folder: Run folder.

    Returns:
        All that a report needs.

    Raises:
        RunFolderError: If the folder holds no finished search, one of a newer version, or damaged files.
    """
    result = Result(read_summary(folder))
    arrays = read_tensors(folder / "features.safetensors")
    try:
        _check_arrays(arrays, result)
        table = FeatureTable(
            FEATURES,
            arrays["features"],
            arrays["gradient"],
            arrays["predictions"],
            result[f"{shown_seed(result)}.candidate.origin.feature_source"],
        )
        return RunData(
            result=result,
            features=table,
            labels=arrays["labels"],
            clean_labels=arrays.get("clean_labels"),
            candidate_weights=arrays["candidate_weights"],
            thumbnails=arrays.get("thumbnails"),
            has_csv=(folder / "dropped.csv").exists(),
            afterwards=Result(
                {name: _read_if_there(folder / f"{name}.json", kind) for name, kind in _AFTERWARDS.items()}
            ),
        )
    except (KeyError, IndexError, TypeError) as error:
        raise RunFolderError(
            f"{folder} lacks {error} of a finished search; search again with the same command"
        ) from None


def _read_if_there(path: Path, kind: str) -> Any:
    return read_versioned(path, kind) if path.exists() else None


def _check_arrays(arrays: dict[str, Tensor], result: Result) -> None:
    """Refuse labels and sizes that cannot be, before they ask for memory that is not there."""
    count, classes = len(arrays["labels"]), int(result[f"{shown_seed(result)}.task.num_classes"])
    for name in ("features", "gradient", "predictions", "candidate_weights"):
        if len(arrays[name]) != count:
            raise RunFolderError(
                f"features.safetensors is damaged: {len(arrays[name])} {name}, {count} labels"
            )
    for name in ("labels", "clean_labels"):
        # The targets of a regression may be any numbers, and ask for no memory.
        if name not in arrays or arrays[name].is_floating_point():
            continue
        if not bool(((arrays[name] >= 0) & (arrays[name] < classes)).all()):
            raise RunFolderError(f"features.safetensors is damaged: {name} outside 0 to {classes - 1}")


def shown_seed(result: Result) -> str:
    """Find the key of the seed whose policy stands for all."""
    seeds = [one["seed"] for one in result["per_seed"]]
    return f"per_seed.{seeds.index(result['policy_seed'])}"
