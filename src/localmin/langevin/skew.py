"""Antisymmetric operators J for the skew drift, applied as matrix-vector products and never stored densely.

Pair soft with stiff directions: rotating equal curvatures into each other gains nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.langevin.theory.skew_design import optimal_skew

__all__ = [
    "CoupledChains",
    "DenseSkew",
    "LeftRightSkew",
    "LowRankSkew",
    "PairwiseRotation",
    "SkewOperator",
    "as_skew_operator",
    "check_skew_operator",
    "dense_optimal_skew",
    "random_pairing",
]

ActsOn = Literal["flat", "group", "tensor"]
_SKEW_TOLERANCE_RELATIVE = 1e-6


@runtime_checkable
class SkewOperator(Protocol):
    """What every skew operator can do.

    ``acts_on`` tells an optimiser what to hand over: each tensor flattened ("flat"), the whole parameter
    group as one vector ("group"), or each tensor in its own shape ("tensor").
    """

    @property
    def acts_on(self) -> ActsOn:
        """What an optimiser hands over."""

    def apply(self, gradient: Tensor) -> Tensor:
        """Compute J g."""

    def to_dense(self, dimension: int) -> NDArray[np.float64]:
        """Build J as a matrix, for theory and tests."""


def _dense_by_columns(operator: SkewOperator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    dimension = int(np.prod(shape))
    columns = [
        operator.apply(unit.view(shape)).reshape(-1) for unit in torch.eye(dimension, dtype=torch.float64)
    ]
    dense: NDArray[np.float64] = torch.stack(columns, dim=1).numpy()
    return dense


@dataclass(frozen=True)
class PairwiseRotation:
    """Rotate coordinates in pairs, J = strength [[0, 1], [-1, 0]] on each pair; O(d).

    Args:
        strength: a, any sign.
        pairing: Permutation ``(d,)`` whose entries 2i and 2i + 1 form pair i; None pairs neighbours. With an
            odd d the last coordinate is left alone. See `random_pairing`.

    Example:
        >>> PairwiseRotation(2.0).apply(torch.tensor([1.0, 3.0, 5.0]))
        tensor([ 6., -2.,  0.])
    """

    strength: float
    pairing: Int[Tensor, " d"] | None = None

    def __post_init__(self) -> None:
        if self.pairing is not None and not torch.equal(
            self.pairing.sort().values, torch.arange(self.pairing.numel(), device=self.pairing.device)
        ):
            raise InputError("pairing must be a permutation of 0 .. d - 1")

    @property
    def acts_on(self) -> ActsOn:
        """The whole group with an explicit pairing, else each flattened tensor."""
        return "flat" if self.pairing is None else "group"

    def apply(self, gradient: Float[Tensor, "*chains d"]) -> Float[Tensor, "*chains d"]:
        """Compute J g over the last dimension."""
        half = gradient.shape[-1] // 2
        result = torch.zeros_like(gradient)
        if self.pairing is None:
            result[..., 0 : 2 * half : 2] = self.strength * gradient[..., 1 : 2 * half : 2]
            result[..., 1 : 2 * half : 2] = -self.strength * gradient[..., 0 : 2 * half : 2]
            return result
        if self.pairing.numel() != gradient.shape[-1]:
            raise ShapeError(
                f"the pairing is for d = {self.pairing.numel()}, the gradient has d = {gradient.shape[-1]}"
            )
        pairing = self.pairing.to(gradient.device)
        first, second = pairing[0 : 2 * half : 2], pairing[1 : 2 * half : 2]
        result[..., first] = self.strength * gradient[..., second]
        result[..., second] = -self.strength * gradient[..., first]
        return result

    def to_dense(self, dimension: int) -> NDArray[np.float64]:
        """Build J as a matrix."""
        return _dense_by_columns(self, (dimension,))


def random_pairing(dimension: int, generator: torch.Generator) -> Int[Tensor, " d"]:
    """Draw a pairing for `PairwiseRotation`; keep it for a run, or draw anew between runs.

    Args:
        dimension: d.
        generator: Source of randomness.

    Returns:
        A permutation of 0 .. d - 1.

    Example:
        >>> random_pairing(4, torch.Generator().manual_seed(0)).sort().values
        tensor([0, 1, 2, 3])
    """
    return torch.randperm(dimension, generator=generator)


@dataclass(frozen=True)
class LowRankSkew:
    """J = strength (U V^T - V U^T); O(d k).

    Args:
        left: U ``(d, k)``.
        right: V ``(d, k)``.
        strength: a.

    Example:
        >>> eye = torch.eye(2)
        >>> LowRankSkew(eye[:, :1], eye[:, 1:], 2.0).apply(torch.tensor([1.0, 3.0]))
        tensor([ 6., -2.])
    """

    left: Float[Tensor, "d k"]
    right: Float[Tensor, "d k"]
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.left.dim() != 2 or self.left.shape != self.right.shape:
            raise ShapeError(
                "left and right must both have shape (d, k),"
                f" got {tuple(self.left.shape)} and {tuple(self.right.shape)}"
            )

    @property
    def acts_on(self) -> ActsOn:
        """The whole group."""
        return "group"

    def apply(self, gradient: Float[Tensor, "*chains d"]) -> Float[Tensor, "*chains d"]:
        """Compute J g over the last dimension."""
        if gradient.shape[-1] != self.left.shape[0]:
            raise ShapeError(f"J is for d = {self.left.shape[0]}, the gradient has d = {gradient.shape[-1]}")
        u, v = self.left.to(gradient), self.right.to(gradient)
        return self.strength * ((gradient @ v) @ u.T - (gradient @ u) @ v.T)

    def to_dense(self, dimension: int) -> NDArray[np.float64]:
        """Build J as a matrix."""
        return _dense_by_columns(self, (dimension,))


@dataclass(frozen=True)
class DenseSkew:
    """An explicit J; O(d^2).

    Args:
        matrix: J ``(d, d)`` with J^T = -J.

    Example:
        >>> DenseSkew(torch.tensor([[0.0, 2.0], [-2.0, 0.0]])).apply(torch.tensor([1.0, 3.0]))
        tensor([ 6., -2.])
    """

    matrix: Float[Tensor, "d d"]

    def __post_init__(self) -> None:
        _check_antisymmetric(self.matrix, "matrix")

    @property
    def acts_on(self) -> ActsOn:
        """The whole group."""
        return "group"

    def apply(self, gradient: Float[Tensor, "*chains d"]) -> Float[Tensor, "*chains d"]:
        """Compute J g over the last dimension."""
        if gradient.shape[-1] != self.matrix.shape[0]:
            raise ShapeError(
                f"J is for d = {self.matrix.shape[0]}, the gradient has d = {gradient.shape[-1]}"
            )
        return gradient @ self.matrix.to(gradient).T

    def to_dense(self, dimension: int) -> NDArray[np.float64]:
        """Build J as a matrix."""
        return _dense_by_columns(self, (dimension,))


@dataclass(frozen=True)
class LeftRightSkew:
    """Rotate a weight matrix from both sides, J(G) = L G + G R^T with L and R antisymmetric; O(p q (p + q)).

    Args:
        left: L ``(p, p)``, or None for 0.
        right: R ``(q, q)``, or None for 0.

    Example:
        >>> J = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
        >>> LeftRightSkew(J, None).apply(torch.eye(2))
        tensor([[ 0.,  1.],
                [-1.,  0.]])
    """

    left: Float[Tensor, "p p"] | None
    right: Float[Tensor, "q q"] | None

    def __post_init__(self) -> None:
        for name, matrix in (("left", self.left), ("right", self.right)):
            if matrix is not None:
                _check_antisymmetric(matrix, name)

    @property
    def acts_on(self) -> ActsOn:
        """Each tensor in its own shape."""
        return "tensor"

    def apply(self, gradient: Float[Tensor, "*chains p q"]) -> Float[Tensor, "*chains p q"]:
        """Compute J(G) over the last two dimensions."""
        wanted = tuple(None if one is None else one.shape[0] for one in (self.left, self.right))
        fits = gradient.dim() >= 2 and all(
            size is None or size == have for size, have in zip(wanted, gradient.shape[-2:], strict=True)
        )
        if not fits:
            raise ShapeError(
                f"expected a gradient (..., p, q) with (p, q) = {wanted}, got {tuple(gradient.shape)}"
            )
        result = torch.zeros_like(gradient)
        if self.left is not None:
            result = result + self.left.to(gradient) @ gradient
        if self.right is not None:
            result = result + gradient @ self.right.to(gradient).T
        return result

    def to_dense(self, dimension: int) -> NDArray[np.float64]:
        """Build J as a matrix on row-major vectors; a missing side gets the size that fits."""
        rows = self.left.shape[0] if self.left is not None else dimension // self.right.shape[0]  # type: ignore[union-attr]
        return _dense_by_columns(self, (rows, dimension // rows))


@dataclass(frozen=True)
class CoupledChains:
    """Couple chains 2i and 2i + 1 on the leading dimension, J = strength [[0, P], [-P, 0]]; O(d).

    Each chain keeps its own Gibbs law. With P the identity the quadratic rate does not improve at all; let P
    swap soft with stiff coordinates.

    Args:
        strength: a.
        partner: Index ``(d,)`` of a symmetric permutation P: partner[partner[i]] = i. None reverses the
            coordinates.

    Example:
        >>> CoupledChains(2.0).apply(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([[ 8.,  6.],
                [-4., -2.]])
    """

    strength: float
    partner: Int[Tensor, " d"] | None = None

    def __post_init__(self) -> None:
        if self.partner is not None and not torch.equal(
            self.partner[self.partner], torch.arange(self.partner.numel(), device=self.partner.device)
        ):
            raise InputError("partner must be a symmetric permutation: partner[partner[i]] = i")

    @property
    def acts_on(self) -> ActsOn:
        """Each tensor in its own shape, chains leading."""
        return "tensor"

    def apply(self, gradient: Float[Tensor, "chains d"]) -> Float[Tensor, "chains d"]:
        """Compute J g on pairs of chains."""
        if gradient.dim() < 2 or gradient.shape[0] % 2:
            raise ShapeError(
                "coupled chains need a gradient (chains, d) with an even number of chains,"
                f" got {tuple(gradient.shape)}"
            )
        swapped = (
            gradient.flip(-1) if self.partner is None else gradient[..., self.partner.to(gradient.device)]
        )
        result = torch.empty_like(gradient)
        result[0::2] = self.strength * swapped[1::2]
        result[1::2] = -self.strength * swapped[0::2]
        return result

    def to_dense(self, dimension: int) -> NDArray[np.float64]:
        """Build J for one pair of chains of dimension / 2 coordinates each."""
        return _dense_by_columns(self, (2, dimension // 2))


def dense_optimal_skew(hessian: ArrayLike, *, strength: float = 1.0) -> DenseSkew:
    """Build the operator that gives every mode of a known Hessian the rate tr(H)/d in continuous time.

    Args:
        hessian: Positive definite Hessian: eigenvalues ``(d,)`` or a matrix ``(d, d)``.
        strength: Factor of J. Below 1 trades rate for a larger stable step.

    Returns:
        A dense operator, float64.

    Source:
        See `localmin.langevin.theory.optimal_skew`.

    Example:
        >>> dense_optimal_skew([0.5, 1.0]).matrix.shape
        torch.Size([2, 2])
    """
    return DenseSkew(strength * torch.from_numpy(optimal_skew(hessian)))


def as_skew_operator(skew: Any) -> SkewOperator:
    """Convert a matrix to `DenseSkew`; pass operators through.

    Args:
        skew: A skew operator, or an antisymmetric matrix (tensor, array or nested list).

    Returns:
        A skew operator.

    Raises:
        InputError: If it is neither.

    Example:
        >>> as_skew_operator([[0.0, 1.0], [-1.0, 0.0]]).acts_on
        'group'
    """
    if isinstance(skew, type):
        raise InputError(
            f"skew must be an operator, got the class {skew.__name__}: build one, as in PairwiseRotation(1.0)"
        )
    if isinstance(skew, SkewOperator):
        return skew
    if skew is None:
        raise InputError(
            "skew is missing: pass an operator of localmin.langevin.skew or an antisymmetric matrix"
        )
    try:
        matrix = torch.as_tensor(skew)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"skew must be a skew operator or an antisymmetric matrix, got {type(skew).__name__}"
        ) from error
    return DenseSkew(matrix if matrix.is_floating_point() else matrix.double())


def check_skew_operator(operator: SkewOperator, like: Tensor) -> float:
    """Check on one random vector that g . J g = 0, which every antisymmetric J satisfies.

    Args:
        operator: The operator.
        like: A tensor of the shape that the operator acts on.

    Returns:
        The norm of J g over that of g.

    Raises:
        InputError: If the product is not zero to rounding.
    """
    generator = torch.Generator().manual_seed(0)
    probe = torch.empty(like.shape, dtype=torch.float64).normal_(generator=generator).to(like.device)
    rotated = operator.apply(probe)
    product = float((probe * rotated).sum().abs())
    if product > _SKEW_TOLERANCE_RELATIVE * float(probe.norm() * rotated.norm()):
        raise InputError(
            f"the skew operator is not antisymmetric: g . J g = {product:.3e} for a random g;"
            " the target law would be wrong"
        )
    return float(rotated.norm() / probe.norm())


def _check_antisymmetric(matrix: Tensor, name: str) -> None:
    if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(f"{name} must be a square matrix, got shape {tuple(matrix.shape)}")
    largest = float((matrix + matrix.T).abs().max()) if matrix.numel() else 0.0
    if not largest <= _SKEW_TOLERANCE_RELATIVE * max(float(matrix.abs().max()), 1e-30):
        raise InputError(
            f"{name} must satisfy J^T = -J, largest |J + J^T| is {largest:.2e}; use (A - A^T) / 2"
        )
