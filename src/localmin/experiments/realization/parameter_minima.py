"""re-parameter-minima: with inverse stability parameter minima are minima of the function."""

import math
from typing import Any

import torch

from localmin.charts import Chart, Level, Series
from localmin.experiments.claim import Claim, ClaimCheck
from localmin.experiments.realization.random_networks import perturbed, random_restricted
from localmin.experiments.realization.trained_networks import (
    RegressionData,
    certified_minimum,
    train_networks,
)
from localmin.networks import ReLUNetwork
from localmin.numerics import as_generator
from localmin.realization import (
    PatternMinimum,
    inverse_stability,
    parameter_minimum_example,
    seminorm_distance,
    transfer_minimum,
    transfer_radius,
)

__all__ = ["CLAIM"]

_WIDTH, _NUM_POINTS = 3, 25


def check(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Check the counter-example, the transfer on random pairs, and the transfer on trained networks.

    Args:
        seed: Of data, starts and sampled functions.
        quick: Fewer of each.

    Returns:
        For trained networks: how many are certified minima, their radii over parameters and functions,
        violations by sampled functions within the radius, and the nearest better function.
    """
    generator = as_generator(seed)
    lowest, gain = _counter_example(generator, 1000 if quick else 10_000)
    misses = _radius_misses(generator, 20 if quick else 300)
    rows, violations = _trained(generator, num_networks=12 if quick else 40, num_samples=5 if quick else 25)
    certified = [row for row in rows if row["certified"]]
    beaten = [row for row in certified if row["nearest_better_function"] is not None]
    holds = lowest >= -1e-12 and gain > 0 and misses == 0 and violations == 0 and len(certified) > 0
    return ClaimCheck(
        "re-parameter-minima",
        "holds" if holds else "does-not-hold",
        "with inverse stability no function within the transferred radius is better, for trained networks "
        "too; without it (the explicit example) the loss never falls around the parameters, yet arbitrarily "
        "close functions are better",
        {
            "num_trained": len(rows),
            "num_certified_minima": len(certified),
            "largest_parameter_radius": max((row["parameter_radius"] for row in certified), default=0.0),
            "largest_function_radius": max((row["function_radius"] for row in certified), default=0.0),
            "violations_within_the_radius": violations,
            "nearest_better_function_in_radii": min(
                (row["nearest_better_function"] / row["function_radius"] for row in beaten), default=None
            ),
            "radius_misses_of_random_pairs": misses,
            "example_lowest_change_nearby": lowest,
            "example_smallest_gain_of_functions": gain,
        },
        "1e-12 for the example; the certified defect (below 1e-6) for trained networks",
        f"trained networks have {_WIDTH} neurons on {_NUM_POINTS} points. Certified are minima at which no "
        "input lies on a kink; the rest of the runs end on a kink, where this certificate says nothing. The "
        "radii are small: the map to functions is not continuous in this norm, and a ball of functions "
        "holds only those that share every kink of product above twice the radius",
        is_scaled_down=True,
        rows=tuple(rows),
        figures=_figures(certified),
    )


def _counter_example(generator: torch.Generator, num_steps: int) -> tuple[float, float]:
    example = parameter_minimum_example(2.0)
    base, vector = example.loss(example.network), example.network.parameter_vector()
    lowest = math.inf
    for _ in range(num_steps):
        step = 2 * torch.rand(len(vector), generator=generator, dtype=torch.float64) - 1
        moved = example.network.with_parameter_vector(vector + 0.999 * example.parameter_radius * step)
        lowest = min(lowest, example.loss(moved) - base)
    gain = base - max(example.loss(example.better_function(size)) for size in (1e-1, 1e-3, 1e-6))
    return lowest, gain


def _radius_misses(generator: torch.Generator, num_pairs: int) -> int:
    """Count pairs with a function nearer than the radius that its parameters' distance transfers to."""
    misses = 0
    for _ in range(num_pairs):
        first = random_restricted(generator, 3, 3)
        found = inverse_stability(first, perturbed(first, generator, is_new=False))
        misses += transfer_radius(found.nearest.distance) > found.epsilon.value * (1 + 1e-9)
    return misses


def _trained(
    generator: torch.Generator, *, num_networks: int, num_samples: int
) -> tuple[list[dict[str, Any]], int]:
    data = RegressionData.draw(_NUM_POINTS, generator)
    networks = train_networks(
        data, num_networks=num_networks, width=_WIDTH, num_steps=1500, generator=generator
    )
    minima = [certified_minimum(network, data) for network in networks]
    rows: list[dict[str, Any]] = []
    violations = 0
    for network, minimum in zip(networks, minima, strict=True):
        loss = float(data.loss(network(data.x)))
        if minimum is None:
            rows.append({"certified": False, "loss": loss})
            continue
        transfer = transfer_minimum(minimum.network, minimum.radius)
        violations += _violations(minimum, data, transfer.function_radius, num_samples, generator)
        better = _nearest_better(minimum, [other for other in minima if other is not None])
        violations += better is not None and better < transfer.function_radius
        rows.append(
            {
                "certified": transfer.applies,
                "loss": minimum.loss,
                "defect": minimum.defect,
                "parameter_radius": minimum.radius,
                "function_radius": transfer.function_radius,
                "nearest_better_function": better,
            }
        )
    return rows, violations


def _violations(
    minimum: PatternMinimum,
    data: RegressionData,
    radius: float,
    num_samples: int,
    generator: torch.Generator,
) -> int:
    """Sample functions within the radius and count those that are better by more than the defect."""
    directions, outputs = minimum.network.weights
    count = 0
    for _ in range(num_samples):
        step = torch.randn(outputs.shape, generator=generator, dtype=torch.float64) * outputs.abs()
        moved = ReLUNetwork([directions, outputs + step])
        distance = seminorm_distance(moved, minimum.network).upper
        moved = ReLUNetwork([directions, outputs + step * (0.999 * radius / max(distance, 1e-300))])
        count += float(data.loss(moved(data.lifted))) < minimum.loss - minimum.defect - 1e-12
    return count


def _nearest_better(minimum: PatternMinimum, others: list[PatternMinimum]) -> float | None:
    better = [other for other in others if other.loss < minimum.loss - minimum.defect - 1e-9]
    return min((seminorm_distance(minimum.network, other.network).value for other in better), default=None)


def _figures(certified: list[dict[str, Any]]) -> tuple[Chart, ...]:
    beaten = [row for row in certified if row["nearest_better_function"] is not None]
    if not beaten:
        return ()
    radii = tuple(row["function_radius"] for row in beaten)
    return (
        Chart(
            "re-parameter-minima-trained",
            "Trained minima: certified radius and nearest better function",
            "certified radius over functions (semi-norm)",
            "nearest better trained function, in radii",
            (
                Series(
                    "trained minima",
                    radii,
                    tuple(row["nearest_better_function"] / row["function_radius"] for row in beaten),
                    "points",
                    "accent",
                ),
            ),
            levels=(Level(1.0, "the radius"),),
            x_log=True,
            y_log=True,
            note="All better functions found lie outside the certified radius, most of them far outside.",
        ),
    )


CLAIM = Claim(
    "re-parameter-minima",
    "With inverse stability a local minimum over parameters is a local minimum over functions; without it, "
    "it need not be.",
    check,
)
