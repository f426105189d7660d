"""How the eigenvalues of a symmetric operator are distributed, by stochastic Lanczos quadrature."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray

from localmin.errors import InputError
from localmin.numerics.lanczos import KrylovSpace, MatrixVectorProduct, lanczos
from localmin.numerics.random_draws import as_generator, normal_vector

__all__ = ["SpectralAverage", "SpectralDensity", "spectral_density"]


@dataclass(frozen=True)
class SpectralAverage:
    """A mean over all eigenvalues, with the error of the random starts.

    Args:
        value: Estimate of ``(1/n) Σ_i f(λ_i)``.
        standard_error: Estimated standard deviation over the starts; NaN for a single start.
    """

    value: float
    standard_error: float


@dataclass(frozen=True)
class SpectralDensity:
    """Quadrature nodes and weights for means over the spectrum, a row for each random start.

    Args:
        nodes: Ritz values of each start, ascending.
        weights: Weight of each node; those of a start add up to 1.
        size: Dimension ``n`` of the operator.
        num_products: Products with the operator.
    """

    nodes: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    size: int
    num_products: int

    def mean_of(self, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> SpectralAverage:
        """Estimate ``(1/n) tr f(H)``.

        Args:
            function: ``f``, applied to an array of values.

        Returns:
            Mean and standard error over the starts. Exact in expectation for polynomials of degree below
            twice the number of steps, an approximation for other functions.
        """
        values = [
            float(np.dot(weights, function(np.asarray(nodes))))
            for nodes, weights in zip(self.nodes, self.weights, strict=True)
        ]
        count = len(values)
        error = float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else math.nan
        return SpectralAverage(float(np.mean(values)), error)

    def fraction_below(self, threshold: float) -> SpectralAverage:
        """Estimate the part of the eigenvalues below a threshold.

        Args:
            threshold: The value.

        Returns:
            A fraction in ``[0, 1]``; the jump of a step makes it coarser than a smooth mean.
        """
        return self.mean_of(lambda nodes: (nodes < threshold).astype(np.float64))

    def smoothed(self, points: Sequence[float], width: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Convolve the spectrum with a Gaussian.

        Args:
            points: Where the density is wanted.
            width: Standard deviation of the Gaussian, in the unit of the eigenvalues, positive.

        Returns:
            The density at each point, and its standard error; the density integrates to 1.

        Raises:
            InputError: If ``width`` is not positive.
        """
        if not width > 0.0:
            raise InputError(f"expected width > 0, got {width}")

        def bump(at: float) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
            factor = 1.0 / (width * math.sqrt(2.0 * math.pi))
            return lambda nodes: factor * np.exp(-0.5 * ((nodes - at) / width) ** 2)

        found = [self.mean_of(bump(point)) for point in points]
        return tuple(one.value for one in found), tuple(one.standard_error for one in found)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        return {
            "nodes": [list(row) for row in self.nodes],
            "weights": [list(row) for row in self.weights],
            "size": self.size,
            "num_products": self.num_products,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "SpectralDensity":
        """Read what `to_dict` wrote.

        Args:
            plain: The dictionary.

        Returns:
            An equal density.
        """
        rows = {name: tuple(tuple(row) for row in plain[name]) for name in ("nodes", "weights")}
        return cls(rows["nodes"], rows["weights"], plain["size"], plain["num_products"])


def spectral_density(
    product: MatrixVectorProduct,
    size: int,
    *,
    num_steps: int = 50,
    num_starts: int = 5,
    seed: int | torch.Generator = 0,
    device: torch.device | None = None,
) -> SpectralDensity:
    """Approximate the spectrum of a symmetric operator by Gauss quadrature from random starts.

    Each start is a uniform direction. Lanczos turns it into nodes (the Ritz values) and weights (the squared
    first components of the eigenvectors of the tridiagonal matrix); the mean over the starts approximates the
    distribution of the eigenvalues. A handful of outliers among very many eigenvalues has a weight of
    the order of ``1/n``: use `extreme_eigenpairs` for the ends.

    Args:
        product: Maps a float64 vector ``(n,)`` to ``H v`` of the same kind, for a symmetric ``H``.
        size: Dimension ``n``, at least 1.
        num_steps: Lanczos steps from each start; never more than ``n`` are made.
        num_starts: Independent starts, at least 1; two or more give error bars.
        seed: Integer or CPU generator for the starts.
        device: Where the vectors live; the CPU by default.

    Returns:
        Nodes and weights.

    Raises:
        InputError: If a count is not positive, or a product is not finite.

    Source:
        Golub and Meurant's quadrature; averaging over starts is common practice since Ubaru, Chen and
        Saad 2017. Error bars from the spread over starts are our choice.

    Cost:
        ``num_starts * min(num_steps, n)`` products; ``8 n num_steps`` bytes. Deterministic for a seed.

    Example:
        >>> diagonal = torch.tensor([1.0, 1.0, 3.0, 3.0], dtype=torch.float64)
        >>> density = spectral_density(lambda v: diagonal * v, 4, num_steps=2, num_starts=400)
        >>> [round(node, 9) for node in density.nodes[0]], round(density.fraction_below(2.0).value, 1)
        ([1.0, 3.0], 0.5)
    """
    if min(size, num_steps, num_starts) < 1:
        raise InputError(
            "expected size, num_steps and num_starts to be at least 1, got "
            f"{size}, {num_steps} and {num_starts}"
        )
    generator = as_generator(seed)
    num_steps = min(num_steps, size)
    nodes, weights = [], []
    for _ in range(num_starts):
        start = normal_vector(size, generator, device=device)
        space = None
        for space in lanczos(product, start, max_steps=num_steps, generator=generator):
            # The rest of the space is not reached from this start, so it carries no weight.
            if space.off_diagonal[-1] == 0.0:
                break
        if space is None or (len(space.diagonal) < num_steps and space.off_diagonal[-1] != 0.0):
            raise InputError("a product with the operator is NaN or infinite; is the point finite?")
        found = _quadrature(space)
        nodes.append(found[0])
        weights.append(found[1])
    num_products = sum(len(row) for row in nodes)
    return SpectralDensity(tuple(nodes), tuple(weights), size, num_products)


def _quadrature(space: KrylovSpace) -> tuple[tuple[float, ...], tuple[float, ...]]:
    values, vectors = scipy.linalg.eigh_tridiagonal(space.diagonal, space.off_diagonal[:-1])
    return tuple(values.tolist()), tuple((vectors[0] ** 2).tolist())
