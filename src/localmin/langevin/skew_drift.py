"""The step x <- x - eta (g + J g) for every skew operator, shared by kernel and optimiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.langevin.skew import PairwiseRotation, SkewOperator, as_skew_operator, random_pairing

__all__ = ["RepairedRotation", "SkewLike", "check_skew", "push_along_skew_drift", "resolve_skew"]

SkewLike = SkewOperator | Callable[[int], SkewOperator] | Any

_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


@dataclass(frozen=True)
class RepairedRotation:
    """`PairwiseRotation` with a new random pairing every so many steps, as a function of the steps made.

    Every pairing keeps the Gibbs law of the continuous dynamics, so a change between steps keeps it too. A
    fixed pairing helps only where it joins soft with stiff directions; without knowing them, take many.

    Args:
        strength: a.
        dimension: d, over all parameters of the group.
        every: Steps between new pairings.
        seed: The pairing depends on this and on the number of steps alone, so a resumed run continues alike.

    Example:
        >>> skew = RepairedRotation(2.0, dimension=6, every=10)
        >>> torch.equal(skew(0).pairing, skew(9).pairing), torch.equal(skew(9).pairing, skew(10).pairing)
        (True, False)
    """

    strength: float
    dimension: int
    every: int = 1000
    seed: int = 0
    _latest: dict[int, PairwiseRotation] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.dimension < 2 or self.every < 1:
            raise InputError(f"expected dimension >= 2 and every >= 1, got {self}")

    def __call__(self, num_steps: int) -> PairwiseRotation:
        """Build the operator for the step after a number of steps made."""
        period = num_steps // self.every
        if period not in self._latest:
            # Seeds of neighbouring periods differ by a large odd number, so that runs with neighbouring
            # seeds share no pairing.
            generator = torch.Generator().manual_seed((self.seed + 0x9E3779B97F4A7C15 * period) % 2**63)
            self._latest.clear()
            self._latest[period] = PairwiseRotation(self.strength, random_pairing(self.dimension, generator))
        return self._latest[period]


def check_skew(skew: SkewLike) -> SkewOperator | Callable[[int], SkewOperator]:
    """Check what a user gives for J, and turn a matrix into an operator.

    Args:
        skew: Operator, antisymmetric matrix, or function of the number of steps made.

    Returns:
        An operator, or the function.

    Example:
        >>> check_skew([[0.0, 1.0], [-1.0, 0.0]]).acts_on
        'group'
    """
    if callable(skew) and not isinstance(skew, (SkewOperator, type)):
        as_skew_operator(skew(0))
        return skew
    return as_skew_operator(skew)


def resolve_skew(skew: SkewOperator | Callable[[int], SkewOperator], num_steps: int) -> SkewOperator:
    """Find the operator for a step: the one given, or what a function of the number of steps returns.

    Args:
        skew: From `check_skew`.
        num_steps: Steps made.

    Returns:
        The operator.

    Example:
        >>> resolve_skew(lambda k: PairwiseRotation(1.0 + k), 3).strength
        4.0
    """
    return skew if isinstance(skew, SkewOperator) else as_skew_operator(skew(num_steps))


def push_along_skew_drift(
    operator: SkewOperator,
    positions: list[Float[Tensor, "*chains d"]],
    gradients: list[Float[Tensor, "*chains d"]],
    step_size: float,
) -> None:
    """Move positions by the skew drift, x -= step (g + J g), in place.

    Args:
        operator: J, acting on each tensor as it comes.
        positions: x.
        gradients: g.
        step_size: eta.

    Cost:
        For `PairwiseRotation` of neighbours one pass and no memory; else J g and two passes.

    Example:
        >>> x = torch.zeros(2)
        >>> push_along_skew_drift(PairwiseRotation(2.0), [x], [torch.tensor([1.0, 0.0])], 0.5)
        >>> x
        tensor([-0.5000,  1.0000])
    """
    if isinstance(operator, PairwiseRotation) and operator.pairing is None:
        # A pair is a complex number, its rotation a product with -i.
        factor = complex(-step_size, step_size * operator.strength)
        if all(map(_is_complex_ready, positions)) and all(map(_is_complex_ready, gradients)):
            dtype = _COMPLEX[positions[0].dtype]
            torch._foreach_add_(
                [x.view(dtype) for x in positions], [g.view(dtype) for g in gradients], alpha=factor
            )
            return
    rotated = [operator.apply(gradient) for gradient in gradients]
    torch._foreach_add_(positions, torch._foreach_add(gradients, rotated), alpha=-step_size)


def _is_complex_ready(tensor: Tensor) -> bool:
    return (
        tensor.shape[-1] % 2 == 0
        and tensor.dtype in _COMPLEX
        and tensor.is_contiguous()
        and tensor.storage_offset() % 2 == 0
    )
