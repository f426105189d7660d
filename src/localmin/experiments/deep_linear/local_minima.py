"""dl-local-is-global: no constructed critical point above the global minimum is a local minimum."""

from collections import Counter

import torch
from torch import Tensor

from localmin.certification import ConstructedPoint, classify_deep_linear, escape_deep_linear
from localmin.certification.deep_linear import descent_curve, global_minimum_loss, half_squared_loss
from localmin.charts import Chart, Series
from localmin.experiments.claim import Claim, ClaimCheck, Verdict
from localmin.experiments.deep_linear.problems import (
    diagonal_problem,
    escapes_to,
    random_constructed_point,
)
from localmin.numerics import as_generator

__all__ = ["CLAIM", "check_local_is_global"]

_HIDDEN = ((2,), (3, 2), (3, 3, 3), (1, 3))
# Radius and descent steps of each search for a way out; the last ones for what the first have missed.
_SEARCHES = ((0.2, 300), (0.5, 300), (1.0, 300), (1.0, 300), (2.0, 2000), (2.0, 2000))
# A random search that finds nothing refutes nothing, as long as that is rare.
_MAX_SHARE_MISSED = 1e-3


def check_local_is_global(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Look for a smaller loss near every constructed point, and see where descent from random starts ends.

    Args:
        seed: Of everything random.
        quick: Take 40 points and 2 descents instead of 4000 and 80.

    Returns:
        The outcome. A point "stays" if it is above the global minimum and nothing lower was found near it.
    """
    generator = as_generator(seed)
    num_points, num_descents = (40, 2) if quick else (4000, 80)
    counts: Counter[str] = Counter()
    for _ in range(num_points):
        point, x, y = random_constructed_point(generator)
        counts[_fate(point, x, y, generator)] += 1
    gaps = [_final_gap(number, generator) for number in range(num_descents)]
    return ClaimCheck(
        "dl-local-is-global",
        _verdict(counts["stays"] / num_points, max(gaps)),
        "every critical point above the global minimum has smaller losses nearby; descent ends at the global "
        "minimum",
        {
            "points": num_points,
            "global_minima": counts["global"],
            "left_at_second_order": counts["curvature"],
            "left_by_equal_loss_and_descent": counts["fibre"],
            "not_left": counts["stays"],
            "descents": num_descents,
            "largest_final_gap": max(gaps),
        },
        "a smaller loss counts beyond rounding (100 units in the last place); descents end within 1e-6",
        remark="points of one generator and descents on one target, not a proof; a point counts as not left "
        "when a random search for a way out finds none; the theorem assumes full "
        "rank and distinct singular values, about half of the points do not have them",
        figures=(_picture(counts),),
    )


def _verdict(share_missed: float, largest_gap: float) -> Verdict:
    if largest_gap >= 1e-6 or share_missed > _MAX_SHARE_MISSED:
        return "does-not-hold"
    return "holds" if share_missed == 0 else "partly"


def _fate(point: ConstructedPoint, x: Tensor, y: Tensor, generator: torch.Generator) -> str:
    widths = [x.shape[1], *(weight.shape[0] for weight in point.weights)]
    loss = half_squared_loss(point.weights, x, y)
    scale = float(y.square().sum())
    if loss - global_minimum_loss(x, y, widths) <= 1e-9 * scale:
        return "global"
    found = classify_deep_linear(point.weights, x, y, seed=generator)
    rounding = 100.0 * torch.finfo(torch.float64).eps * scale
    if found.verdict == "strict-saddle" and found.witness is not None:
        return "curvature" if escapes_to(point.weights, found.witness, x, y) < loss - rounding else "stays"
    for radius, max_steps in _SEARCHES:
        moved = escape_deep_linear(
            point.weights, x, y, radius_relative=radius, max_steps=max_steps, seed=generator
        )
        if moved.has_decreased:
            return "fibre"
    return "stays"


def _final_gap(number: int, generator: torch.Generator) -> float:
    x, y = diagonal_problem(3.0, 1.5, 0.6)
    hidden = _HIDDEN[number % len(_HIDDEN)]
    curve = descent_curve(x, y, hidden, start_scale=0.7, step_size=0.01, num_steps=6000, seed=generator)
    return curve.losses[-1] - curve.levels[0]


def _picture(counts: Counter[str]) -> Chart:
    names = {
        "global": "global minimum",
        "curvature": "left along the witness",
        "fibre": "left by a move of equal loss",
        "stays": "not left",
    }
    return Chart(
        "fates",
        "What becomes of constructed critical points",
        "",
        "points",
        [Series("", range(len(names)), [counts[key] for key in names], kind="bars", emphasis="accent")],
        categories=list(names.values()),
    )


CLAIM = Claim(
    "dl-local-is-global",
    "Every local minimum of the loss of a deep linear network is a global minimum.",
    check_local_is_global,
)
