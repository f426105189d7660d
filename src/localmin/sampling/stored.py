"""A finished run, read back from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from localmin.errors import RunFolderError
from localmin.sampling.policy import Policy
from localmin.tasks.storage import read_json, read_tensors

__all__ = ["StoredRun", "load_result"]


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
    if not (folder / "result.json").exists():
        state = "is not there" if not folder.exists() else "holds no finished search"
        raise RunFolderError(f"{folder} {state}; run `localmin search` with --out {folder}")
    return StoredRun(
        folder,
        read_json(folder / "result.json"),
        Policy.load(folder / "policy.json"),
        read_tensors(folder / "features.safetensors"),
        read_tensors(folder / "model.safetensors"),
    )
