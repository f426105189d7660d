"""Warn once when a learning rate is above what a scheme tolerates at the stated curvature."""

from __future__ import annotations

import math
import warnings

from localmin.langevin.theory import max_stable_step
from localmin.langevin.theory.schemes import Scheme
from localmin.langevin.theory.spectra import check_positive

__all__ = ["StabilityAlarm"]


class StabilityAlarm:
    """Compare learning rates with the stability limit of a scheme.

    Args:
        scheme: Scheme name.
        largest_curvature: M, or None for no alarm.
    """

    def __init__(self, scheme: Scheme, largest_curvature: float | None) -> None:
        if largest_curvature is not None:
            check_positive("largest_curvature", largest_curvature)
        self._scheme = scheme
        self._curvature = largest_curvature
        self._largest_checked = -math.inf

    def check(self, lr: float, friction: float | None = None) -> None:
        """Warn if this learning rate is the largest so far and not stable."""
        if self._curvature is None or lr <= self._largest_checked:
            return
        self._largest_checked = lr
        step = max_stable_step(self._curvature, self._scheme, friction=friction)
        limit = step if self._scheme in {"overdamped", "nonreversible"} else step**2
        if lr >= limit:
            warnings.warn(
                f"lr = {lr:.4g} is not stable at curvature {self._curvature:.4g} under {self._scheme!r}:"
                f" it must be below {limit:.4g}",
                stacklevel=5,
            )
