"""Vertex steps that keep only the directions that matter: fewer neurons, at a norm that may grow."""

from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.reduction.approximate_result import ApproximateReduction, Measurement, settled
from localmin.reduction.model_reading import ModelT, read_model
from localmin.reduction.neuron_selection import apply_selection, view_layer
from localmin.reduction.projection import projected
from localmin.reduction.vertex_problem import VertexProblem

__all__ = ["truncated_rank_reduction"]


def truncated_rank_reduction(
    model: ModelT,
    x: Float[Tensor, "n inputs"],
    *,
    rank_tolerance_relative: float = 0.1,
    num_balance_steps: int = 50,
    held_out_points: Float[Tensor, "held inputs"] | None = None,
) -> ApproximateReduction[ModelT]:
    """Take "vertex-b" steps on the activations' leading directions only, then solve for the next layer.

    For many points: the problem has ``r' r - r'(r'-1)/2`` constraints with r the number of singular values
    above the tolerance instead of the rank. As long as as many neurons as points remain, the outputs on the
    points stay exact and only the norm can grow; below that the outputs change too. Both are measured.

    Args:
        model: As in `read_model`.
        x: Points, shape ``(n, n_0)``.
        rank_tolerance_relative: Singular values of the activations below this share of the largest are not
            constrained; between 0 and 1. Smaller keeps more neurons and less growth of the norm.
        num_balance_steps: Alternations of balance and min-norm solve afterwards.
        held_out_points: Points on which the drift is measured.

    Returns:
        The smaller model and its measured errors.

    Raises:
        InputError: If the tolerance is not between 0 and 1.

    Source:
        Derived here: mode B of `reduce` with a truncated whitening.

    Cost:
        As `recombine` with the truncated number of constraints.
    """
    if not 0.0 < rank_tolerance_relative < 1.0:
        raise InputError(f"expected a rank tolerance between 0 and 1, got {rank_tolerance_relative}")
    measurement = Measurement(read_model(model), x, held_out_points)
    points = measurement.points
    network, _ = projected(measurement.original, points)
    for layer in range(network.depth - 1, 0, -1):
        view = view_layer(network, points, layer)
        selection = VertexProblem.of(view, "vertex-b", rank_tolerance_relative).solve()
        if selection is not None:
            network = apply_selection(network, points, selection)
    network = settled(network, points, num_balance_steps)
    settings = {"rank_tolerance_relative": rank_tolerance_relative, "num_balance_steps": num_balance_steps}
    return measurement.result(network, "truncated-ranks", settings)
