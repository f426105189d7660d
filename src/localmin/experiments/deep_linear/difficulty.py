"""dl-difficulty: descent on deep linear networks rests near critical losses, and still arrives."""

from typing import Any

from localmin.certification.deep_linear import DescentCurve, descent_chart, descent_curve
from localmin.experiments.claim import Claim, ClaimCheck
from localmin.experiments.deep_linear.problems import diagonal_problem

__all__ = ["CLAIM", "check_difficulty"]

_TARGET = (3.0, 1.5, 0.8)
_STEP_SIZE = 0.02
_SMALL = 0.03
_SCALES = (_SMALL, 0.2, 0.7)


def check_difficulty(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Descend with three weight layers from small and large starts, and with one layer for comparison.

    Args:
        seed: Of the starts.
        quick: Take one start of each size and 6000 steps instead of 20 and 20,000.

    Returns:
        The outcome: plateaus near critical losses from small starts, the global minimum at the end, more
        steps than the convex problem.
    """
    x, y = diagonal_problem(*_TARGET)
    num_starts, num_steps = (1, 6000) if quick else (20, 20_000)
    convex = descent_curve(x, y, (), start_scale=0.05, step_size=_STEP_SIZE, num_steps=2000, seed=seed)
    rows: list[dict[str, Any]] = [_row("one layer (convex)", 0.05, convex)]
    small: list[DescentCurve] = []
    for scale in _SCALES:
        for start in range(num_starts):
            curve = descent_curve(
                x, y, (3, 3), start_scale=scale, step_size=_STEP_SIZE, num_steps=num_steps, seed=seed + start
            )
            rows.append(_row("three layers", scale, curve))
            if scale == _SMALL:
                small.append(curve)
    arrives = all(row["final_gap"] < 1e-6 for row in rows)
    rests = all(len(curve.plateaus) >= 2 for curve in small)
    distance = max(curve.largest_plateau_distance for curve in small)
    from_small = [row["steps_to_1_percent"] for row in rows if row["size_of_the_start"] == _SMALL]
    is_slower = min(from_small) > rows[0]["steps_to_1_percent"]
    holds = arrives and rests and is_slower and distance < 0.01 * small[0].losses[0]
    return ClaimCheck(
        "dl-difficulty",
        "holds" if holds else "partly" if arrives else "does-not-hold",
        "from small starts descent rests near losses of critical points; it always ends at the global "
        "minimum, later than on the convex problem",
        {
            "largest_distance_of_a_plateau_from_a_critical_loss": distance,
            "largest_final_gap": max(row["final_gap"] for row in rows),
            "steps_to_1_percent_convex": rows[0]["steps_to_1_percent"],
            "most_steps_to_1_percent_from_small_starts": max(from_small),
        },
        "plateaus from starts of size 0.03 within 1 % of the first loss; final gaps below 1e-6",
        remark="one target with singular values 3, 1.5 and 0.8, one step size; how long a plateau lasts "
        "depends on the start",
        rows=tuple(rows),
        figures=(
            descent_chart(small[0], name="small-start", title="Descent from small weights"),
            descent_chart(curve, name="large-start", title="Descent from large weights"),
        ),
    )


def _row(network: str, scale: float, curve: DescentCurve) -> dict[str, Any]:
    lowest = curve.levels[0]
    target = lowest + 0.01 * (curve.losses[0] - lowest)
    steps = next((step for step, loss in enumerate(curve.losses) if loss <= target), len(curve.losses))
    return {
        "network": network,
        "size_of_the_start": scale,
        "plateaus": [round(plateau, 4) for plateau in curve.plateaus[:6]],
        "steps_to_1_percent": steps,
        "final_gap": curve.losses[-1] - lowest,
    }


CLAIM = Claim(
    "dl-difficulty",
    "Training a deep linear network is harder than a convex problem, but not too hard: there are saddles on "
    "the way, and no bad local minima.",
    check_difficulty,
)
