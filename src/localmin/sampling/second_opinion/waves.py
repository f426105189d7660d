"""Vectors described by random cosine waves, after [rahimi2007], and by themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["MAX_INPUTS", "Waves", "wave_features"]

MAX_INPUTS = 10_000
_CLIP = 4.0  # standard deviations: one outlier of a table must not decide the fit
_NUM_PAIRS = 2_000


@dataclass(frozen=True)
class Waves:
    """Describe vectors of one length by random waves.

    Args:
        num_inputs: Length p of a vector.
        num_waves: Number m of waves.
    """

    num_inputs: int
    num_waves: int

    name = "random waves"

    @property
    def num_features(self) -> int:
        """Length of a description: the waves, and the vector itself where it is not longer than they are."""
        return self.num_waves + (self.num_inputs if self.num_inputs <= self.num_waves else 0)

    def operations(self, num_examples: int) -> float:
        """Count the operations of `features`."""
        return 2.0 * num_examples * self.num_inputs * self.num_waves

    def features(self, inputs: Tensor, *, seed: int) -> Float[Tensor, "n d"]:
        """Describe vectors, or images taken as vectors, see `wave_features`."""
        return wave_features(inputs.flatten(1), seed=seed, num_waves=self.num_waves)


def wave_features(vectors: Float[Tensor, "n p"], *, seed: int, num_waves: int) -> Float[Tensor, "n d"]:
    """Describe vectors by random waves, and by themselves if they are short.

    A wave is ``cos(<w, x> + b)`` with random ``w`` and ``b``.

    Inputs are standardised and clipped at four standard deviations. The lengths of ``w`` are such that the
    waves span the functions of a Gaussian kernel as wide as the median distance of two examples.

    Args:
        vectors: Shape ``(n, p)``, finite, of any scale.
        seed: Of waves and pairs.
        num_waves: m.

    Returns:
        Float32, shape ``(n, m + p)``, or ``(n, m)`` where ``p > m``.

    Source:
        [rahimi2007]; the width by the median distance is a common rule. Clipping and the inputs beside the
        waves are ours.

    Example:
        >>> wave_features(torch.eye(3), seed=0, num_waves=5).shape
        torch.Size([3, 8])
    """
    generator = torch.Generator().manual_seed(seed)
    standard = _standardised(vectors)
    n, p = standard.shape
    first, second = (torch.randint(n, (_NUM_PAIRS,), generator=generator) for _ in range(2))
    distances = (standard[first] - standard[second]).norm(dim=1)
    apart = distances[distances > 0]
    width = float(apart.median()) if len(apart) else 1.0
    frequencies = torch.randn(p, num_waves, generator=generator) / width
    phases = 2 * math.pi * torch.rand(num_waves, generator=generator)
    waves = torch.cos(standard @ frequencies + phases)
    return torch.cat([waves, standard], 1) if p <= num_waves else waves


def _standardised(vectors: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
    values = vectors.double()
    centred = values - values.mean(0)
    deviation = centred.square().mean(0).sqrt()
    # Rounding leaves a constant column some 1e-17 of its size.
    varies = deviation > 1e-9 * values.abs().amax(0)
    return (centred / torch.where(varies, deviation, torch.inf)).clamp(-_CLIP, _CLIP).float()
