"""The symmetric Lanczos process with full reorthogonalisation, one step at a time."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import scipy.linalg
import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.numerics.random_draws import normal_vector

__all__ = ["KrylovSpace", "MatrixVectorProduct", "RitzPair", "lanczos"]

MatrixVectorProduct = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class RitzPair:
    """An approximate eigenpair from a Krylov space.

    Args:
        value: Ritz value; it lies between the smallest and the largest eigenvalue, up to rounding.
        vector: Unit vector, shape ``(n,)``, float64.
        residual_estimate: ``norm(H v - value v)`` as the recurrence predicts it, without another product.
            Some eigenvalue lies that near to ``value``, not necessarily the extreme one.
    """

    value: float
    vector: Float[Tensor, " n"]
    residual_estimate: float


@dataclass(frozen=True, eq=False)
class KrylovSpace:
    """An orthonormal basis in which a symmetric operator is tridiagonal.

    Args:
        basis: Orthonormal rows, shape ``(k, n)``, float64. Spaces of one process share memory; the rows
            that a space shows never change.
        diagonal: Diagonal of the tridiagonal matrix, length ``k``.
        off_diagonal: Its off-diagonal, length ``k``; the last entry couples to the vector that would
            come next. A zero marks an invariant subspace.
    """

    basis: Float[Tensor, "k n"]
    diagonal: tuple[float, ...]
    off_diagonal: tuple[float, ...]

    def ritz_values(self) -> Float[Tensor, " k"]:
        """Compute all Ritz values.

        Returns:
            Ascending, shape ``(k,)``, float64, on the CPU.
        """
        return torch.from_numpy(scipy.linalg.eigvalsh_tridiagonal(self.diagonal, self.off_diagonal[:-1]))

    def ritz_pair(self, which: Literal["smallest", "largest"]) -> RitzPair:
        """Compute the Ritz pair at one end of the spectrum.

        Args:
            which: "smallest" or "largest", with sign.

        Returns:
            The pair, with the residual that the recurrence predicts.

        Cost:
            ``O(k² + kn)``; no product with the operator.
        """
        index = 0 if which == "smallest" else len(self.diagonal) - 1
        values, coefficients = scipy.linalg.eigh_tridiagonal(
            self.diagonal, self.off_diagonal[:-1], select="i", select_range=(index, index)
        )
        weights = torch.from_numpy(coefficients[:, 0]).to(self.basis.device)
        vector = self.basis.mT @ weights
        residual_estimate = abs(self.off_diagonal[-1] * float(coefficients[-1, 0]))
        return RitzPair(float(values[0]), vector / vector.norm(), residual_estimate)


def lanczos(
    product: MatrixVectorProduct,
    start: Float[Tensor, " n"],
    *,
    max_steps: int,
    generator: torch.Generator,
) -> Iterator[KrylovSpace]:
    """Grow a Krylov space of a symmetric operator one product at a time; stop whenever enough is known.

    Every new vector is orthogonalised twice against all earlier ones, so no spurious copies of
    eigenvalues appear. When the space becomes invariant, the process goes on from a random vector in its
    orthogonal complement, so it also finds eigenvectors to which ``start`` is orthogonal.
    The process ends before ``max_steps`` when the space is the whole of ``R^n``, where it is exact, or
    when a product is not finite.

    Args:
        product: Maps a float64 vector ``(n,)`` to ``H v`` of the same kind, for a symmetric ``H``.
        start: First vector, shape ``(n,)``, float64, not zero; it need not have unit length.
        max_steps: Largest number of products, at least 1.
        generator: Source of the vectors after an invariant subspace; on the CPU.

    Returns:
        An iterator over the space after each product, of dimension 1, 2, ...

    Raises:
        ShapeError: If ``start`` is no float64 vector.
        InputError: If ``start`` is zero or not finite, or ``max_steps`` is not positive.

    Source:
        Textbook method; the restart after an invariant subspace and the threshold for it are our choice.

    Cost:
        One product and ``O(kn)`` operations in step ``k``; ``8 n max_steps`` bytes where ``start`` is.

    Example:
        >>> diagonal = torch.tensor([-1.0, 2.0, 5.0], dtype=torch.float64)
        >>> start = torch.ones(3, dtype=torch.float64)
        >>> steps = lanczos(lambda v: diagonal * v, start, max_steps=3, generator=torch.Generator())
        >>> [round(value, 12) for value in list(steps)[-1].ritz_values().tolist()]
        [-1.0, 2.0, 5.0]
    """
    if start.ndim != 1 or start.dtype != torch.float64:
        raise ShapeError(f"expected a float64 vector (n,), got {start.dtype} of shape {tuple(start.shape)}")
    norm = float(start.norm())
    if not (0.0 < norm < math.inf):
        raise InputError(f"expected a start vector that is finite and not zero, got one of norm {norm}")
    if max_steps < 1:
        raise InputError(f"expected max_steps >= 1, got {max_steps}")
    return _lanczos(product, start / norm, min(max_steps, start.numel()), generator)


def _lanczos(
    product: MatrixVectorProduct, vector: Tensor, max_steps: int, generator: torch.Generator
) -> Iterator[KrylovSpace]:
    size = vector.numel()
    # Memory is only touched where the process gets to, so a generous max_steps costs nothing on a CPU.
    buffer = torch.empty(max_steps, size, dtype=torch.float64, device=vector.device)
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    scale = 0.0
    for step in range(max_steps):
        buffer[step] = vector
        basis = buffer[: step + 1]
        image = product(vector)
        centre = float(vector @ image)
        remainder = _orthogonalise(image, basis)
        coupling = float(remainder.norm())
        if not math.isfinite(centre + coupling):
            return
        scale = max(scale, abs(centre) + coupling)
        # What is left of the image is rounding: its direction carries no information about the operator.
        is_invariant = coupling <= 10.0 * math.sqrt(size) * torch.finfo(torch.float64).eps * scale
        diagonal.append(centre)
        off_diagonal.append(0.0 if is_invariant else coupling)
        yield KrylovSpace(basis, tuple(diagonal), tuple(off_diagonal))
        if step + 1 < max_steps:
            if is_invariant:
                remainder = _orthogonalise(normal_vector(size, generator, device=vector.device), basis)
            vector = remainder / remainder.norm()


def _orthogonalise(vector: Tensor, basis: Tensor) -> Tensor:
    # "Twice is enough": one pass loses orthogonality when it cancels most of the vector.
    for _ in range(2):
        vector = vector - basis.mT @ (basis @ vector)
    return vector
