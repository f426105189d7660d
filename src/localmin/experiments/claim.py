"""What an experiment on a claim leaves: expected, measured, verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from localmin.charts import Figure, figure_from_dict
from localmin.errors import InputError

__all__ = ["VERDICTS", "Claim", "ClaimCheck", "Verdict"]

Verdict = Literal["holds", "does-not-hold", "partly"]
VERDICTS: tuple[Verdict, ...] = ("holds", "does-not-hold", "partly")


@dataclass(frozen=True)
class ClaimCheck:
    """One claim, what was expected and what was measured.

    Args:
        claim: Its name, such as ``"dl-saddles"``.
        verdict: ``"holds"``, ``"does-not-hold"`` or ``"partly"``, for what was measured here.
        expected: In words.
        measured: The decisive numbers, by name; JSON types.
        tolerance: In words: how far measured may be from expected, and why.
        remark: What the figures do not show; empty if nothing needs saying.
        is_scaled_down: Whether the claim as stated is beyond one small machine and was checked at a smaller
            size; the remark says which.
        rows: The single measurements, for a table.
        figures: Pictures of them.

    Raises:
        InputError: If the verdict is unknown.

    Example:
        >>> check = ClaimCheck("dl-saddles", "holds", "no wrong verdict", {"wrong": 0}, "none")
        >>> ClaimCheck.from_dict(check.to_dict()) == check
        True
    """

    claim: str
    verdict: Verdict
    expected: str
    measured: dict[str, Any]
    tolerance: str
    remark: str = ""
    is_scaled_down: bool = False
    rows: tuple[dict[str, Any], ...] = ()
    figures: tuple[Figure, ...] = ()

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise InputError(f"unknown verdict {self.verdict!r}; choose one of {', '.join(VERDICTS)}")

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types."""
        return {
            "claim": self.claim,
            "verdict": self.verdict,
            "expected": self.expected,
            "measured": self.measured,
            "tolerance": self.tolerance,
            "remark": self.remark,
            "is_scaled_down": self.is_scaled_down,
            "rows": [dict(row) for row in self.rows],
            "figures": [figure.to_dict() for figure in self.figures],
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> ClaimCheck:
        """Rebuild from `to_dict`, directly or after a round trip through JSON."""
        figures = tuple(figure_from_dict(one) for one in stored["figures"])
        return cls(**{**stored, "rows": tuple(stored["rows"]), "figures": figures})


@dataclass(frozen=True)
class Claim:
    """A claim of a paper, and the experiment that checks it.

    Args:
        name: Such as ``"dl-saddles"``.
        statement: The claim, in our words.
        experiment: Called as ``experiment(seed=..., quick=...)``; ``quick`` takes seconds, and checks the
            same at a smaller size.
    """

    name: str
    statement: str
    experiment: Callable[..., ClaimCheck]
