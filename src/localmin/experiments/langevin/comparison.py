"""One number that is known, next to the number that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from localmin.experiments.claim import Verdict

__all__ = ["NUM_ERRORS", "Comparison", "verdict_of"]

# Standard errors that a correct experiment may be off by; one in 150 000 honest numbers is off by more.
NUM_ERRORS = 4.5


@dataclass(frozen=True)
class Comparison:
    """Expected and measured.

    Args:
        quantity: In words.
        expected: From theory, exact or asymptotic.
        measured: Here.
        allowed: How far apart they may be, stated before measuring.

    Example:
        >>> Comparison("slope", -1.0, -1.02, 0.05).holds
        True
    """

    quantity: str
    expected: float
    measured: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether they agree within what is allowed; NaN does not."""
        return abs(self.measured - self.expected) <= self.allowed

    def to_row(self) -> dict[str, Any]:
        """Convert to a row of a table."""
        return {
            "quantity": self.quantity,
            "expected": self.expected,
            "measured": self.measured,
            "error": self.measured - self.expected,
            "allowed": self.allowed,
            "holds": self.holds,
        }


def verdict_of(comparisons: Sequence[Comparison]) -> Verdict:
    """Sum comparisons up.

    Args:
        comparisons: At least one.

    Returns:
        "holds" if all hold, "does-not-hold" if none does, else "partly".
    """
    held = sum(one.holds for one in comparisons)
    return "holds" if held == len(comparisons) else "partly" if held else "does-not-hold"
