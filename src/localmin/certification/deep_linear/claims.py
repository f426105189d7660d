"""What is claimed about deep linear networks, as experiments that can fail."""

import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.certification.deep_linear.classify import classify_deep_linear
from localmin.certification.deep_linear.construction import construct_critical_point
from localmin.certification.deep_linear.derivatives import gradient_of, loss_of
from localmin.certification.deep_linear.fibre_escape import escape_deep_linear
from localmin.certification.deep_linear.global_bounds import critical_values, global_minimum_loss
from localmin.certification.deep_linear.random_paths import random_path_mean
from localmin.numerics import as_generator

__all__ = ["DEEP_LINEAR_CLAIMS", "ClaimCheck", "DescentCurve", "descent_curve"]


@dataclass(frozen=True)
class ClaimCheck:
    """Outcome of the experiment behind one claim.

    Args:
        claim: Short name.
        statement: What was tested, in words.
        holds: Whether every part of the experiment agreed.
        figures: The numbers behind it.
    """

    claim: str
    statement: str
    holds: bool
    figures: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        return dict(vars(self))


@dataclass(frozen=True)
class DescentCurve:
    """Gradient descent on a deep linear network.

    Args:
        losses: Half the sum of squares in each step.
        gradient_norms: Norm of the gradient in each step.
        plateaus: Losses where the gradient norm has a local minimum before the end.
        levels: All critical losses, ascending.
    """

    losses: tuple[float, ...]
    gradient_norms: tuple[float, ...]
    plateaus: tuple[float, ...]
    levels: tuple[float, ...]


def descent_curve(
    x: Float[Tensor, "n inputs"],
    y: Float[Tensor, "n outputs"],
    hidden_widths: tuple[int, ...],
    *,
    start_scale: float,
    step_size: float,
    num_steps: int,
    seed: int | torch.Generator = 0,
) -> DescentCurve:
    """Descend from random weights and record where it slows down.

    Args:
        x: Inputs, shape ``(n, d_0)``, float64.
        y: Targets, shape ``(n, d_N)``, float64.
        hidden_widths: ``(d_1, ..., d_{N-1})``.
        start_scale: Standard deviation of the entries at the start.
        step_size: Step of gradient descent on half the sum of squares.
        num_steps: Number of steps.
        seed: Integer or CPU generator for the start.

    Returns:
        The curve, with the critical losses as levels to compare the plateaus with.

    Cost:
        ``num_steps`` forward and backward sweeps.
    """
    generator = as_generator(seed)
    widths = (x.shape[1], *hidden_widths, y.shape[1])
    weights = [
        start_scale * torch.randn(after, before, generator=generator, dtype=torch.float64)
        for before, after in itertools.pairwise(widths)
    ]
    losses, norms = [], []
    for _ in range(num_steps):
        gradient = gradient_of(weights, x, y)
        losses.append(loss_of(weights, x, y))
        norms.append(math.sqrt(sum(float(part.square().sum()) for part in gradient)))
        weights = [weight - step_size * part for weight, part in zip(weights, gradient, strict=True)]
    plateaus = [
        losses[k]
        for k in range(1, num_steps - 1)
        if norms[k] < norms[k - 1] and norms[k] <= norms[k + 1] and norms[k] > 1e-9
    ]
    levels = tuple(value.loss for value in critical_values(x, y, widths))
    return DescentCurve(tuple(losses), tuple(norms), tuple(plateaus), levels)


