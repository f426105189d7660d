"""How far a search is: told in epochs of a training, the unit of its cost."""

from __future__ import annotations

from typing import Protocol

__all__ = ["EpochMeter", "SearchProgress", "Silent"]


class SearchProgress(Protocol):
    """Hears what a search is doing; shows it, or not."""

    def begin(self, planned: float, unit: str = "epochs") -> None:
        """Learn how much there is to do at most, and in which unit."""

    def stage(self, name: str) -> None:
        """Learn what is being done now, in words."""

    def advance(self, amount: float) -> None:
        """Learn that so much more is done."""

    def end(self) -> None:
        """Learn that the search is over."""


class Silent:
    """Show nothing."""

    def begin(self, planned: float, unit: str = "epochs") -> None:
        """Ignore the plan."""

    def stage(self, name: str) -> None:
        """Ignore the stage."""

    def advance(self, amount: float) -> None:
        """Ignore the advance."""

    def end(self) -> None:
        """Ignore the end."""


class EpochMeter:
    """Turn numbers of draws into epochs.

    Args:
        progress: Told about the advance.
        num_examples: Draws of an epoch.
    """

    def __init__(self, progress: SearchProgress, num_examples: int) -> None:
        self.progress = progress
        self.num_examples = num_examples

    def draws(self, count: int) -> None:
        """Count draws."""
        self.progress.advance(count / self.num_examples)

    def whole_epoch(self, epoch: int, epochs: int) -> None:
        """Count one epoch of the whole training set."""
        del epoch, epochs
        self.progress.advance(1.0)
