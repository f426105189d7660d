"""Both ends of the spectrum of a symmetric operator, by Lanczos from several random starts."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.numerics.lanczos import KrylovSpace, MatrixVectorProduct, RitzPair, lanczos
from localmin.numerics.lanczos_bounds import lanczos_relative_error, smallest_eigenvalue_lower_bound
from localmin.numerics.random_draws import as_generator, normal_vector

__all__ = ["Eigenpair", "ExtremeEigenpairs", "extreme_eigenpairs"]


@dataclass(frozen=True, eq=False)
class Eigenpair:
    """An approximate eigenpair ``(value, vector)``, checked by a product of its own.

    Args:
        value: Rayleigh quotient ``vᵀHv`` of the vector.
        vector: Unit vector, shape ``(n,)``, float64.
        residual_norm: ``norm(H v - value v)``. Some eigenvalue lies within this distance of ``value``; it
            need not be the extreme one.
    """

    value: float
    vector: Float[Tensor, " n"]
    residual_norm: float


@dataclass(frozen=True, eq=False)
class ExtremeEigenpairs:
    """The ends of a spectrum as far as a budget of products shows them.

    Args:
        smallest: Approximate smallest eigenpair: its value is an upper bound of the smallest eigenvalue.
        largest: Approximate largest eigenpair: its value is a lower bound of the largest eigenvalue.
        status: "converged": both residuals are within the tolerance. "max-steps": they are not.
            "not-finite": a product gave NaN or infinity; values may be NaN.
        is_exhaustive: Some start spanned the whole space, so both pairs are exact up to rounding.
        num_steps: Steps of the shortest run, the ``k`` of the failure probability.
        num_starts: Independent starts, the ``s`` of the failure probability.
        num_products: Products with the operator, those for the residuals included.
    """

    smallest: Eigenpair
    largest: Eigenpair
    status: Literal["converged", "max-steps", "not-finite"]
    is_exhaustive: bool
    num_steps: int
    num_starts: int
    num_products: int

    def lower_bound(self, failure_probability: float) -> float:
        """Bound the smallest eigenvalue from below, with a stated probability of being wrong.

        Args:
            failure_probability: Over the random starts, in ``(0, 1)``; both ends count.

        Returns:
            The bound in exact arithmetic, rounding comes on top; minus infinity where the budget shows
            nothing or a product was not finite. With ``is_exhaustive`` it holds with certainty.

        Raises:
            InputError: If the probability is out of range.
        """
        if self.is_exhaustive:
            return self.smallest.value
        if self.num_steps < 1:
            return -math.inf
        error = lanczos_relative_error(
            failure_probability / 2.0,
            size=self.smallest.vector.numel(),
            num_steps=self.num_steps,
            num_starts=self.num_starts,
        )
        return smallest_eigenvalue_lower_bound(self.smallest.value, self.largest.value, error)


def extreme_eigenpairs(
    product: MatrixVectorProduct,
    size: int,
    *,
    num_steps: int,
    num_starts: int = 2,
    residual_tolerance_relative: float = 1e-6,
    seed: int | torch.Generator = 0,
    device: torch.device | None = None,
) -> ExtremeEigenpairs:
    """Approximate the smallest and the largest eigenpair of a symmetric operator.

    A small residual does not show that a value is extreme: a start without a component along an
    eigenvector cannot see it. Several starts make that improbable; `lanczos_failure_probability` says how
    improbable, and `smallest_eigenvalue_lower_bound` turns it into a bound.

    Args:
        product: Maps a float64 vector ``(n,)`` to ``H v`` of the same kind, for a symmetric ``H``.
        size: Dimension ``n``, at least 1.
        num_steps: Lanczos steps from each start; never more than ``n`` are made.
        num_starts: Independent Gaussian starts, at least 1.
        residual_tolerance_relative: Residual that counts as converged, relative to the largest absolute
            value of the two ends.
        seed: Integer or CPU generator for the starts.
        device: Where the vectors live; the CPU by default.

    Returns:
        Both pairs with explicit residuals.

    Raises:
        InputError: If ``size``, ``num_steps`` or ``num_starts`` is not positive.

    Cost:
        ``num_starts * min(num_steps, n) + 2`` products; ``8 n num_steps`` bytes. Deterministic for a seed.

    Example:
        >>> diagonal = torch.linspace(-1.0, 3.0, 50, dtype=torch.float64)
        >>> ends = extreme_eigenpairs(lambda v: diagonal * v, 50, num_steps=50, num_starts=1)
        >>> round(ends.smallest.value, 9), round(ends.largest.value, 9), ends.status
        (-1.0, 3.0, 'converged')
    """
    if min(size, num_steps, num_starts) < 1:
        raise InputError(
            "expected size, num_steps and num_starts to be at least 1, got "
            f"{size}, {num_steps} and {num_starts}"
        )
    generator = as_generator(seed)
    num_steps = min(num_steps, size)
    smallest: list[RitzPair] = []
    largest: list[RitzPair] = []
    dimensions: list[int] = []
    for _ in range(num_starts):
        start = normal_vector(size, generator, device=device)
        space = _last(lanczos(product, start, max_steps=num_steps, generator=generator))
        dimensions.append(0 if space is None else len(space.diagonal))
        if space is not None:
            smallest.append(space.ritz_pair("smallest"))
            largest.append(space.ritz_pair("largest"))
    is_finite = min(dimensions) == num_steps
    if not smallest:
        nothing = Eigenpair(math.nan, torch.full((size,), math.nan, dtype=torch.float64), math.nan)
        return ExtremeEigenpairs(nothing, nothing, "not-finite", False, 0, num_starts, num_starts)
    low = _checked(product, min(smallest, key=lambda pair: pair.value).vector)
    high = _checked(product, max(largest, key=lambda pair: pair.value).vector)
    tolerance = residual_tolerance_relative * max(abs(low.value), abs(high.value))
    is_converged = max(low.residual_norm, high.residual_norm) <= tolerance
    return ExtremeEigenpairs(
        smallest=low,
        largest=high,
        status="not-finite" if not is_finite else "converged" if is_converged else "max-steps",
        is_exhaustive=max(dimensions) == size,
        num_steps=min(dimensions),
        num_starts=num_starts,
        # A start that met a product that is not finite spent one product more than it has dimensions.
        num_products=sum(min(dimension + 1, num_steps) for dimension in dimensions) + 2,
    )


def _last(spaces: Iterator[KrylovSpace]) -> KrylovSpace | None:
    last = None
    for space in spaces:
        last = space
    return last


def _checked(product: MatrixVectorProduct, vector: Tensor) -> Eigenpair:
    image = product(vector)
    value = float(vector @ image)
    return Eigenpair(value, vector, float((image - value * vector).norm()))
