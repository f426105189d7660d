"""Search at random: the baseline every other engine must beat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.sampling.engines.protocol import Observation
from localmin.sampling.forms import Form
from localmin.sampling.policy import PolicySpace
from localmin.tasks.training import mix_seed

__all__ = ["RandomEngine", "random_parameters"]


class RandomEngine:
    """Draw ``z`` uniformly from the unit cube.

    Args:
        seed: Of the draws.
    """

    def __init__(self, *, seed: int) -> None:
        self.seed = seed

    def ask(self, space: PolicySpace, tried: Sequence[Observation], count: int) -> list[Float[Tensor, " k"]]:
        """Propose ``count`` random samplers."""
        generator = torch.Generator().manual_seed(mix_seed(self.seed, len(tried)))
        return list(random_parameters(space.form, count, generator))


def random_parameters(
    form: Form, count: int, generator: torch.Generator, *, monotone: int = 0
) -> Float[Tensor, "m k"]:
    """Draw valid ``z`` vectors.

    Args:
        form: Gives the layout.
        count: How many.
        generator: Source of randomness.
        monotone: The first so many have falling nodes: high places are drawn less.

    Returns:
        Shape ``(count, 10)``, canonical.
    """
    z = torch.rand(count, form.num_parameters, generator=generator, dtype=torch.float64)
    start = 1 if form.has_angle else 0
    stop = form.num_parameters - (1 if form.has_prior else 0)
    if form.name in ("a", "d"):
        z[:monotone, start:stop] = z[:monotone, start:stop].sort(dim=1, descending=True).values
    return torch.stack([form.canonical(row) for row in z])
