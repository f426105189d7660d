"""Slow, obvious reference versions for `localmin.realization`."""

from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linprog
from torch import Tensor

__all__ = ["enumerate_regions", "maximise_by_linear_programs"]


def enumerate_regions(normals: Float[Tensor, "K d"], offsets: Float[Tensor, " K"]) -> list[tuple[int, ...]]:
    """List the sign vectors of the regions of an affine arrangement, by linear programs.

    One hyperplane after the other is added; a sign stays if some point of a box is on that side of it by
    a margin, together with all signs before.

    Args:
        normals: Unit normals.
        offsets: Offsets ``beta`` of ``<h, x> + beta = 0``.

    Returns:
        One tuple of +1 and -1 for each region.

    Cost:
        Two linear programs for each hyperplane and region so far.
    """
    regions: list[tuple[int, ...]] = [()]
    rows, shifts = normals.numpy(), offsets.numpy()
    for count in range(1, len(rows) + 1):
        candidates = [(*signs, sign) for signs, sign in product(regions, (1, -1))]
        regions = [signs for signs in candidates if _has_interior(rows[:count], shifts[:count], signs)]
    return regions


def maximise_by_linear_programs(
    normals: Float[Tensor, "K d"],
    offsets: Float[Tensor, " K"],
    coefficients: Float[Tensor, "K q"],
    constant: Float[Tensor, " q"],
) -> float:
    """Maximise ``|constant_q + sum_k sigma_k coefficients_kq|`` over the listed regions.

    Args:
        normals: Unit normals.
        offsets: Offsets.
        coefficients: One row for each hyperplane.
        constant: Constant part.

    Returns:
        The maximum.
    """
    signs = torch.tensor(enumerate_regions(normals, offsets), dtype=torch.float64)
    return float((constant + signs @ coefficients).abs().max())


def _has_interior(rows: np.ndarray, shifts: np.ndarray, signs: tuple[int, ...]) -> bool:
    # Maximise the margin t of sign_k (<h_k, x> + beta_k) >= t in a large box.
    sides = np.asarray(signs, dtype=float)
    constraints = np.hstack([-sides[:, None] * rows, np.ones((len(rows), 1))])
    cost = np.zeros(rows.shape[1] + 1)
    cost[-1] = -1.0
    bounds = [(-1e4, 1e4)] * rows.shape[1] + [(None, 1.0)]
    answer = linprog(cost, A_ub=constraints, b_ub=sides * shifts, bounds=bounds, method="highs")
    return bool(answer.status == 0 and -answer.fun > 1e-7)
