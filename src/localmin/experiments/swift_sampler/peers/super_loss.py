"""SuperLoss: weigh each example of a batch by how far its loss is from a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["SuperLoss", "lambert_w"]

_BRANCH_POINT = -1 / math.e
_ITERATIONS = 12


@dataclass(frozen=True)
class SuperLoss:
    """Compute ``(l - tau) s + strength (log s)^2`` at its minimum over ``s``, minus nothing else.

    ``s* = exp(-W(max(-2/e, (l - tau) / strength) / 2))`` with Lambert's W; below ``tau`` an example counts
    more than once, above it less. ``s*`` is taken as a constant in the gradient, which is exact: at a
    minimum over ``s`` the derivative in ``l`` is ``s*``.

    Args:
        num_classes: The threshold is ``tau = log(num_classes)``, the loss of a guess.
        strength: The regularisation, 1 for ten classes in the paper's experiments as we know them.

    Source:
        [castells2020], from unofficial code; no deviation that we know of.
    """

    num_classes: int
    strength: float = 1.0

    def __call__(
        self, logits: Float[Tensor, "b classes"], labels: Int64[Tensor, " b"]
    ) -> Float[Tensor, " b"]:
        """Compute the loss of each example, shape ``(b,)``."""
        excess = torch.nn.functional.cross_entropy(logits, labels, reduction="none") - math.log(
            self.num_classes
        )
        with torch.no_grad():
            log_s = -lambert_w(excess.double() / self.strength / 2)
        loss: Tensor = excess * log_s.exp().to(excess.dtype) + self.strength * log_s.square().to(excess.dtype)
        return loss


def lambert_w(x: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Compute the principal branch of ``w exp(w) = x``; below ``-1/e`` it stays at -1.

    Args:
        x: Float64.

    Returns:
        ``w >= -1``, relative error below 1e-9 away from the branch point.

    Cost:
        12 steps of Halley's method; no trip to the CPU.

    Example:
        >>> lambert_w(torch.tensor([0.0, math.e, -1.0], dtype=torch.float64)).tolist()
        [0.0, 1.0, -1.0]
    """
    inside = x.clamp_min(_BRANCH_POINT)
    # Near the branch point the series in p, elsewhere log(1 + x): both start Halley on the right side.
    p = (2 * (math.e * inside + 1)).clamp_min(0).sqrt()
    w = torch.where(inside < 0, -1 + p - p.square() / 3, inside.clamp_min(0).log1p())
    for _ in range(_ITERATIONS):
        e = w.exp()
        f = w * e - inside
        slope = e * (w + 1) - (w + 2) * f / (2 * w + 2).clamp_min(1e-12)
        w = (w - torch.where(slope.abs() > 1e-300, f / slope, 0.0)).clamp_min(-1.0)
    return torch.where(x <= _BRANCH_POINT, -1.0, w)
