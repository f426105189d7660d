"""Two rules that cut at a place of the averaged loss without a search."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["mixture_weights", "trimming_weights"]


def trimming_weights(loss: Float[Tensor, " n"], rate: float) -> Float[Tensor, " n"]:
    """Drop the share ``rate`` of the examples that has the largest loss.

    Args:
        loss: Averaged over a training, shape ``(n,)``.
        rate: Of wrong labels, which this rule has to be told.

    Returns:
        0 or 1 per example, float64.

    Example:
        >>> trimming_weights(torch.tensor([0.1, 3.0, 0.2, 0.3]), 0.25).tolist()
        [1.0, 0.0, 1.0, 1.0]
    """
    weights = torch.ones(len(loss), dtype=torch.float64)
    weights[loss.argsort(descending=True)[: round(rate * len(loss))]] = 0
    return weights


def mixture_weights(loss: Float[Tensor, " n"], *, seed: int) -> Float[Tensor, " n"]:
    """Fit two normal distributions to the loss and drop what belongs to the upper one.

    Args:
        loss: Averaged over a training, shape ``(n,)``.
        seed: Of the fit.

    Returns:
        0 or 1 per example, float64.
    """
    from sklearn.mixture import GaussianMixture

    values = loss.double().numpy()[:, None]
    mixture = GaussianMixture(2, random_state=seed, n_init=3).fit(values)
    low = int(np.argmin(mixture.means_.ravel()))
    return torch.from_numpy((mixture.predict_proba(values)[:, low] > 0.5).astype(np.float64))
