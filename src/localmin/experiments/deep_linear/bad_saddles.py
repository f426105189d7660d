"""dl-bad-saddles: saddles without negative curvature by depth, and a correction of the paper's example."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from localmin.certification import classify_deep_linear, construct_critical_point
from localmin.certification.deep_linear import half_squared_loss
from localmin.charts import Chart, Series
from localmin.experiments.claim import Claim, ClaimCheck
from localmin.experiments.deep_linear.problems import dense_hessian, diagonal_problem, normal
from localmin.numerics import as_generator

__all__ = ["CLAIM", "check_bad_saddles"]

_DEPTHS = (2, 3, 4, 5)


def check_bad_saddles(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Count saddles without negative curvature for each depth, and test the point of the paper's appendix.

    Args:
        seed: Of everything random.
        quick: Construct 200 points of each depth, classify 6 of them and draw 10 corrections, instead of
            1000, 200 and 200.

    Returns:
        The outcome. The correction: with all layers but the last at zero, three layers have the smallest
        eigenvalue ``-σ(W_3ᵀ Y Xᵀ)``, four layers have a zero Hessian.
    """
    generator = as_generator(seed)
    num_points, num_classified, num_draws = (200, 6, 10) if quick else (1000, 200, 200)
    x, y = diagonal_problem(3.0, 1.0)
    rows: list[dict[str, Any]] = []
    num_wrong = 0
    for depth in _DEPTHS:
        points = [
            construct_critical_point(x, y, (2,) * (depth - 1), seed=generator) for _ in range(num_points)
        ]
        verdicts = [point.verdict for point in points]
        num_wrong += sum(
            classify_deep_linear(point.weights, x, y).verdict != point.verdict
            for point in points[:num_classified]
        )
        zeros = classify_deep_linear([torch.zeros(2, 2).double()] * depth, x, y).verdict
        rows.append(
            {
                "weight_layers": depth,
                "points": num_points,
                "non_strict_saddles": verdicts.count("non-strict-saddle"),
                "all_weights_zero": zeros,
            }
        )
    error, is_flat = _correction(num_draws, generator)
    shallow, deep = rows[0], rows[1:]
    by_depth = shallow["non_strict_saddles"] == 0 and shallow["all_weights_zero"] == "strict-saddle"
    by_depth = by_depth and num_wrong == 0
    by_depth = by_depth and all(
        row["non_strict_saddles"] > 0 and row["all_weights_zero"] == "non-strict-saddle" for row in deep
    )
    return ClaimCheck(
        "dl-bad-saddles",
        "holds" if by_depth and error < 1e-9 and is_flat else "does-not-hold",
        "none for two weight layers, some for three and more, the point with all weights zero among them",
        {
            **{f"non_strict_of_{row['weight_layers']}_layers": row["non_strict_saddles"] for row in rows},
            "points_each": num_points,
            "of_these_classified": num_classified,
            "classified_wrongly": num_wrong,
            "correction_largest_relative_error": error,
            "correction_four_layers_have_zero_hessian": is_flat,
        },
        "counts exactly; the eigenvalue of the correction to 1e-9 relative",
        remark="two weight layers are three layers in the paper's count, which includes input and output. "
        "The example in its Appendix C.1 (all layers but the last at zero, any depth beyond two weight "
        "layers) is right from four weight layers on; with three it has negative curvature. The corollary "
        "itself holds: take all weights zero",
        rows=tuple(rows),
        figures=(_depth_picture(rows), _chain_picture()),
    )


def _correction(num_draws: int, generator: torch.Generator) -> tuple[float, bool]:
    largest, is_flat = 0.0, True
    for _ in range(num_draws):
        x, y, last = normal(generator, 7, 3), normal(generator, 7, 2), normal(generator, 2, 3)
        lower: list[Tensor] = [torch.zeros(3, 3, dtype=torch.float64) for _ in range(3)]
        predicted = -float(torch.linalg.matrix_norm(last.mT @ y.mT @ x, 2))
        three = float(torch.linalg.eigvalsh(dense_hessian([*lower[:2], last], x, y))[0])
        largest = max(largest, abs(three - predicted) / abs(predicted))
        is_strict = classify_deep_linear([*lower[:2], last], x, y).verdict == "strict-saddle"
        is_flat = is_flat and is_strict and not bool(dense_hessian([*lower, last], x, y).any())
    return largest, is_flat


def _depth_picture(rows: list[dict[str, Any]]) -> Chart:
    shares = [row["non_strict_saddles"] / row["points"] for row in rows]
    return Chart(
        "depths",
        "Saddles without negative curvature by depth",
        "weight layers",
        "share of constructed critical points",
        [Series("", range(len(rows)), shares, kind="bars", emphasis="accent")],
        categories=[str(row["weight_layers"]) for row in rows],
    )


def _chain_picture() -> Chart:
    """Draw three scalar layers along ``W = (t, t, t)``: flat to second order, yet no minimum."""
    x, y = torch.ones(1, 1, dtype=torch.float64), 2.0 * torch.ones(1, 1, dtype=torch.float64)
    steps = np.linspace(-0.8, 1.3, 85).tolist()
    losses = [half_squared_loss([torch.full((1, 1), t, dtype=torch.float64)] * 3, x, y) for t in steps]
    return Chart(
        "chain",
        "A saddle that the Hessian does not show",
        "t, in all three layers",
        "half the sum of squares",
        [
            Series("loss", steps, losses, emphasis="accent"),
            Series("2 - 2t³ + t⁶/2", steps, [2 - 2 * t**3 + t**6 / 2 for t in steps], emphasis="dashed"),
        ],
        note="Slope and curvature vanish at 0; the third derivative leads down.",
    )


CLAIM = Claim(
    "dl-bad-saddles",
    "Beyond three layers, counting input and output, there are saddles whose Hessian has no negative "
    "eigenvalue; with three there are none.",
    check_bad_saddles,
)
