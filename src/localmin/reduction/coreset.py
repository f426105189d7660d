"""Exact on a few well-chosen points, measured on all."""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.linalg import qr
from torch import Tensor

from localmin.errors import InputError
from localmin.reduction.approximate_result import ApproximateReduction, Measurement
from localmin.reduction.exact_reduction import reduce
from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.model_reading import ModelT, read_model
from localmin.reduction.rank_decisions import ExactMode
from localmin.reduction.reduction_steps import Progress, ReductionSettings

__all__ = ["choose_coreset", "coreset_reduction"]


def coreset_reduction(
    model: ModelT,
    x: Float[Tensor, "n inputs"],
    num_points: int,
    *,
    mode: ExactMode = "design",
    held_out_points: Float[Tensor, "held inputs"] | None = None,
    settings: ReductionSettings | None = None,
    progress: Progress | None = None,
) -> ApproximateReduction[ModelT]:
    """Reduce exactly on the points that span the representations best; the others are only measured.

    For more points than neurons. On the chosen points the outputs stay as they are, with the guarantees of
    `reduce`; on the rest they change, and the result says by how much.

    Args:
        model: As in `read_model`.
        x: Points, shape ``(n, n_0)``.
        num_points: Points to choose, from 1 to n.
        mode: As in `reduce`.
        held_out_points: Points on which the drift is measured.
        settings: As in `reduce`.
        progress: As in `reduce`.

    Returns:
        The smaller model with its errors on all of ``x``.

    Raises:
        InputError: If the number of points does not fit.

    Source:
        Derived here; points by a pivoted QR factorisation of the representations, textbook.

    Cost:
        A pivoted QR factorisation ``(min(n, sum of widths), n)``, then `reduce`.
    """
    measurement = Measurement(read_model(model), x, held_out_points)
    total = len(measurement.points)
    if not 1 <= num_points <= total:
        raise InputError(f"expected a number of points from 1 to {total}, got {num_points}")
    chosen = choose_coreset(measurement.original, measurement.points, num_points)
    exact = reduce(
        measurement.original, measurement.points[chosen], mode=mode, settings=settings, progress=progress
    )
    return measurement.result(exact.network, "coreset", {"num_points": num_points, "mode": mode})


def choose_coreset(
    network: HomogeneousNetwork, points: Float[Tensor, "n inputs"], num_points: int
) -> Int[Tensor, " k"]:
    """Choose points whose representations span those of the others as well as possible, greedily.

    Args:
        network: In float64.
        points: Float64 rows.
        num_points: How many.

    Returns:
        Indices, ascending.
    """
    layers = [points]
    for layer, values in enumerate(network.preactivations(points)[:-1], start=1):
        layers.append(network.activate(layer, values))
    scaled = [part / part.norm().clamp(min=1e-300) for part in layers]
    features = torch.cat(scaled, dim=1)
    if features.shape[1] > len(points):
        # Same inner products between points, fewer coordinates.
        left, values, _ = torch.linalg.svd(features, full_matrices=False)
        features = left * values
    order = qr(features.T.numpy(), mode="r", pivoting=True)[1]
    # Past the rank the order says nothing: go on evenly.
    rank = min(features.shape[1], len(points))
    chosen = order[: min(num_points, rank)]
    if num_points > rank:
        rest = np.setdiff1d(np.arange(len(points)), chosen)
        more = rest[np.linspace(0, len(rest) - 1, num_points - rank).round().astype(int)]
        chosen = np.concatenate([chosen, more])
    return torch.from_numpy(np.sort(chosen))
