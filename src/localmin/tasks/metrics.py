"""Metrics by name: what they are called, in which direction they improve, how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "Metric", "MetricDescription", "describe_metric"]

Metric = Literal["accuracy", "balanced-accuracy", "r2", "mae", "perplexity"]


@dataclass(frozen=True)
class MetricDescription:
    """Say how a score of the test set is read.

    Args:
        words: Name in a sentence.
        higher_is_better: False for errors and perplexities.
        is_share: Whether it lies in [0, 1] and is written in percent; otherwise it is a plain number.
    """

    words: str
    higher_is_better: bool
    is_share: bool

    def improvement(self, score: float, reference: float) -> float:
        """Compute how much better ``score`` is than ``reference``, positive if better."""
        return score - reference if self.higher_is_better else reference - score


_DESCRIPTIONS: dict[str, MetricDescription] = {
    "accuracy": MetricDescription("test accuracy", higher_is_better=True, is_share=True),
    "balanced-accuracy": MetricDescription("balanced test accuracy", higher_is_better=True, is_share=True),
    "r2": MetricDescription("test R²", higher_is_better=True, is_share=False),
    "mae": MetricDescription("mean absolute test error", higher_is_better=False, is_share=False),
    "perplexity": MetricDescription("test perplexity", higher_is_better=False, is_share=False),
}
METRICS: tuple[Metric, ...] = ("accuracy", "balanced-accuracy", "r2", "mae", "perplexity")


def describe_metric(name: str) -> MetricDescription:
    """Look up a metric; one of a later version is taken for a plain number that should be high.

    Args:
        name: As in ``result.json``.

    Returns:
        Its description.

    Example:
        >>> round(describe_metric("perplexity").improvement(5.5, 6.0), 3)
        0.5
    """
    return _DESCRIPTIONS.get(name, MetricDescription(f"test {name}", higher_is_better=True, is_share=False))
