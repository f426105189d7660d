"""Products of consecutive weights, with the singular value decompositions that classification needs."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Chain", "spectral_norm"]


def spectral_norm(matrix: Float[Tensor, "_ _"]) -> float:
    """Compute the largest singular value; zero for an empty matrix."""
    return float(torch.linalg.matrix_norm(matrix, 2)) if matrix.numel() else 0.0


@dataclass(frozen=True, eq=False)
class Chain:
    """Weights ``W_1, ..., W_N`` of a whitened problem; layers are counted from 1 as in the literature.

    Args:
        weights: Checked weights, float64.
    """

    weights: Sequence[Float[Tensor, "_ _"]]

    @property
    def depth(self) -> int:
        """Number ``N`` of layers."""
        return len(self.weights)

    @functools.cached_property
    def product(self) -> Float[Tensor, "outputs inputs"]:
        """``R = W_N ⋯ W_1``."""
        return self.weights[-1] @ self.before(self.depth)

    @functools.cached_property
    def _products(self) -> dict[tuple[int, int], Tensor]:
        # The entry (i, j) is B_ij = W_{i-1} ⋯ W_{j+1}, with j from 0 so that B_i0 = B_i.
        products = {}
        for j in range(self.depth):
            width = self.weights[j].shape[1] if j == 0 else self.weights[j - 1].shape[0]
            product = torch.eye(width, dtype=self.weights[0].dtype, device=self.weights[0].device)
            products[j + 1, j] = product
            for i in range(j + 2, self.depth + 2):
                product = self.weights[i - 2] @ product
                products[i, j] = product
        return products

    def before(self, layer: int) -> Float[Tensor, "_ inputs"]:
        """Look up ``B_k = W_{k-1} ⋯ W_1``; the identity for the first layer."""
        return self._products[layer, 0]

    def between(self, upper: int, lower: int) -> Float[Tensor, "_ _"]:
        """Look up ``B_ij = W_{i-1} ⋯ W_{j+1}`` for ``i > j >= 1``; the identity for neighbours."""
        return self._products[upper, lower]

    def after(self, layer: int) -> Float[Tensor, "outputs _"]:
        """Look up ``A_k = W_N ⋯ W_{k+1}``; the identity for the last layer."""
        if layer == self.depth:
            size = self.weights[-1].shape[0]
            return torch.eye(size, dtype=self.weights[0].dtype, device=self.weights[0].device)
        return self._products[self.depth + 1, layer]

    def gradient(self, layer: int, residual: Float[Tensor, "outputs inputs"]) -> Float[Tensor, "_ _"]:
        """Compute the gradient block ``A_kᵀ G B_kᵀ`` of one layer."""
        return self.after(layer).mT @ residual @ self.before(layer).mT

    @functools.cached_property
    def norms_after(self) -> tuple[float, ...]:
        """``‖A_1‖₂, ..., ‖A_N‖₂``."""
        return tuple(spectral_norm(self.after(layer)) for layer in range(1, self.depth + 1))

    @functools.cached_property
    def norms_before(self) -> tuple[float, ...]:
        """``‖B_1‖₂, ..., ‖B_N‖₂``."""
        return tuple(spectral_norm(self.before(layer)) for layer in range(1, self.depth + 1))
