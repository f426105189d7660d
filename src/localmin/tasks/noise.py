"""Wrong labels on purpose, at a rate that is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from localmin.errors import InputError

__all__ = ["NOISE_KINDS", "NoiseKind", "NoiseRecord", "check_noise", "flip_labels"]

# The first two are for classes; outliers and shuffle for regression; shuffle and random for sequences;
# annotators is not injected, it is what a second column of right labels shows.
NoiseKind = Literal["symmetric", "pair", "outliers", "shuffle", "random", "annotators"]
NOISE_KINDS: tuple[NoiseKind, ...] = ("symmetric", "pair")


@dataclass(frozen=True)
class NoiseRecord:
    """Say how many labels were made wrong, and how.

    Args:
        kind: ``"symmetric"`` (any other class, equally likely), ``"pair"`` (the next class), one of another
            kind of task, or ``"annotators"`` (not injected: measured against a column of right labels).
        rate: The share that was asked for.
        realised: The share of training labels that differ from the clean ones.
        validation_realised: The same for the validation labels; 0 with a clean validation set.
    """

    kind: NoiseKind
    rate: float
    realised: float
    validation_realised: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """List the numbers, for JSON."""
        return asdict(self)


def check_noise(rate: float, kind: str, kinds: Sequence[str] = NOISE_KINDS) -> None:
    """Check the options of label noise.

    Args:
        rate: Share of labels to change.
        kind: How.
        kinds: That the kind of task knows.

    Raises:
        InputError: If the rate is outside [0, 1] or the kind is unknown.
    """
    if not 0 <= rate <= 1:
        raise InputError(f"the noise rate must lie in [0, 1], got {rate}")
    if kind not in kinds:
        raise InputError(f"unknown noise kind {kind!r}; choose one of {', '.join(kinds)}")


def flip_labels(
    labels: Int64[Tensor, " n"], rate: float, *, num_classes: int, kind: str = "symmetric", seed: int
) -> Int64[Tensor, " n"]:
    """Replace a share of the labels by wrong ones.

    A chosen label never keeps its class, so the realised rate is the nominal rate up to rounding:
    exactly ``round(rate * n)`` labels change.

    Args:
        labels: Clean labels, shape ``(n,)``, int64, in ``[0, num_classes)``.
        rate: Share to change, in [0, 1].
        num_classes: At least 2.
        kind: ``"symmetric"`` draws the wrong class uniformly from the others; ``"pair"`` takes the
            next class, the last one going to 0.
        seed: Of the choice.

    Returns:
        New labels, shape ``(n,)``.

    Raises:
        InputError: If there are fewer than two classes; see `check_noise` for the rate and the kind.

    Example:
        >>> labels = torch.arange(10) % 5
        >>> noisy = flip_labels(labels, 0.4, num_classes=5, seed=0)
        >>> int((noisy != labels).sum())
        4
    """
    check_noise(rate, kind)
    if num_classes < 2:
        raise InputError(f"a label can only be made wrong with at least 2 classes, got {num_classes}")
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(labels), generator=generator)[: round(rate * len(labels))]
    if kind == "symmetric":
        shift = torch.randint(1, num_classes, (len(chosen),), generator=generator)
    else:
        shift = torch.ones(len(chosen), dtype=torch.int64)
    noisy = labels.clone()
    noisy[chosen] = (labels[chosen] + shift) % num_classes
    return noisy
