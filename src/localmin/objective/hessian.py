"""The Hessian of an objective as a symmetric linear operator that is never formed, unless asked for."""

import numpy as np
import scipy.sparse.linalg
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.numerics import ExtremeEigenpairs, extreme_eigenpairs
from localmin.objective.objective import Objective

__all__ = ["HessianOperator"]

_BLOCK_ENTRIES = 2**22


class HessianOperator:
    """Multiply by ``∇²f`` at the point of an objective, and count the products.

    Args:
        objective: The objective; the operator belongs to its point.

    Example:
        >>> saddle = Objective.from_function(lambda p: p[0] ** 2 - 3.0 * p[0] * p[1], torch.zeros(2))
        >>> hessian = HessianOperator(saddle)
        >>> hessian.shape, hessian.dense().tolist()
        ((2, 2), [[2.0, -3.0], [-3.0, 0.0]])
        >>> hessian.num_products
        2
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._num_products = 0

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
        """Number of Hessian-vector products so far."""
        return self._num_products

    def matvec(self, vector: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Multiply by a vector.

        Args:
            vector: Shape ``(n,)``, any floating-point dtype; it is converted to the dtype of the objective.

        Returns:
            ``H v``, shape ``(n,)``, in the dtype of ``vector``, accurate to the dtype of the objective.

        Raises:
            ShapeError: If the shape does not fit.
        """
        if vector.ndim != 1:
            raise ShapeError(f"expected a vector of shape ({self.shape[0]},), got {tuple(vector.shape)}")
        product = self._objective.hvp(vector).to(vector.dtype)
        self._num_products += 1
        return product

    def matmat(self, matrix: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """Multiply by the columns of a matrix.

        Args:
            matrix: Shape ``(n, k)``, any floating-point dtype.

        Returns:
            ``H M``, shape ``(n, k)``, in the dtype of ``matrix``.

        Raises:
            ShapeError: If the shape does not fit.

        Cost:
            ``k`` products, together or one by one, whichever suits the size of the model.
        """
        if matrix.ndim != 2:
            raise ShapeError(f"expected a matrix of shape ({self.shape[0]}, k), got {tuple(matrix.shape)}")
        products = self._objective.hvp(matrix.mT).mT.to(matrix.dtype)
        self._num_products += matrix.shape[1]
        return products

    def __matmul__(self, other: Float[Tensor, "n *k"]) -> Float[Tensor, "n *k"]:
        """Multiply by a vector or by the columns of a matrix."""
        return self.matvec(other) if other.ndim == 1 else self.matmat(other)

    def dense(self, *, max_bytes: int = 2**30) -> Float[Tensor, "n n"]:
        """Form the Hessian, exactly symmetric.

        Args:
            max_bytes: Largest size of the matrix that may be allocated.

        Returns:
            Shape ``(n, n)``, dtype of the objective.

        Raises:
            InputError: If the matrix would be larger; the message says how large. Nothing is allocated then.

        Cost:
            ``n`` products in blocks; twice the memory of the matrix.
        """
        size = self.shape[0]
        num_bytes = size * size * self.dtype.itemsize
        if num_bytes > max_bytes:
            raise InputError(
                f"the dense Hessian of {size} parameters takes {num_bytes / 2**20:.1f} MiB, more than "
                f"max_bytes = {max_bytes / 2**20:.1f} MiB; allow more, or use matvec or extreme_eigenpairs"
            )
        identity = torch.eye(size, dtype=self.dtype, device=self.device)
        rows = max(1, _BLOCK_ENTRIES // size)
        matrix = torch.cat([self._objective.hvp(block) for block in torch.split(identity, rows)])
        self._num_products += size
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

    def to_scipy(self) -> scipy.sparse.linalg.LinearOperator:
        """Wrap the operator for scipy, in float64 on the CPU.

        Returns:
            A ``LinearOperator`` with ``matvec``, ``matmat`` and, the Hessian being symmetric, ``rmatvec``.
        """

        def multiply(array: NDArray[np.float64]) -> NDArray[np.float64]:
            given = torch.from_numpy(np.asarray(array, dtype=np.float64))
            return (self @ given).cpu().numpy()

        def multiply_vector(array: NDArray[np.float64]) -> NDArray[np.float64]:
            return multiply(array.reshape(-1))

        return scipy.sparse.linalg.LinearOperator(
            self.shape, matvec=multiply_vector, rmatvec=multiply_vector, matmat=multiply, dtype=np.float64
        )
