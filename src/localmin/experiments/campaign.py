"""Check many claims, one after the other, so that a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localmin.errors import InputError
from localmin.experiments.claim import Claim, ClaimCheck
from localmin.experiments.registry import PAPERS, list_claims
from localmin.tasks.environment import versions
from localmin.tasks.run_folder import RunFolder, Stage
from localmin.tasks.schemas import versioned
from localmin.tasks.storage import write_json

__all__ = ["CheckedClaim", "Reproduction", "code_digest", "reproduce"]


@dataclass(frozen=True)
class CheckedClaim:
    """A claim with the outcome of its experiment.

    Args:
        paper: Key of `PAPERS`.
        claim: What is claimed.
        check: What was found.
        seconds: What it took, wall clock.
    """

    paper: str
    claim: Claim
    check: ClaimCheck
    seconds: float


@dataclass(frozen=True)
class Reproduction:
    """The outcome of many experiments.

    Args:
        checked: In the order of the papers.
        quick: Whether the quick sizes were used.
        seed: Of everything random.
    """

    checked: tuple[CheckedClaim, ...]
    quick: bool
    seed: int

    @property
    def num_failed(self) -> int:
        """Count the claims that do not hold here."""
        return sum(one.check.verdict == "does-not-hold" for one in self.checked)

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types."""
        claims = [
            {
                "paper": PAPERS[one.paper],
                "statement": one.claim.statement,
                **one.check.to_dict(),
                "seconds": one.seconds,
            }
            for one in self.checked
        ]
        content = {
            "quick": self.quick,
            "seed": self.seed,
            "claims": claims,
            "num_failed": self.num_failed,
            "versions": versions(),
        }
        return versioned("claims", content)


def reproduce(
    names: Sequence[str] = (),
    *,
    seed: int = 0,
    quick: bool = False,
    out: Path | None = None,
    on_claim: Callable[[int, int, Claim], None] | None = None,
) -> Reproduction:
    """Check claims by their experiments.

    Args:
        names: Of claims, or keys of `PAPERS` for all claims of a paper; empty for all.
        seed: Of everything random.
        quick: Use sizes that take seconds.
        out: Folder for results; a run that was killed goes on there. None keeps nothing on disk.
        on_claim: Told position, number and claim before each experiment.

    Returns:
        What was found, in the order of the papers.

    Raises:
        InputError: If a name is unknown.
        RunFolderError: If the folder holds something else, or results of other code.

    Cost:
        All claims: some minutes with ``quick`` on two cores, up to hours without.
    """
    chosen = _choose(names)
    identity = {"job": "reproduce", "seed": seed, "quick": quick, "code": code_digest()}
    checked = []
    with RunFolder(out, identity) as folder:
        for position, (paper, claim) in enumerate(chosen):
            if on_claim is not None:
                on_claim(position, len(chosen), claim)
            content, _ = folder.once(claim.name, lambda claim=claim: _run(claim, seed, quick))  # type: ignore[misc]
            checked.append(
                CheckedClaim(paper, claim, ClaimCheck.from_dict(content["check"]), content["seconds"])
            )
        result = Reproduction(tuple(checked), quick, seed)
        if folder.path is not None:
            write_json(folder.path / "result.json", result.to_dict())
    return result


def code_digest() -> str:
    """Hash the source of this package, so that stored results of other code are not taken for new ones.

    Returns:
        8 hexadecimal digits.
    """
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def _choose(names: Sequence[str]) -> list[tuple[str, Claim]]:
    known = [(paper, claim) for paper in PAPERS for claim in list_claims(paper)]
    unknown = set(names) - set(PAPERS) - {claim.name for _, claim in known}
    if unknown:
        choices = ", ".join([*PAPERS, *(claim.name for _, claim in known)])
        raise InputError(f"unknown claim {', '.join(sorted(unknown))}; choose papers or claims of {choices}")
    return [(paper, claim) for paper, claim in known if not names or paper in names or claim.name in names]


def _run(claim: Claim, seed: int, quick: bool) -> Stage:
    began = time.perf_counter()
    check = claim.experiment(seed=seed, quick=quick)
    return {"check": check.to_dict(), "seconds": time.perf_counter() - began}, {}
