"""The neuron that would help most: maximise ``||G sigma(Z u)||`` over unit ``u``, with an upper bound."""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["NeuronSearch", "StrongestNeurons"]

Array = NDArray[np.float64]

_ON_HYPERPLANE_RELATIVE = 1e-9
_MAX_SUBSETS = 4000


@dataclass(frozen=True)
class StrongestNeurons:
    """Result of one search.

    Attributes:
        directions: Unit vectors found, best first, shape ``(k, d)``.
        strengths: ``||G sigma(Z u)||`` of each, shape ``(k,)``.
        upper_bound: No unit vector is stronger than this.
    """

    directions: Float[Tensor, "k d"]
    strengths: Float[Tensor, " k"]
    upper_bound: float


class NeuronSearch:
    """Search over all neurons on fixed inputs, for many gain matrices.

    The maximum is NP-hard in general. Where the hyperplanes ``z_i u = 0`` cut the space into few cells, all
    are visited: in each, ``sigma`` is linear and the maximum is a leading eigenvector on the span of one of
    the cell's faces, which are visited too; the result is exact up to rounding. Cells whose spectral norm is
    below the best value are skipped. With too many cells: many starts, and a coarse upper bound.

    Args:
        inputs: ``Z``, one row a point, shape ``(n, d)``, float64.
        negative_slope: Slope of the activation below zero.
        max_cells: Largest number of cells to visit.
        num_starts: Starts of the search where cells are too many.
        seed: Seed of the starts.
    """

    def __init__(
        self,
        inputs: Float[Tensor, "n d"],
        *,
        negative_slope: float = 0.0,
        max_cells: int = 4000,
        num_starts: int = 64,
        seed: int = 0,
    ) -> None:
        left, values, right = np.linalg.svd(inputs.detach().numpy(), full_matrices=False)
        rank = int((values > 1e-11 * values[:1]).sum())
        self._rows: Array = left[:, :rank] * values[:rank]
        self._basis: Array = right[:rank]
        self._slope = negative_slope
        self._draws = np.random.default_rng(seed)
        self._num_starts = num_starts
        num_points = inputs.shape[0]
        expected = 2 * sum(math.comb(num_points - 1, k) for k in range(rank))
        subsets = math.comb(num_points, max(rank - 1, 0))
        self.enumerates = rank > 0 and expected <= max_cells and subsets <= _MAX_SUBSETS
        cells = _cells(self._rows) if self.enumerates else {}
        self._signs: Array = np.array([np.frombuffer(key, dtype=np.int8) for key in cells], dtype=np.float64)
        self._rays = [np.array(rays) for rays in cells.values()]
        self._centres: Array = np.array([rays.sum(axis=0) for rays in self._rays])
        self._faces_of: dict[int, list[Array]] = {}
        lengths = np.linalg.norm(self._rows, axis=1)
        self._unit: Array = self._rows / np.where(lengths > 0, lengths, 1.0)[:, None]

    @property
    def num_cells(self) -> int:
        """Number of cells that are visited; 0 where there are too many."""
        return len(self._signs)

    def strongest(self, gains: Float[Tensor, "k n"]) -> StrongestNeurons:
        """Find strong neurons for a gain matrix, with an upper bound on all of them.

        Args:
            gains: ``G``, shape ``(k, n)``, float64.

        Returns:
            Neurons and bound.
        """
        matrix = gains.detach().numpy()
        if self._rows.shape[1] == 0:
            return StrongestNeurons(
                torch.zeros(0, self._basis.shape[1]).double(), torch.zeros(0).double(), 0.0
            )
        vectors, bound = self._visit_cells(matrix) if self.enumerates else self._from_starts(matrix)
        strengths = np.linalg.norm(matrix @ self._activate(self._rows @ vectors.T), axis=0)
        order = np.argsort(-strengths, kind="stable")
        directions = vectors[order] @ self._basis
        bound = max(bound, float(strengths.max()))
        return StrongestNeurons(torch.from_numpy(directions), torch.from_numpy(strengths[order]), bound)

    def _activate(self, values: Array) -> Array:
        return np.maximum(values, 0.0) + self._slope * np.minimum(values, 0.0)

    def _visit_cells(self, gains: Array) -> tuple[Array, float]:
        factors = np.where(self._signs > 0, 1.0, self._slope)
        matrices = (gains[None] * factors[:, None, :]) @ self._rows
        values = np.linalg.norm(matrices, 2, axis=(1, 2))
        found: list[Array] = []
        best = bound = 0.0
        for cell in np.argsort(-values, kind="stable"):
            # A cell whose spectral norm is not above the best found holds nothing stronger.
            if values[cell] <= best * (1 + 1e-13):
                bound = max(bound, float(values[cell]))
                break
            vector = self._strongest_in_cell(int(cell), matrices[cell])
            strength = float(np.linalg.norm(matrices[cell] @ vector))
            found.append(vector)
            best = max(best, strength)
            bound = max(bound, strength)
        return np.array(found) if found else self._centres[:1], max(bound, best)

    def _strongest_in_cell(self, cell: int, matrix: Array) -> Array:
        # The maximum lies inside some face of the cell and is a local maximum on the face's span, so it is
        # the leading eigenvector there (or an equal one on a smaller face: no cell contains a great circle).
        signed = self._signs[cell][:, None] * self._unit
        best = -1.0
        strongest: Array = self._centres[cell] / np.linalg.norm(self._centres[cell])
        for bases in self._faces(cell):
            restricted = matrix @ bases
            leading = np.linalg.eigh(restricted.transpose(0, 2, 1) @ restricted)[1][:, :, -1]
            vectors = np.einsum("fdk,fk->fd", bases, leading)
            vectors = np.concatenate([vectors, -vectors])
            inside = vectors[(vectors @ signed.T).min(axis=1) >= -_ON_HYPERPLANE_RELATIVE]
            if len(inside) == 0:
                continue
            strengths = np.linalg.norm(inside @ matrix.T, axis=1)
            if strengths.max() > best:
                best, strongest = float(strengths.max()), inside[int(strengths.argmax())]
        return strongest

    def _faces(self, cell: int) -> list[Array]:
        # Orthonormal bases of the spans of the cell's faces, grouped by dimension; kept for later calls.
        if cell not in self._faces_of:
            rank = self._rows.shape[1]
            touched = (np.abs(self._rays[cell] @ self._unit.T) <= _ON_HYPERPLANE_RELATIVE).any(axis=0)
            walls = np.flatnonzero(touched & (np.linalg.norm(self._unit, axis=1) > 0))
            groups = [np.eye(rank)[None]]
            for size in range(1, rank):
                subsets = np.array(list(combinations(walls, size)), dtype=np.intp)
                if len(subsets) == 0:
                    break
                _, values, right = np.linalg.svd(self._unit[subsets], full_matrices=True)
                independent = values[:, -1] > _ON_HYPERPLANE_RELATIVE
                groups.append(right[independent, size:].transpose(0, 2, 1))
            self._faces_of[cell] = groups
        return self._faces_of[cell]

    def _from_starts(self, gains: Array) -> tuple[Array, float]:
        rank = self._rows.shape[1]
        starts = np.concatenate([self._draws.standard_normal((self._num_starts, rank)), self._rows])
        starts = starts[np.linalg.norm(starts, axis=1) > 0]
        found = []
        for start in starts:
            vector = start / np.linalg.norm(start)
            strongest, strength = vector, 0.0
            for _ in range(50):
                values = self._rows @ vector
                matrix = (gains * np.where(values > 0, 1.0, self._slope)) @ self._rows
                now = float(np.linalg.norm(matrix @ vector))
                if now <= strength * (1 + 1e-10):
                    break
                strongest, strength = vector, now
                step = matrix.T @ (matrix @ vector)
                vector = step / max(float(np.linalg.norm(step)), 1e-300)
            found.append(strongest)
        # sigma(z) = (1+s)/2 z + (1-s)/2 |z|, and |z| is no longer than z.
        spectral = np.linalg.norm(gains, 2) * np.linalg.norm(self._rows, 2)
        split = (
            abs(1 + self._slope) / 2 * np.linalg.norm(gains @ self._rows, 2)
            + abs(1 - self._slope) / 2 * spectral
        )
        lipschitz = max(1.0, abs(self._slope)) * spectral
        return np.array(found), float(min(split, lipschitz))


