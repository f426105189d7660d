"""A finished run, read back from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from localmin.errors import RunFolderError
from localmin.sampling.policy import Policy
from localmin.tasks.schemas import current
from localmin.tasks.storage import read_json, read_tensors

__all__ = ["StoredRun", "load_result", "read_summary"]

_REQUIRED = (
    "data", "seeds", "uniform", "searched", "gain", "rarely_drawn", "policy", "policy_seed", "cost",
    "recommendation", "settings", "versions",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class StoredRun:
    """Hold what a search left on disk.

    Args:
        path: The run folder.
        summary: Content of ``result.json``: what ``localmin search --json`` prints.
        policy: The recommended policy.
        arrays: Features, weights, labels by name, each with one row per training example.
        model: State of the trained model.
    """

    path: Path
    summary: dict[str, Any]
    policy: Policy
    arrays: dict[str, Tensor]
    model: dict[str, Tensor]

    @property
    def weights(self) -> Float[Tensor, " n"]:
        """Relative drawing weights of the recommended policy."""
        return self.arrays["weights"]

    @property
    def recommendation(self) -> str:
        """``"searched"`` or ``"uniform"``."""
        return str(self.summary["recommendation"])


def load_result(path: str | Path) -> StoredRun:
    """Read the run folder of a finished search.

    Args:
        path: The folder.

    Returns:
        Summary, policy, arrays and model state.

    Raises:
        RunFolderError: If there is no finished search in it.
    """
    folder = Path(path)
    return StoredRun(
        folder,
        read_summary(folder),
        Policy.load(folder / "policy.json"),
        read_tensors(folder / "features.safetensors"),
        read_tensors(folder / "model.safetensors"),
    )


def read_summary(folder: Path) -> dict[str, Any]:
    """Read ``result.json`` of a finished search.

    Args:
        folder: Run folder.

    Returns:
        Its content, in the shape of this version.

    Raises:
        RunFolderError: If there is none, or it is damaged, of another command or of a newer version.
    """
    path = folder / "result.json"
    if not path.exists():
        state = "holds no result.json, so no finished search" if folder.exists() else "is not there"
        raise RunFolderError(
            f"{folder} {state}; `localmin search DATA --out {folder}` makes one, or goes on with an "
            "interrupted one"
        )
    stored = read_json(path)
    if not isinstance(stored, dict) or "per_seed" not in stored:
        raise RunFolderError(f"{path} is not the result of a search; `localmin search` writes one")
    summary = current(stored, "search", name=str(path))
    missing = [key for key in _REQUIRED if key not in summary]
    if missing:
        raise RunFolderError(f"{path} lacks {', '.join(missing)}; repeat the search command to write it anew")
    return summary
