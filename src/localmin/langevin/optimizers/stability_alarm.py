"""Warn once when a learning rate is above what a scheme tolerates at the stated curvature."""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike

from localmin.langevin.skew import SkewOperator
from localmin.langevin.theory import max_stable_step
from localmin.langevin.theory.schemes import Scheme
from localmin.langevin.theory.spectra import check_positive, positive_spectrum

__all__ = ["StabilityAlarm"]


class StabilityAlarm:
    """Compare learning rates with the stability limit of a scheme.

    Args:
        scheme: Scheme name.
        curvature: Largest curvature M, or for "nonreversible" the Hessian; None for no alarm.

    Raises:
        InputError: If a curvature is not above 0.
    """

    def __init__(self, scheme: Scheme, curvature: ArrayLike | None) -> None:
        if np.ndim(0.0 if curvature is None else curvature) == 0 and curvature is not None:
            check_positive("largest_curvature", float(np.asarray(curvature)))
        self._scheme = scheme
        self._curvature = None if curvature is None else np.asarray(curvature, dtype=np.float64)
        self._largest = 0.0 if self._curvature is None else float(positive_spectrum(self._curvature)[-1])
        self._largest_checked = -math.inf

    def check(self, lr: float, friction: float | None = None, skew: SkewOperator | None = None) -> None:
        """Warn if this learning rate is the largest so far and not stable."""
        if self._curvature is None or lr <= self._largest_checked:
            return
        self._largest_checked = lr
        step = max_stable_step(self._curvature, self._scheme, friction=friction, skew=skew)
        limit = step if self._scheme in {"overdamped", "nonreversible"} else step**2
        if lr >= limit:
            warnings.warn(
                f"lr = {lr:.4g} is not stable at curvature {self._largest:.4g} under {self._scheme!r}:"
                f" it must be below {limit:.4g}",
                stacklevel=6,
            )