def _cells(rows: Array) -> dict[bytes, list[Array]]:
    # Cells of the arrangement of hyperplanes normal to the rows: signs, and the rays that span each cell.
    # Every cell of an arrangement whose rows span the space is spanned by rays, and each ray is where
    # rank - 1 independent hyperplanes meet. Around a ray the cells are those of the hyperplanes through it.
    rank = rows.shape[1]
    lengths = np.linalg.norm(rows, axis=1)
    unit = rows / np.where(lengths > 0, lengths, 1.0)[:, None]
    cells: dict[bytes, list[Array]] = {}
    seen: set[bytes] = set()
    for subset in combinations(np.flatnonzero(lengths > 0), rank - 1):
        ray = _common_ray(unit[list(subset)], rank)
        if ray is None:
            continue
        values = unit @ ray
        through = (np.abs(values) <= _ON_HYPERPLANE_RELATIVE) & (lengths > 0)
        if through.tobytes() in seen:
            continue
        seen.add(through.tobytes())
        local = _local_signs(unit[through], ray)
        for direction in (ray, -ray):
            signs = np.where(unit @ direction >= 0, 1, -1).astype(np.int8)
            for around in local:
                signs[through] = around
                cells.setdefault(signs.tobytes(), []).append(direction)
    return cells


def _common_ray(normals: Array, rank: int) -> Array | None:
    if rank == 1:
        return np.ones(1)
    _, values, right = np.linalg.svd(normals, full_matrices=True)
    return None if values[-1] <= _ON_HYPERPLANE_RELATIVE else right[-1]


def _local_signs(normals: Array, ray: Array) -> list[NDArray[np.int8]]:
    if len(normals) == 0:
        return [np.zeros(0, dtype=np.int8)]
    complement = np.linalg.svd(ray[None], full_matrices=True)[2][1:]
    return [np.frombuffer(key, dtype=np.int8) for key in _cells(normals @ complement.T)]
