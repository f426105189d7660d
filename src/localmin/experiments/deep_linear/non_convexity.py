"""dl-non-convex: the loss lies above some segments and below others."""

import numpy as np
from torch import Tensor

from localmin.certification import construct_critical_point
from localmin.certification.deep_linear import half_squared_loss
from localmin.charts import Chart, Series
from localmin.experiments.claim import Claim, ClaimCheck
from localmin.experiments.deep_linear.problems import normal
from localmin.numerics import as_generator

__all__ = ["CLAIM", "check_non_convex"]

_HIDDEN = (3, 3)


def check_non_convex(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Look for segments that refute convexity, and others that refute concavity.

    Args:
        seed: Of the random problems.
        quick: Take 20 problems instead of 1000.

    Returns:
        Midpoints of two global minima that differ by a sign have a larger loss, so the loss is not convex;
        midpoints of mirror images in one layer at large weights have a smaller one, so it is not concave.
    """
    generator = as_generator(seed)
    num_problems = 20 if quick else 1000
    rows = []
    for number in range(num_problems):
        x, y = normal(generator, 8, 3), normal(generator, 8, 2)
        point = construct_critical_point(x, y, _HIDDEN, selected=(1, 2), links="none", seed=generator)
        first, second, last = point.weights
        above = _bulge([first, second, last], [-first, -second, last], x, y)
        below = _bulge([10.0 * first, second, last], [-10.0 * first, second, last], x, y)
        rows.append({"problem": number, "midpoint_above_ends": above, "midpoint_below_ends": -below})
    refutes_convex = sum(row["midpoint_above_ends"] > 0.0 for row in rows)
    refutes_concave = sum(row["midpoint_below_ends"] > 0.0 for row in rows)
    return ClaimCheck(
        "dl-non-convex",
        "holds" if refutes_convex == refutes_concave == num_problems else "does-not-hold",
        "for every problem one segment with the midpoint above both ends, and one with it below",
        {
            "problems": num_problems,
            "segments_that_refute_convexity": refutes_convex,
            "segments_that_refute_concavity": refutes_concave,
            "smallest_excess_above": min(row["midpoint_above_ends"] for row in rows),
        },
        "none: a single segment refutes",
        rows=tuple(rows),
        figures=(_picture(x, y, point.weights),),
    )


def _bulge(one: list[Tensor], other: list[Tensor], x: Tensor, y: Tensor) -> float:
    """Measure how far the loss at the midpoint lies above the mean of the ends."""
    middle = [(a + b) / 2 for a, b in zip(one, other, strict=True)]
    ends = [half_squared_loss(weights, x, y) for weights in (one, other)]
    return half_squared_loss(middle, x, y) - sum(ends) / 2


def _picture(x: Tensor, y: Tensor, weights: tuple[Tensor, ...]) -> Chart:
    positions = np.linspace(-1.0, 1.0, 81).tolist()
    first, second, last = weights
    both = [half_squared_loss([t * first, t * second, last], x, y) for t in positions]
    single = [half_squared_loss([t * 10.0 * first, second, last], x, y) / 100.0 for t in positions]
    return Chart(
        "segments",
        "Loss along two segments",
        "position from one end to the other",
        "half the sum of squares",
        [
            Series("two layers change sign", positions, both, emphasis="accent"),
            Series("one large layer changes sign (divided by 100)", positions, single),
        ],
        note="The first is above its ends in the middle, the second below.",
    )


CLAIM = Claim(
    "dl-non-convex",
    "The loss of a deep linear network is neither convex nor concave in the weights.",
    check_non_convex,
)
