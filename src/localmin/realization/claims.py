"""The claims about the realisation space, checked one by one on explicit and random networks."""

import itertools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch

from localmin.errors import InputError
from localmin.networks import ReLUNetwork
from localmin.numerics import as_generator
from localmin.realization.invariants import invariants
from localmin.realization.inverse_stability import SHARP_CONSTANT, inverse_stability
from localmin.realization.line_problem import LineProblem
from localmin.realization.minima import almost_optimality, parameter_minimum_example, transfer_radius
from localmin.realization.pathologies import (
    complete_unbalancedness,
    exploding_gradient,
    opposite_directions_one,
    opposite_directions_two,
    redundant_directions,
    sharp_pair,
)
from localmin.realization.restricted_space import balance

__all__ = ["ClaimCheck", "check_claim", "claim_names"]

Verdict = Literal["holds", "does-not-hold", "partly"]
_SLACK = 1e-9


@dataclass(frozen=True)
class ClaimCheck:
    """One claim, what was expected and what was measured.

    Args:
        name: Name of the claim.
        verdict: "holds", "does-not-hold" or "partly", for what was measured.
        expected: In words.
        measured: The decisive numbers.
        tolerance: Allowed numerical error.
        remark: What the figures do not show; empty if nothing needs saying.
        rows: The single measurements.
    """

    name: str
    verdict: Verdict
    expected: str
    measured: dict[str, float]
    tolerance: float
    remark: str
    rows: tuple[dict[str, float | str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain numbers."""
        return asdict(self)


def claim_names() -> tuple[str, ...]:
    """List the claims that `check_claim` knows.

    Returns:
        Names.
    """
    return tuple(_CHECKS)


def check_claim(name: str, *, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Check one claim of the theory of realisation spaces.

    Args:
        name: One of `claim_names`.
        seed: Seed of the random networks.
        quick: A tenth of the random pairs.

    Returns:
        Expected, measured and verdict.

    Raises:
        InputError: If there is no such claim.

    Source:
        [berner2019] for the claims, in our words; the checks are ours.

    Cost:
        Seconds; up to a minute for "re-inverse-stability" without ``quick``.

    Example:
        >>> check_claim("re-degenerate", quick=True).verdict
        'holds'
    """
    if name not in _CHECKS:
        raise InputError(f"expected one of {', '.join(_CHECKS)}, got {name!r}")
    return _CHECKS[name](seed, quick)


def _check_convex(seed: int, quick: bool) -> ClaimCheck:
    """Convex losses of the outputs along function segments; and a midpoint outside the set."""
    generator = as_generator(seed)
    worst = -math.inf
    num_pairs = 20 if quick else 200
    shares = torch.linspace(0, 1, 21, dtype=torch.float64)[:, None, None]
    for _ in range(num_pairs):
        x = torch.randn(30, 3, generator=generator, dtype=torch.float64)
        y, labels = torch.randn(30, 4, generator=generator, dtype=torch.float64), torch.arange(30) % 4
        ends = [_random_network(generator, 3, 6, 4)(x) for _ in range(2)]
        outputs = (1 - shares) * ends[0] + shares * ends[1]
        squared = (outputs - y).square().mean(dim=(1, 2))
        entropy = torch.stack([torch.nn.functional.cross_entropy(rows, labels) for rows in outputs])
        for losses in (squared, entropy):
            bends = losses[:-2] + losses[2:] - 2 * losses[1:-1]
            worst = max(worst, float((-bends / losses.max()).max()))
    first = ReLUNetwork([torch.tensor([[1.0, 0.0]]).double(), torch.ones(1, 1).double()])
    second = ReLUNetwork([torch.tensor([[0.0, 1.0]]).double(), torch.ones(1, 1).double()])
    middle = ReLUNetwork([torch.eye(2).double(), torch.full((1, 2), 0.5).double()])
    num_kinks = invariants(middle).num_kinks
    holds = worst <= 1e-12 and num_kinks > first.widths[1] and second.widths == first.widths
    return ClaimCheck(
        "re-convex",
        "holds" if holds else "does-not-hold",
        "no negative second difference along function segments; the midpoint of two functions of one neuron "
        "needs more than one",
        {"largest_negative_bend_relative": max(worst, 0.0), "kinks_of_midpoint": num_kinks, "neurons": 1},
        1e-12,
        "",
        (),
    )


def _check_degenerate(seed: int, quick: bool) -> ClaimCheck:
    """Close functions, far parameters: the five examples."""
    rows: list[dict[str, float | str]] = []
    holds = True
    for k in (10.0, 1000.0) if quick else (10.0, 100.0, 1000.0, 10000.0):
        for example in (
            exploding_gradient(k),
            complete_unbalancedness(k, r=5.0),
            redundant_directions(k),
            opposite_directions_one(k),
            opposite_directions_two(k),
        ):
            found = inverse_stability(example.network, example.target)
            low, high = found.nearest.lower, found.nearest.distance
            is_exact = example.distance_kind == "exact"
            is_met = low >= example.distance * (1 - _SLACK)
            is_met = is_met and (not is_exact or high <= example.distance * (1 + _SLACK))
            is_close = math.isclose(found.epsilon.value, example.epsilon, rel_tol=1e-6)
            holds = holds and is_met and is_close and found.epsilon.exact
            rows.append(
                {
                    "example": example.name,
                    "k": k,
                    "epsilon": found.epsilon.value,
                    "distance": high,
                    "distance_lower": low,
                    "expected_epsilon": example.epsilon,
                    "expected_distance": example.distance,
                }
            )
    fixed = [row for row in rows if row["example"] != "exploding gradient"]
    return ClaimCheck(
        "re-degenerate",
        "holds" if holds else "does-not-hold",
        "epsilon goes to zero while the distance to all parameters of the function stays, as in closed form; "
        "for the exploding gradient epsilon and distance grow while the function goes to zero",
        {
            "smallest_epsilon": min(float(row["epsilon"]) for row in fixed),
            "smallest_distance": min(float(row["distance_lower"]) for row in fixed),
        },
        1e-6,
        "opposite directions I has a lower bound of the distance only",
        tuple(rows),
    )


def _check_inverse_stability(seed: int, quick: bool) -> ClaimCheck:
    """Random pairs of the restricted space, and the pair that attains the constant."""
    generator = as_generator(seed)
    num_pairs, num_violations, largest = (1000 if quick else 10_000), 0, 0.0
    for index in range(num_pairs):
        first = _random_restricted(generator, 3, 2 + index % 3)
        second = _perturbed(first, generator, is_new=index % 4 == 0)
        found = inverse_stability(first, second)
        num_violations += found.verdict != "holds" or not (found.applies and found.epsilon.exact)
        largest = max(largest, found.ratio)
    rows: list[dict[str, float | str]] = []
    for epsilon in (1e-1, 1e-2, 1e-3, 1e-4):
        pair = sharp_pair(epsilon)
        found = inverse_stability(pair.network, pair.target)
        rows.append({"epsilon": epsilon, "ratio": found.ratio})
    sharp = min(float(row["ratio"]) for row in rows)
    holds = num_violations == 0 and abs(sharp - SHARP_CONSTANT) < 1e-5
    return ClaimCheck(
        "re-inverse-stability",
        "holds" if holds else "does-not-hold",
        "ratio distance / sqrt(epsilon) at most 2 sqrt(2) for every pair (the paper's 4 is safe), attained",
        {
            "num_pairs": num_pairs,
            "num_violations": num_violations,
            "largest_random_ratio": largest,
            "sharp_ratio": sharp,
            "constant": SHARP_CONSTANT,
        },
        1e-5,
        "",
        tuple(rows),
    )


def _check_parameter_minima(seed: int, quick: bool) -> ClaimCheck:
    """The explicit counter-example, and the transfer radius for several constants."""
    generator = as_generator(seed)
    example = parameter_minimum_example(2.0)
    base = example.loss(example.network)
    vector = example.network.parameter_vector()
    lowest = math.inf
    for _ in range(1000 if quick else 10_000):
        step = 2 * torch.rand(len(vector), generator=generator, dtype=torch.float64) - 1
        moved = example.network.with_parameter_vector(vector + 0.999 * example.parameter_radius * step)
        lowest = min(lowest, example.loss(moved) - base)
    rows: list[dict[str, float | str]] = [
        {"size": size, "loss": example.loss(example.better_function(size))} for size in (1e-1, 1e-3, 1e-6)
    ]
    gain = base - max(float(row["loss"]) for row in rows)
    # Round trip: any function within the radius has parameters within the parameter radius.
    misses = 0
    for _ in range(30 if quick else 300):
        first = _random_restricted(generator, 3, 3)
        found = inverse_stability(first, _perturbed(first, generator, is_new=False))
        radius = found.nearest.distance
        misses += transfer_radius(radius) > found.epsilon.value * (1 + _SLACK)
    holds = lowest >= -1e-12 and gain > 0 and misses == 0
    return ClaimCheck(
        "re-parameter-minima",
        "holds" if holds else "does-not-hold",
        "around the example's parameters the loss never falls, yet arbitrarily close functions are better; "
        "in the restricted space no function within the transferred radius lacks near parameters",
        {"lowest_change_nearby": lowest, "smallest_gain_of_functions": gain, "radius_misses": misses},
        1e-12,
        "the radius of a trained network's minimum has to be known; it is not measured here",
        tuple(rows),
    )


def _check_almost_optimal(seed: int, quick: bool) -> ClaimCheck:
    """Fits on a line with bounded variation of the slope, growing width."""
    generator = np.random.default_rng(seed)
    nodes = np.linspace(0, 1, 121)
    problem = LineProblem(np.sin(9 * nodes) + 0.2 * generator.standard_normal(len(nodes)), variation=20.0)
    best = problem.minimum()
    rows: list[dict[str, float | str]] = []
    num_violations = num_informative = 0
    for width in (4, 64) if quick else (4, 8, 16, 32, 64, 100):
        fit = problem.fit_kinks(width)
        eta, distance = problem.approximation(width), problem.distance(fit, best)
        bounds = []
        for radius in np.geomspace(2 * eta, distance, 8)[:-1] if distance > 2 * eta else ():
            # At most this far from a local minimum within the radius: S is larger than the networks.
            defect = fit.loss - problem.minimum(center=fit, radius=radius).loss
            terms = almost_optimality(
                lipschitz=problem.lipschitz, function_radius=radius, distance=distance, approximation=eta
            )
            total = terms.excess_bound + 2 * distance / radius * max(defect, 0.0)
            bounds.append((float(total), float(radius), defect))
        # Without a radius between 2 eta and the distance the bound says nothing.
        bound, radius, defect = min(bounds, default=(math.inf, math.nan, math.nan))
        excess = fit.loss - best.loss
        num_violations += int(excess > bound + _SLACK)
        num_informative += int(bound < problem.lipschitz * distance)
        rows.append(
            {
                "width": width,
                "eta": eta,
                "radius": radius,
                "defect": defect,
                "distance": distance,
                "excess": excess,
                "bound": bound,
            }
        )
    shrinks = float(rows[-1]["excess"]) < float(rows[0]["excess"])
    return ClaimCheck(
        "re-almost-optimal",
        "does-not-hold" if num_violations or not shrinks else "partly",
        "the excess over the best loss stays below the bound, and falls with the width",
        {
            "num_violations": num_violations,
            "num_informative": num_informative,
            "excess_narrowest": float(rows[0]["excess"]),
            "excess_widest": float(rows[-1]["excess"]),
            "bound_widest": float(rows[-1]["bound"]),
        },
        _SLACK,
        "one input; networks with a linear skip, fitted by linear programs and not by gradients. The fits "
        "need not be local minima: how far they are from one (the defect) is computed and added. The bound "
        "is far above the excess and little below the trivial one, Lipschitz constant times distance",
        tuple(rows),
    )


def _random_network(generator: torch.Generator, *widths: int) -> ReLUNetwork:
    shapes = [(after, before) for before, after in itertools.pairwise(widths)]
    return ReLUNetwork([torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes])


def _random_restricted(generator: torch.Generator, num_inputs: int, num_neurons: int) -> ReLUNetwork:
    directions = torch.randn(num_neurons, num_inputs, generator=generator, dtype=torch.float64)
    directions[:, -2:] = directions[:, -2:].abs() + 1e-3
    outputs = torch.randn(1, num_neurons, generator=generator, dtype=torch.float64)
    return balance(ReLUNetwork([directions, outputs]))


def _perturbed(network: ReLUNetwork, generator: torch.Generator, *, is_new: bool) -> ReLUNetwork:
    """Change the outputs a little; with ``is_new`` replace one neuron by a light one of another direction."""
    directions, outputs = (weight.clone() for weight in network.weights)
    size = 10.0 ** (-4 * float(torch.rand(1, generator=generator)))
    outputs += size * torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
    if is_new:
        other = _random_restricted(generator, directions.shape[1], 1)
        directions[0], outputs[:, 0] = other.weights[0][0], size * other.weights[1][:, 0]
    return balance(ReLUNetwork([directions, outputs]))


_CHECKS: dict[str, Callable[[int, bool], ClaimCheck]] = {
    "re-convex": _check_convex,
    "re-degenerate": _check_degenerate,
    "re-inverse-stability": _check_inverse_stability,
    "re-parameter-minima": _check_parameter_minima,
    "re-almost-optimal": _check_almost_optimal,
}