def check_non_convex(*, num_points: int = 100, seed: int = 0) -> ClaimCheck:
    """Check that the loss is neither convex nor concave, along explicit segments.

    Args:
        num_points: Random problems.
        seed: Integer seed.

    Returns:
        The outcome. Midpoints of two global minima that differ by a sign have a larger loss, and midpoints of
        a point and its mirror image in one layer at large weights have a smaller one.
    """
    generator = as_generator(seed)
    not_convex = not_concave = 0
    for _ in range(num_points):
        x, y = _normal(generator, 8, 3), _normal(generator, 8, 2)
        point = construct_critical_point(x, y, (3, 3), selected=(1, 2), links="none", seed=generator)
        mirrored = [-point.weights[0], -point.weights[1], point.weights[2]]
        middle = [(a + b) / 2 for a, b in zip(point.weights, mirrored, strict=True)]
        ends = loss_of(point.weights, x, y), loss_of(mirrored, x, y)
        not_convex += loss_of(middle, x, y) > max(ends) + 1e-9
        far = [10.0 * point.weights[0], *point.weights[1:]]
        opposite = [-far[0], *far[1:]]
        between = [(a + b) / 2 for a, b in zip(far, opposite, strict=True)]
        not_concave += loss_of(between, x, y) < min(loss_of(far, x, y), loss_of(opposite, x, y)) - 1e-9
    return ClaimCheck(
        "dl-non-convex",
        "segments on which the loss lies above, and others on which it lies below, both ends",
        not_convex == not_concave == num_points,
        {"num_points": num_points, "not_convex": not_convex, "not_concave": not_concave},
    )


def check_local_is_global(*, num_points: int = 400, num_descents: int = 10, seed: int = 0) -> ClaimCheck:
    """Check that no constructed point that is not global is a local minimum, and where descent ends.

    Args:
        num_points: Constructed critical points.
        num_descents: Gradient descents from random starts.
        seed: Integer seed.

    Returns:
        The outcome. Every point has the loss of the global minimum or a nearby point with smaller loss.
    """
    generator = as_generator(seed)
    counts: Counter[str] = Counter()
    for _ in range(num_points):
        x, y, widths = _problem(generator)
        point = construct_critical_point(x, y, widths[1:-1], seed=generator)
        gap = loss_of(point.weights, x, y) - global_minimum_loss(x, y, widths)
        if gap <= 1e-9 * float(y.square().sum()):
            counts["global"] += 1
            continue
        found = classify_deep_linear(point.weights, x, y)
        is_left = found.witness is not None and found.recheck(point.weights, x, y).holds
        is_left = is_left or escape_deep_linear(point.weights, x, y, seed=generator).has_decreased
        counts["left" if is_left else "not left"] += 1
    worst = 0.0
    for _ in range(num_descents):
        x, y = (
            torch.eye(3, dtype=torch.float64),
            torch.diag(torch.tensor([3.0, 1.5, 0.6], dtype=torch.float64)),
        )
        curve = descent_curve(x, y, (3, 2), start_scale=0.7, step_size=0.02, num_steps=3000, seed=generator)
        worst = max(worst, curve.losses[-1] - min(curve.levels))
    # Ways out of degenerate saddles are found by a search that may miss one in some hundreds.
    holds = counts["not left"] <= num_points // 200 and worst < 1e-6
    return ClaimCheck(
        "dl-local-is-global",
        "critical points with a larger loss than the global minimum have smaller losses nearby",
        holds,
        {**counts, "num_points": num_points, "worst_gap_of_descents": worst},
    )


def check_saddles(*, num_points: int = 400, seed: int = 0) -> ClaimCheck:
    """Check that the classifier agrees with the construction, and that every strict witness is one.

    Args:
        num_points: Constructed critical points.
        seed: Integer seed.

    Returns:
        The outcome.
    """
    generator = as_generator(seed)
    counts: Counter[str] = Counter()
    wrong = 0
    for _ in range(num_points):
        x, y, widths = _problem(generator)
        point = construct_critical_point(x, y, widths[1:-1], seed=generator)
        found = classify_deep_linear(point.weights, x, y)
        counts[found.verdict] += 1
        wrong += found.verdict != point.verdict
        if found.verdict == "strict-saddle":
            wrong += not (found.curvature is not None and found.curvature < 0.0)
            wrong += not found.recheck(point.weights, x, y).holds
    return ClaimCheck(
        "dl-saddles",
        "every critical point that is not global is a saddle with a witness",
        wrong == 0,
        {**counts, "num_points": num_points, "wrong": wrong},
    )


