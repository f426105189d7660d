"""A deep linear problem scaled to largest singular value 1 and to layers of one size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.certification.deep_linear.chains import Chain, spectral_norm
from localmin.certification.deep_linear.data import Target, Whitening, decompose, whiten

__all__ = ["NormalisedProblem", "normalise"]

# A layer that is smaller than this part of the largest one counts as that large: blowing a layer of
# rounding errors up to the size of the others would shrink the others below every tolerance.
_SMALLEST_LAYER = 1e-2


@dataclass(frozen=True, eq=False)
class NormalisedProblem:
    """Whitened weights ``W_k' = W_k / g_k`` and target ``M / τ`` with ``g_1 ⋯ g_N = τ``.

    Scaling layers against each other and changing the unit of the targets leave the kind of point alone,
    and absolute tolerances mean something only after both are taken out.

    Args:
        chain: Products of the normalised weights.
        matrix: ``M / τ``, shape ``(d_N, rank x)``.
        target: Its singular value decomposition; the largest value is 1, unless there is none.
        whitening: How the inputs were taken out.
        factors: ``g_1, ..., g_N``.
        scale: ``τ``; losses and curvatures of the original problem are ``τ²`` times the normalised ones.
    """

    chain: Chain
    matrix: Float[Tensor, "outputs inputs"]
    target: Target
    whitening: Whitening
    factors: tuple[float, ...]
    scale: float

    @property
    def residual(self) -> Float[Tensor, "outputs inputs"]:
        """``G = R - M``, normalised."""
        return self.chain.product - self.matrix

    @property
    def smallest_width(self) -> int:
        """The rank that no product can exceed; inputs count with the rank of the data."""
        return min(self.matrix.shape[1], *(weight.shape[0] for weight in self.chain.weights))

    @property
    def loss_gap(self) -> float:
        """Distance of the loss from its global minimum, normalised."""
        unavoidable = 0.5 * float(self.target.values[self.smallest_width :].square().sum())
        return 0.5 * float(self.residual.square().sum()) - unavoidable

    def to_original(self, direction: Sequence[Tensor]) -> tuple[Float[Tensor, "_ _"], ...]:
        """Map a direction of the normalised weights to the weights that were given.

        Args:
            direction: ``Δ_1', ..., Δ_N'``.

        Returns:
            ``Δ_1, ..., Δ_N``.
        """
        scaled = [change * factor for change, factor in zip(direction, self.factors, strict=True)]
        return (scaled[0] @ self.whitening.pull, *scaled[1:])


def normalise(
    weights: Sequence[Float[Tensor, "_ _"]], x: Float[Tensor, "n inputs"], y: Float[Tensor, "n outputs"]
) -> NormalisedProblem:
    """Whiten a checked problem and choose its units.

    Args:
        weights: Checked weights.
        x: Checked inputs.
        y: Checked targets.

    Returns:
        The normalised problem.
    """
    whitening = whiten(x, y)
    lifted = [weights[0] @ whitening.lift, *weights[1:]]
    norms = [spectral_norm(weight) for weight in lifted]
    floor = _SMALLEST_LAYER * max(norms)
    sizes = [max(norm, floor) if floor > 0.0 else 1.0 for norm in norms]
    target = decompose(whitening.target, y)
    # Without a target the products themselves set the scale.
    scale = float(target.values[0]) if len(target.values) else math.prod(sizes)
    common = math.exp((math.log(scale) - sum(map(math.log, sizes))) / len(sizes))
    factors = tuple(size * common for size in sizes)
    normalised = [weight / factor for weight, factor in zip(lifted, factors, strict=True)]
    matrix = whitening.target / scale if len(target.values) else torch.zeros_like(whitening.target)
    values = target.values / scale
    return NormalisedProblem(
        Chain(normalised), matrix, Target(target.left, values, target.right), whitening, factors, scale
    )
