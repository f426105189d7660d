"""Symmetric operators made of derivatives, never formed unless asked for: what all of them can do."""

import abc
from collections.abc import Callable
from typing import Literal

import numpy as np
import scipy.sparse.linalg
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.numerics import (
    ExtremeEigenpairs,
    SpectralDensity,
    TraceEstimate,
    estimate_trace,
    extreme_eigenpairs,
    spectral_density,
)
from localmin.objective.objective import Objective

__all__ = ["AbstractCurvatureOperator"]

_BLOCK_ENTRIES = 2**22


class AbstractCurvatureOperator(abc.ABC):
    """A symmetric operator at the point of an objective; it counts its products.

    Args:
        objective: The objective; the operator belongs to its point.
        on_product: Told the number of products so far, after each; for showing progress.
    """

    def __init__(self, objective: Objective, *, on_product: Callable[[int], None] | None = None) -> None:
        self._objective = objective
        self._on_product = on_product
        self._num_products = 0

    @abc.abstractmethod
    def _multiply_rows(self, vectors: Float[Tensor, "*k n"]) -> Float[Tensor, "*k n"]:
        """Multiply by a vector or the rows of a matrix, in the dtype of the objective."""

    def _count(self, number: int) -> None:
        self._num_products += number
        if self._on_product is not None:
            self._on_product(self._num_products)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(n, n)``."""
        return self._objective.num_parameters, self._objective.num_parameters

    @property
    def dtype(self) -> torch.dtype:
        """Dtype in which products are computed."""
        return self._objective.dtype

    @property
    def device(self) -> torch.device:
        """Device on which products are computed."""
        return self._objective.device

    @property
    def num_products(self) -> int:
        """Number of products so far."""
        return self._num_products

    def matvec(self, vector: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Multiply by a vector.

        Args:
            vector: Shape ``(n,)``, any floating-point dtype; it is converted to the dtype of the objective.

        Returns:
            ``A v``, shape ``(n,)``, in the dtype of ``vector``, accurate to the dtype of the objective.

        Raises:
            ShapeError: If the shape does not fit.
        """
        if vector.ndim != 1:
            raise ShapeError(f"expected a vector of shape ({self.shape[0]},), got {tuple(vector.shape)}")
        product = self._multiply_rows(vector).to(vector.dtype)
        self._count(1)
        return product

    def matmat(self, matrix: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """Multiply by the columns of a matrix.

        Args:
            matrix: Shape ``(n, k)``, any floating-point dtype.

        Returns:
            ``A M``, shape ``(n, k)``, in the dtype of ``matrix``.

        Raises:
            ShapeError: If the shape does not fit.

        Cost:
            ``k`` products, together or one by one, whichever suits the size of the model.
        """
        if matrix.ndim != 2:
            raise ShapeError(f"expected a matrix of shape ({self.shape[0]}, k), got {tuple(matrix.shape)}")
        products = self._multiply_rows(matrix.mT).mT.to(matrix.dtype)
        self._count(matrix.shape[1])
        return products

    def __matmul__(self, other: Float[Tensor, "n *k"]) -> Float[Tensor, "n *k"]:
        """Multiply by a vector or by the columns of a matrix."""
        return self.matvec(other) if other.ndim == 1 else self.matmat(other)

    @property
    def num_dense_bytes(self) -> int:
        """Bytes of the matrix that `dense` would form; it needs twice as many."""
        return self.shape[0] ** 2 * self.dtype.itemsize

    def dense(self, *, max_bytes: int = 2**30) -> Float[Tensor, "n n"]:
        """Form the matrix, exactly symmetric.

        Args:
            max_bytes: Largest size of the matrix that may be allocated.

        Returns:
            Shape ``(n, n)``, dtype of the objective.

        Raises:
            InputError: If the matrix would be larger; the message says how large. Nothing is allocated then.

        Cost:
            ``n`` products in blocks; twice the memory of the matrix.
        """
        size, num_bytes = self.shape[0], self.num_dense_bytes
        if num_bytes > max_bytes:
            raise InputError(
                f"the dense matrix of {size} parameters takes {num_bytes / 2**20:.1f} MiB, more than "
                f"max_bytes = {max_bytes / 2**20:.1f} MiB; allow more, or use matvec or extreme_eigenpairs"
            )
        identity = torch.eye(size, dtype=self.dtype, device=self.device)
        rows = max(1, _BLOCK_ENTRIES // size)
        blocks = []
        for block in torch.split(identity, rows):
            blocks.append(self._multiply_rows(block))
            self._count(len(block))
        matrix = torch.cat(blocks)
        return (matrix + matrix.mT) / 2

    def extreme_eigenpairs(
        self, *, num_steps: int, num_starts: int = 2, seed: int | torch.Generator = 0
    ) -> ExtremeEigenpairs:
        """Approximate both ends of the spectrum by Lanczos with full reorthogonalisation in float64.

        Args:
            num_steps: Lanczos steps from each start.
            num_starts: Independent random starts; one start can miss an eigenvector.
            seed: Integer or CPU generator for the starts.

        Returns:
            The smallest and the largest pair with explicit residuals. They are as accurate as the products:
            for small negative curvature the objective should be in float64.

        Raises:
            InputError: If a count is not positive.

        Cost:
            ``num_starts * min(num_steps, n) + 2`` products; ``8 n num_steps`` bytes.
        """
        return extreme_eigenpairs(
            self.matvec,
            self.shape[0],
            num_steps=num_steps,
            num_starts=num_starts,
            seed=seed,
            device=self.device,
        )

    def spectral_density(
        self, *, num_steps: int = 50, num_starts: int = 5, seed: int | torch.Generator = 0
    ) -> SpectralDensity:
        """Approximate the distribution of all eigenvalues by stochastic Lanczos quadrature.

        Args:
            num_steps: Lanczos steps from each start.
            num_starts: Independent random starts; two or more give error bars.
            seed: Integer or CPU generator for the starts.

        Returns:
            Nodes and weights, from which means over the spectrum follow with their standard errors.

        Raises:
            InputError: If a count is not positive, or a product is not finite.

        Cost:
            ``num_starts * min(num_steps, n)`` products; ``8 n num_steps`` bytes.
        """
        return spectral_density(
            self.matvec,
            self.shape[0],
            num_steps=num_steps,
            num_starts=num_starts,
            seed=seed,
            device=self.device,
        )

    def trace(
        self,
        *,
        num_products: int = 60,
        method: Literal["hutchinson", "hutch++"] = "hutch++",
        seed: int | torch.Generator = 0,
    ) -> TraceEstimate:
        """Estimate the sum of all eigenvalues.

        Args:
            num_products: Budget; from ``n`` on the trace is exact.
            method: "hutch++" is more accurate where few eigenvalues dominate; "hutchinson" needs no memory.
            seed: Integer or CPU generator for the random signs.

        Returns:
            The estimate with its standard error.

        Raises:
            InputError: If the method is not known, or the budget too small.

        Cost:
            At most ``num_products`` products.
        """
        return estimate_trace(
            self.matvec,
            self.shape[0],
            num_products=num_products,
            method=method,
            seed=seed,
            device=self.device,
        )

    def to_scipy(self) -> scipy.sparse.linalg.LinearOperator:
        """Wrap the operator for scipy, in float64 on the CPU.

        Returns:
            A ``LinearOperator`` with ``matvec``, ``matmat`` and, by symmetry, ``rmatvec``.
        """

        def multiply(array: NDArray[np.float64]) -> NDArray[np.float64]:
            given = torch.from_numpy(np.asarray(array, dtype=np.float64))
            return (self @ given).cpu().numpy()

        def multiply_vector(array: NDArray[np.float64]) -> NDArray[np.float64]:
            return multiply(array.reshape(-1))

        return scipy.sparse.linalg.LinearOperator(
            self.shape, matvec=multiply_vector, rmatvec=multiply_vector, matmat=multiply, dtype=np.float64
        )
