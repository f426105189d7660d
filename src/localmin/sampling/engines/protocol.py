"""What an engine of the outer search must do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from jaxtyping import Float
from torch import Tensor

from localmin.sampling.policy import PolicySpace

__all__ = ["ENGINES", "EngineName", "Observation", "SearchEngine"]

EngineName = Literal["sampler-process", "optuna-gp", "tpe", "random", "policy-gradient"]
ENGINES: tuple[EngineName, ...] = ("sampler-process", "optuna-gp", "tpe", "random", "policy-gradient")


@dataclass(frozen=True, eq=False)
class Observation:
    """A sampler that was tried.

    Args:
        z: The ten numbers.
        point: Its drawing probabilities embedded by `surrogate.embed`, shape ``(m,)``; of the examples
            the search looks at, under the features of its time.
        score: To be maximised.
        noise: Standard error of the score over items.
    """

    z: Float[Tensor, " k"]
    point: Float[Tensor, " m"]
    score: float
    noise: float


class SearchEngine(Protocol):
    """Propose samplers from those that were tried.

    An engine keeps no state of its own: what it proposes follows from its seed and the observations, so a
    search that was interrupted goes on as if it had not been.
    """

    def ask(self, space: PolicySpace, tried: Sequence[Observation], count: int) -> list[Float[Tensor, " k"]]:
        """Propose ``count`` samplers to be tried at once.

        Args:
            space: Maps ``z`` to weights under the present features.
            tried: All earlier trials, oldest first; those of earlier features too.
            count: Size of the batch.

        Returns:
            ``z`` vectors in ``[0, 1]^10``, canonical.
        """
