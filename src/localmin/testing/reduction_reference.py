"""Slow, obvious versions of what `localmin.reduction` computes, for tests and comparisons."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linprog
from torch import Tensor

from localmin.reduction import HomogeneousNetwork

__all__ = ["group_lasso_value", "linear_program_vertex", "neighbour_norms"]


def linear_program_vertex(
    columns: Float[Tensor, "d m"],
    weights: Float[Tensor, " m"],
    costs: Float[Tensor, " m"],
    *,
    seconds: float | None = None,
) -> Float[Tensor, " m"] | None:
    """Solve ``min costs w`` over ``w >= 0`` with ``A w`` given, by the HiGHS dual simplex method.

    Args:
        columns: ``A``, shape ``(d, m)``.
        weights: Any feasible point, shape ``(m,)``.
        costs: Shape ``(m,)``.
        seconds: Time limit.

    Returns:
        A vertex of least cost; None if the solver gave none in time.
    """
    norms = columns.norm(dim=0)
    scaled = (columns / norms).numpy()
    found = linprog(
        (costs / norms).numpy(),
        A_eq=scaled,
        b_eq=scaled @ (weights * norms).numpy(),
        method="highs-ds",
        options={} if seconds is None else {"time_limit": seconds},
    )
    return None if found.x is None else torch.from_numpy(np.asarray(found.x)) / norms


def neighbour_norms(
    network: HomogeneousNetwork,
    points: Float[Tensor, "n inputs"],
    layer: int,
    values: Float[Tensor, "n width"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Compute the norms into and out of a hidden layer if its pre-activations were ``values``.

    Args:
        network: Network whose other layers stay, float64.
        points: Rows.
        layer: Number of the hidden layer.
        values: Pre-activations, shape ``(n, n_l)``; may require a gradient.

    Returns:
        ``||Z_l (Z_{l-1}^s)^+||²`` and ``||Z_{l+1} (Z_l^s)^+||²`` with torch's pseudo-inverse, differentiable.
    """
    fixed = network.preactivations(points)
    below = points if layer == 1 else network.activate(layer - 1, fixed[layer - 2])
    here = network.activate(layer, values)
    norms = []
    for number, features, targets in ((layer, below, values), (layer + 1, here, fixed[layer])):
        if network.biases[number - 1] is not None:
            features = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
        norms.append((torch.linalg.pinv(features) @ targets).square().sum())
    return norms[0], norms[1]


def group_lasso_value(
    features: Float[Tensor, "n m"], targets: Float[Tensor, "n k"], costs: Float[Tensor, " m"], num_steps: int
) -> float:
    """Minimise ``2 sum_j sqrt(a_j) ||v_j||`` over ``S V = Z`` by re-weighted least squares.

    Args:
        features: ``S``, one row a point.
        targets: ``Z``.
        costs: ``a_j``.
        num_steps: Re-weightings.

    Returns:
        The value reached, an upper bound of the minimum.
    """
    weights = torch.ones_like(costs)
    value = float("inf")
    for _ in range(num_steps):
        scaled = features * weights.sqrt()
        solution = weights.sqrt()[:, None] * (torch.linalg.pinv(scaled) @ targets)
        value = float(2 * (costs.sqrt() * solution.norm(dim=1)).sum())
        weights = solution.norm(dim=1) / costs.sqrt()
    return value
