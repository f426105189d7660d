"""Epoch draws for the training loop: from relative weights to an order of examples."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.sampling.draws import systematic_draw
from localmin.tasks.training import EpochDraw, uniform_draw

__all__ = ["epoch_draw"]


def epoch_draw(
    weights: Float[Tensor, " n"] | None, num_draws: int, *, members: Tensor | None = None
) -> EpochDraw:
    """Draw each epoch systematically by weight.

    Args:
        weights: Relative, not negative; None is uniform. A constant gives a permutation.
        num_draws: Draws of an epoch.
        members: Draw from these examples only (indices); ``weights`` are those of all examples.

    Returns:
        A function from a generator to int64 indices.
    """
    if weights is None:
        weights = torch.ones(num_draws if members is None else int(members.max()) + 1, dtype=torch.float64)
        if members is None:
            return uniform_draw(num_draws)
    if members is None:
        chosen = weights

        def draw(generator: torch.Generator) -> Tensor:
            return systematic_draw(chosen, num_draws, generator).long()

        return draw
    kept, inside = weights[members], members

    def draw_members(generator: torch.Generator) -> Tensor:
        return inside[systematic_draw(kept, num_draws, generator).long()]

    return draw_members
