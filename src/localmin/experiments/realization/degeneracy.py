"""re-degenerate: close functions can have far parameters; the five examples with exact distances."""

import math
from typing import Any

from localmin.charts import Chart, Series
from localmin.experiments.claim import Claim, ClaimCheck
from localmin.realization import (
    Pathology,
    complete_unbalancedness,
    exploding_gradient,
    inverse_stability,
    opposite_directions_one,
    opposite_directions_two,
    redundant_directions,
)

__all__ = ["CLAIM"]

_SLACK = 1e-9


def check(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Compute the distance of the functions and the distance to all parameters for each example.

    Args:
        seed: Not used: nothing is random.
        quick: Fewer values of ``k``.

    Returns:
        Both distances for every example and ``k``, against their closed forms.
    """
    del seed
    rows: list[dict[str, Any]] = []
    holds = True
    for k in (10.0, 1000.0) if quick else (10.0, 100.0, 1000.0, 10000.0):
        for example in (
            exploding_gradient(k),
            complete_unbalancedness(k, r=5.0),
            redundant_directions(k),
            opposite_directions_one(k),
            opposite_directions_two(k),
        ):
            row, is_right = _measure(example, k)
            rows.append(row)
            holds = holds and is_right
    fixed = [row for row in rows if row["example"] != "exploding gradient"]
    return ClaimCheck(
        "re-degenerate",
        "holds" if holds else "does-not-hold",
        "the distance of the functions goes to zero while the distance to all parameters of the function "
        "stays, as in closed form; for the exploding gradient both grow while the function goes to zero",
        {
            "smallest_function_distance": min(row["function_distance"] for row in fixed),
            "smallest_parameter_distance": min(row["parameter_distance_at_least"] for row in fixed),
            "num_examples": len(rows),
        },
        "1e-6 relative for the semi-norm, 1e-9 for distances",
        "the networks are recalled from the paper or derived here; for opposite directions I and the "
        "exploding gradient the closed form is a lower bound",
        rows=tuple(rows),
        figures=(_chart(rows),),
    )


def _measure(example: Pathology, k: float) -> tuple[dict[str, Any], bool]:
    found = inverse_stability(example.network, example.target)
    low, high = found.nearest.lower, found.nearest.distance
    is_met = low >= example.distance * (1 - _SLACK)
    if example.distance_kind == "exact":
        is_met = is_met and high <= example.distance * (1 + _SLACK)
    is_close = math.isclose(found.epsilon.value, example.epsilon, rel_tol=1e-6)
    row = {
        "example": example.name,
        "k": k,
        "function_distance": found.epsilon.value,
        "expected_function_distance": example.epsilon,
        "parameter_distance": high,
        "parameter_distance_at_least": low,
        "expected_parameter_distance": example.distance,
        "kind": example.distance_kind,
    }
    return row, is_met and is_close and found.epsilon.exact


def _chart(rows: list[dict[str, Any]]) -> Chart:
    names = list(dict.fromkeys(row["example"] for row in rows))
    series = []
    for name in names:
        mine = sorted(
            (row for row in rows if row["example"] == name), key=lambda row: row["function_distance"]
        )
        x = tuple(row["function_distance"] for row in mine)
        y = tuple(row["parameter_distance_at_least"] for row in mine)
        series.append(Series(name, x, y, emphasis="muted" if name == "exploding gradient" else "plain"))
    return Chart(
        "re-degenerate-distances",
        "Close functions with far parameters",
        "distance of the functions (semi-norm)",
        "distance to all parameters, at least",
        tuple(series),
        x_log=True,
        y_log=True,
        note="To the left functions come together; a level line means that their parameters do not.",
    )


CLAIM = Claim(
    "re-degenerate",
    "The parametrization is degenerate: functions arbitrarily close to that of a network can have all their "
    "parameters far from the network's.",
    check,
)
