"""The smallest curvature of an objective: negative curvature as early as possible, else a lower bound."""

import math
from dataclasses import dataclass
from typing import Literal

import scipy.linalg
import torch
from jaxtyping import Float
from torch import Tensor

from localmin.numerics import (
    KrylovSpace,
    lanczos,
    lanczos_relative_error,
    normal_vector,
    rounding_margin_absolute,
    smallest_eigenvalue_lower_bound,
)
from localmin.objective import HessianOperator

__all__ = ["SpectrumSearch", "search_spectrum"]

_DENSE_SIZE = 3000
_DENSE_AT_ONCE = 64
# Below this budget one long run sees more than two short ones; above it a second start, with a quarter of
# the steps, guards against a first one that is blind to an eigenvector.
_BUDGET_FOR_TWO_STARTS = 200
_MAX_STARTS = 2
_MAX_BASIS_BYTES = 2**32
# Products besides the steps: one for the rounding, one for the vector of each start, two for vectors that
# turned out not to be negative beyond the margin.
_NUM_UNCONFIRMED = 2
_NUM_CHECKS = 1 + _MAX_STARTS + _NUM_UNCONFIRMED
_ROUNDING_SAFETY = 10.0
_LARGEST_NOISE = 1e-2


@dataclass(frozen=True, eq=False)
class SpectrumSearch:
    """What a budget of Hessian-vector products shows about the smallest eigenvalue.

    Args:
        method: "lanczos" or "dense".
        status: "negative": curvature below ``-margin - ignored`` was found. "bounded": none, and
            ``lower_bound`` says what is excluded. "unreliable": products contradict each other, or are not
            finite.
        vector: Unit vector of the smallest curvature found, float64 on the CPU; None if there is none.
        curvature: ``vᵀ H v`` from a product of its own.
        largest: Largest eigenvalue found.
        margin: Curvature that rounding alone can produce.
        lower_bound: Bound on the smallest eigenvalue, margin included.
        failure_probability: Probability that the bound does not hold.
        blind_spot: ``ε`` of the bound, relative to the spread; None without a bound.
        num_steps: Lanczos steps from all starts together.
        num_starts: Independent starts.
        eigenvalues: All eigenvalues, from a dense Hessian only.
        eigenvectors: Their eigenvectors as columns.
    """

    method: Literal["lanczos", "dense"]
    status: Literal["negative", "bounded", "unreliable"]
    vector: Float[Tensor, " n"] | None
    curvature: float
    largest: float
    margin: float
    lower_bound: float = -math.inf
    failure_probability: float = 0.0
    blind_spot: float | None = None
    num_steps: int = 0
    num_starts: int = 0
    eigenvalues: Float[Tensor, " n"] | None = None
    eigenvectors: Float[Tensor, "n n"] | None = None