def check_bad_saddles(*, num_points: int = 200, seed: int = 0) -> ClaimCheck:
    """Check that saddles without negative curvature exist from three weight layers on, not for two.

    Args:
        num_points: Constructed critical points of each depth.
        seed: Integer seed.

    Returns:
        The outcome, with the erratum: all layers but the last at zero has negative curvature for three
        layers and none for four.
    """
    generator = as_generator(seed)
    x, y = torch.eye(2, dtype=torch.float64), torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))
    counts = {}
    for depth in (2, 3, 4, 5):
        points = [
            construct_critical_point(x, y, (2,) * (depth - 1), seed=generator) for _ in range(num_points)
        ]
        verdicts = [classify_deep_linear(point.weights, x, y).verdict for point in points]
        counts[depth] = sum(verdict == "non-strict-saddle" for verdict in verdicts)
    zero = torch.zeros_like(x)
    last = _normal(generator, 2, 2)
    three = classify_deep_linear([zero, zero, last], x, y)
    four = classify_deep_linear([zero, zero, zero, last], x, y)
    predicted = -float(torch.linalg.matrix_norm(last.mT @ y, 2))
    erratum = three.curvature is not None and abs(three.curvature - predicted) < 1e-9 * abs(predicted)
    holds = counts[2] == 0 and all(counts[depth] > 0 for depth in (3, 4, 5))
    return ClaimCheck(
        "dl-bad-saddles",
        "non-strict saddles by depth; zero layers below a free last one are strict for three layers only",
        holds and erratum and three.verdict == "strict-saddle" and four.verdict == "non-strict-saddle",
        {
            "non_strict_by_depth": {str(depth): count for depth, count in counts.items()},
            "num_points": num_points,
        },
    )


def check_random_paths(*, num_draws: int = 4000, seed: int = 0) -> ClaimCheck:
    """Check by simulation that the random-path model has the mean of a deep linear network.

    Args:
        num_draws: Draws of all paths.
        seed: Integer seed.

    Returns:
        The outcome. It is about that model; real ReLU networks open paths as a function of the input.
    """
    generator = as_generator(seed)
    weights = [_normal(generator, after, before) for before, after in itertools.pairwise((3, 2, 3, 2))]
    x = _normal(generator, 5, 3)
    mean = random_path_mean(weights, x, probability=0.3, num_draws=num_draws, seed=generator)
    return ClaimCheck(
        "dl-nonlinear",
        "the expected output of the random-path model is that of the deep linear network",
        mean.largest_deviation < 5.0,
        {"num_draws": num_draws, "largest_deviation_in_standard_errors": mean.largest_deviation},
    )


def check_difficulty(*, seed: int = 0) -> ClaimCheck:
    """Check that descent from small weights rests near critical losses and still ends at the global minimum.

    Args:
        seed: Integer seed of the start.

    Returns:
        The outcome: one plateau for each missing component, none from large weights beyond them.
    """
    x, y = torch.eye(3, dtype=torch.float64), torch.diag(torch.tensor([3.0, 1.5, 0.6], dtype=torch.float64))
    curve = descent_curve(x, y, (3, 3), start_scale=0.05, step_size=0.02, num_steps=20_000, seed=seed)
    distances = [min(abs(plateau - level) for level in curve.levels) for plateau in curve.plateaus]
    holds = len(curve.plateaus) >= 2 and max(distances) < 0.05 * curve.losses[0] and curve.losses[-1] < 1e-9
    return ClaimCheck(
        "dl-difficulty",
        "plateaus at critical losses, and the global minimum at the end",
        holds,
        {
            "plateaus": list(curve.plateaus),
            "levels": list(curve.levels),
            "largest_distance": max(distances, default=math.nan),
            "final_loss": curve.losses[-1],
        },
    )


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _problem(generator: torch.Generator) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    depth = int(torch.randint(2, 6, (), generator=generator))
    widths = tuple(torch.randint(1, 6, (depth + 1,), generator=generator).tolist())
    return _normal(generator, 8, widths[0]), _normal(generator, 8, widths[-1]), widths


DEEP_LINEAR_CLAIMS: dict[str, Callable[..., ClaimCheck]] = {
    "dl-non-convex": check_non_convex,
    "dl-local-is-global": check_local_is_global,
    "dl-saddles": check_saddles,
    "dl-bad-saddles": check_bad_saddles,
    "dl-nonlinear": check_random_paths,
    "dl-difficulty": check_difficulty,
}