def search_spectrum(
    hessian: HessianOperator,
    *,
    max_hvps: int,
    failure_probability: float,
    generator: torch.Generator,
    ignored: float = 0.0,
) -> SpectrumSearch:
    """Search for negative curvature; stop at the first direction that shows it, else bound what is left.

    Lanczos is stopped after the first step whose smallest Ritz value is below the rounding margin and
    whose vector confirms it in a product of its own; no convergence is needed. Where the budget allows a
    dense Hessian of up to 3000 parameters, a short search comes first. Otherwise one
    start, or from 200 products on two independent ones, three to one, share the budget.

    Args:
        hessian: The operator; it counts the products.
        max_hvps: Budget of products, at least 10.
        failure_probability: Of the lower bound, over the random starts.
        generator: Source of the starts.
        ignored: Negative curvature that does not count, at least 0.

    Returns:
        The finding.

    Source:
        Lanczos bound after Kuczyński and Woźniakowski 1992 (from memory), applied to both ends as derived
        here. The rounding margin is ten times the measured violation of linearity of the products, at least
        ``√n u λ``; the factor is our choice.

    Cost:
        At most ``max_hvps`` products, ``8 n k`` bytes for k steps, at most 4 GiB.
    """
    size = hessian.shape[0]
    short = max(20, size // 5)
    if size <= _DENSE_AT_ONCE and size + _NUM_CHECKS <= max_hvps:
        return _search_densely(hessian, generator, ignored)
    if size <= _DENSE_SIZE and size + short + 2 * _NUM_CHECKS <= max_hvps:
        found = _Lanczos(hessian, generator, ignored).search([short], failure_probability)
        return found if found.status != "bounded" else _search_densely(hessian, generator, ignored)
    largest = min(size, max(2, _MAX_BASIS_BYTES // (8 * size)))
    total = max_hvps - _NUM_CHECKS
    shares = [total] if max_hvps < _BUDGET_FOR_TWO_STARTS else [total - total // 4, total // 4]
    lanczos_search = _Lanczos(hessian, generator, ignored)
    return lanczos_search.search([min(largest, share) for share in shares], failure_probability)


def _search_densely(hessian: HessianOperator, generator: torch.Generator, ignored: float) -> SpectrumSearch:
    size = hessian.shape[0]
    matrix = hessian.dense().double().cpu()
    probe = normal_vector(size, generator)
    probe = probe / probe.norm()
    noise = float((matrix @ probe - hessian.matvec(probe.to(hessian.device)).cpu()).norm())
    if not (bool(torch.isfinite(matrix).all()) and math.isfinite(noise)):
        return SpectrumSearch("dense", "unreliable", None, math.nan, math.nan, math.nan)
    values, vectors = torch.linalg.eigh(matrix)
    scale = float(values.abs().max())
    margin = max(_ROUNDING_SAFETY * noise, rounding_margin_absolute(scale, size, hessian.dtype))
    vector = vectors[:, 0].contiguous()
    curvature = float(vector @ hessian.matvec(vector.to(hessian.device)).cpu())
    status: Literal["negative", "bounded", "unreliable"] = "bounded"
    if noise > _LARGEST_NOISE * scale:
        status = "unreliable"
    elif curvature < -margin - ignored:
        status = "negative"
    return SpectrumSearch(
        method="dense",
        status=status,
        vector=vector,
        curvature=curvature,
        largest=float(values[-1]),
        margin=margin,
        lower_bound=float(values[0]) - margin,
        blind_spot=0.0,
        eigenvalues=values,
        eigenvectors=vectors,
    )


class _Lanczos:
    """One search by Lanczos; it keeps what the starts have in common."""

    def __init__(self, hessian: HessianOperator, generator: torch.Generator, ignored: float) -> None:
        self.hessian = hessian
        self.ignored = ignored
        self.generator = generator
        self.noise: float | None = None
        self.smallest, self.largest = math.inf, -math.inf
        self.next_candidate = math.inf
        self.num_unconfirmed = 0
        self.best: tuple[float, Tensor] | None = None

    def search(self, steps_of_starts: list[int], failure_probability: float) -> SpectrumSearch:
        """Run the starts one after the other until negative curvature is found."""
        size = self.hessian.shape[0]
        for steps in steps_of_starts:
            start = normal_vector(size, self.generator, device=self.hessian.device)
            space = None
            for space in lanczos(self.hessian.matvec, start, max_steps=steps, generator=self.generator):
                if self._is_found(space):
                    return self._result("negative")
            if space is None or len(space.diagonal) < steps or self._is_unreliable():
                return self._result("unreliable")
            self._keep_smallest(space)
        num_steps, num_starts = sum(steps_of_starts), len(steps_of_starts)
        is_exhaustive = max(steps_of_starts) == size
        epsilon = (
            0.0
            if is_exhaustive
            else lanczos_relative_error(
                # The bound depends on the sum of the steps only; rounding their mean down is safe.
                failure_probability / 2.0,
                size=size,
                num_steps=num_steps // num_starts,
                num_starts=num_starts,
            )
        )
        bound = smallest_eigenvalue_lower_bound(self.smallest, self.largest, epsilon) - self._margin()
        return self._result(
            "bounded",
            lower_bound=bound,
            failure_probability=0.0 if is_exhaustive else failure_probability,
            blind_spot=epsilon,
            num_steps=num_steps,
            num_starts=num_starts,
        )

    def _is_found(self, space: KrylovSpace) -> bool:
        smallest, largest = _ends(space)
        self.smallest, self.largest = min(self.smallest, smallest), max(self.largest, largest)
        if self.noise is None and len(space.diagonal) == min(3, self.hessian.shape[0]):
            self.noise = _violation_of_linearity(self.hessian, space)
        if self.noise is None or self._is_unreliable():
            return False
        if self.num_unconfirmed == _NUM_UNCONFIRMED:
            return False
        threshold = -self._margin() - self.ignored
        if not smallest < min(threshold, self.next_candidate):
            return False
        if self._check(space) < threshold:
            return True
        # Another product is worth it only for a value clearly below the one that was not confirmed.
        self.num_unconfirmed, self.next_candidate = self.num_unconfirmed + 1, 2.0 * smallest
        return False

    def _check(self, space: KrylovSpace) -> float:
        vector = space.ritz_pair("smallest").vector
        curvature = float(vector @ self.hessian.matvec(vector))
        if self.best is None or curvature < self.best[0]:
            self.best = curvature, vector.cpu()
        return curvature

    def _keep_smallest(self, space: KrylovSpace) -> None:
        # One product in all: the second start is only worth one if it saw something smaller.
        if self.best is None or _ends(space)[0] < self.best[0] - self._margin():
            self._check(space)

    def _is_unreliable(self) -> bool:
        scale = max(abs(self.smallest), abs(self.largest))
        return self.noise is not None and not self.noise <= _LARGEST_NOISE * scale

    def _margin(self) -> float:
        size, scale = self.hessian.shape[0], max(abs(self.smallest), abs(self.largest))
        floor = rounding_margin_absolute(scale, size, self.hessian.dtype) / math.sqrt(size)
        return max(_ROUNDING_SAFETY * (self.noise or 0.0), floor)

    def _result(
        self, status: Literal["negative", "bounded", "unreliable"], **bound: float | int
    ) -> SpectrumSearch:
        curvature, vector = self.best if self.best is not None else (math.nan, None)
        return SpectrumSearch(
            "lanczos",
            status,
            vector,
            curvature,
            self.largest,
            self._margin(),
            **bound,  # type: ignore[arg-type]
        )


def _ends(space: KrylovSpace) -> tuple[float, float]:
    last = len(space.diagonal) - 1
    smallest, largest = (
        float(
            scipy.linalg.eigvalsh_tridiagonal(
                space.diagonal, space.off_diagonal[:-1], select="i", select_range=(index, index)
            )[0]
        )
        for index in (0, last)
    )
    return smallest, largest


def _violation_of_linearity(hessian: HessianOperator, space: KrylovSpace) -> float:
    # The image of a sum against the sum of images that the recurrence has recorded: it shows rounding,
    # random draws in the model and inexact curvature alike, for one product.
    basis, diagonal, coupling = space.basis, space.diagonal, space.off_diagonal
    if len(diagonal) < 3:
        return float("nan")
    expected = (
        (diagonal[0] + coupling[0]) * basis[0]
        + (coupling[0] + diagonal[1]) * basis[1]
        + coupling[1] * basis[2]
    )
    found = hessian.matvec((basis[0] + basis[1]) / math.sqrt(2.0))
    return float((found - expected / math.sqrt(2.0)).norm())
