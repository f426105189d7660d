"""re-almost-optimal: local minima of a regularised problem over functions are almost optimal."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from localmin.charts import Chart, Series
from localmin.experiments.claim import Claim, ClaimCheck
from localmin.experiments.realization.line_problem import LineFunction, LineProblem
from localmin.numerics import as_generator
from localmin.realization import almost_optimality, transfer_radius

__all__ = ["CLAIM"]

_NUM_NODES, _VARIATION = 121, 200.0
_SLACK = 1e-9


def check(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Train networks of growing width under a bound of the slope's variation; evaluate all terms.

    For every trained network and several radii ``r`` the proof of the bound is carried out: a network
    ``h`` is built within ``r``. Either it has a smaller loss, so the trained network is no local minimum of
    that radius, or the excess has to obey the bound.

    Args:
        seed: Of data and starts.
        quick: Fewer widths, starts and steps.

    Returns:
        Excess over the best loss by width, the terms of the bound, and what the constructed networks show.
    """
    generator = as_generator(seed)
    nodes = np.linspace(0, 1, _NUM_NODES)
    noise = 0.2 * torch.randn(_NUM_NODES, generator=generator, dtype=torch.float64).numpy()
    problem = LineProblem(nodes, np.sin(25 * nodes) + noise, variation=_VARIATION)
    best = problem.minimum()
    rows: list[dict[str, Any]] = []
    for width in (4, 64) if quick else (4, 8, 16, 32, 64, 128, 256):
        trained = _train(
            problem,
            width,
            num_networks=2 if quick else 4,
            num_steps=500 if quick else 3000,
            generator=generator,
        )
        rows += [_measure(problem, best, function, width) for function in trained]
    widths = sorted({row["width"] for row in rows})
    excess = [float(np.mean([row["excess"] for row in rows if row["width"] == width])) for width in widths]
    num_violations = sum(row["violations"] for row in rows)
    holds = num_violations == 0 and excess[-1] < excess[0] / 5
    return ClaimCheck(
        "re-almost-optimal",
        "partly" if holds else "does-not-hold",
        "the excess of trained networks over the best loss falls with the width; where it is above the bound "
        "for a radius, a better network within that radius exists",
        {
            "num_trained": len(rows),
            "num_violations": num_violations,
            "best_loss": best.loss,
            "excess_narrowest": excess[0],
            "excess_widest": excess[-1],
            "bound_narrowest": min(row["bound"] for row in rows if row["width"] == widths[0]),
            "bound_widest": min(row["bound"] for row in rows if row["width"] == widths[-1]),
            "num_shown_to_be_no_minimum": sum(row["better_network_within"] is not None for row in rows),
            "num_with_parameter_radius_large_enough": sum(
                row["function_radius_at_most"] >= 2 * row["eta"] for row in rows
            ),
        },
        "1e-9 of rounding",
        "one input, networks with a linear skip, trained by Adam, projected onto the bound of the variation, "
        "the output layer solved exactly at the end. The bound is far above the excess. It needs a radius of "
        "at least 2 eta = 2 C / (m + 1) in function space; one certified over parameters cannot give it "
        "here: it is at most an eighth of the lightest neuron's product, hence at most C / (8 m). So the "
        "chain from parameter minima to almost optimality is empty for this class; what is checked is the "
        "step from function minima to almost optimality",
        is_scaled_down=True,
        rows=tuple(rows),
        figures=(_chart(rows, widths, excess),),
    )


def _measure(problem: LineProblem, best: LineFunction, function: LineFunction, width: int) -> dict[str, Any]:
    eta, distance = problem.approximation(width), problem.distance(function, best)
    excess = function.loss - best.loss
    violations, better_within, bound = 0, None, math.inf
    for radius in np.geomspace(2 * eta, max(2 * distance, 2 * eta), 8):
        terms = almost_optimality(
            lipschitz=problem.lipschitz, function_radius=float(radius), distance=distance, approximation=eta
        )
        share = min(radius / (2 * distance), 1.0) if distance > 0 else 1.0
        built = problem.few_kinks(problem.mix(function, best, share), width)
        is_near = problem.distance(built, function) <= float(radius) * (1 + 1e-6)
        is_member = built.variation <= problem.variation * (1 + 1e-6)
        is_better = is_near and is_member and built.loss < function.loss - _SLACK
        violations += not (is_near and is_member)
        violations += excess > terms.excess_bound + _SLACK and not is_better
        if is_better and better_within is None:
            better_within = float(radius)
        # A minimum of a smaller radius only has a weaker bound, so the smallest radius still open counts.
        if not is_better:
            bound = min(bound, terms.excess_bound)
    if math.isinf(bound):
        bound = 2 * problem.lipschitz / (2 * eta) * distance * eta
    jumps = np.abs(np.diff(function.slopes))
    # Neurons that the fit does not use are as light as can be.
    lightest = float(jumps.min()) if len(jumps) == width else 0.0
    return {
        "width": width,
        "excess": excess,
        "bound": bound,
        "lipschitz": problem.lipschitz,
        "distance": distance,
        "eta": eta,
        "better_network_within": better_within,
        "function_radius_at_most": transfer_radius(math.sqrt(lightest)),
        "violations": violations,
    }


def _train(
    problem: LineProblem, width: int, *, num_networks: int, num_steps: int, generator: torch.Generator
) -> list[LineFunction]:
    """Train ``f(0) + s x + sum c_i relu(w_i x + b_i)``, then solve the output layer for the kinks found."""
    x, y = torch.from_numpy(problem.nodes), torch.from_numpy(problem.targets)
    size = (problem.variation / width) ** 0.5

    def draw() -> Tensor:
        return torch.randn(num_networks, width, generator=generator, dtype=torch.float64)

    weights, outputs = size * (1 + 0.1 * draw()), 0.1 * size * draw()
    kinks = torch.rand(num_networks, width, generator=generator, dtype=torch.float64)
    parameters = [weights, -weights * kinks, outputs, torch.zeros(num_networks, 2, dtype=torch.float64)]
    for parameter in parameters:
        parameter.requires_grad_()
    weights, biases, outputs, skip = parameters
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)

    for _ in range(num_steps):
        optimizer.zero_grad()
        hidden = torch.relu(weights[:, :, None] * x + biases[:, :, None])
        values = skip[:, :1] + skip[:, 1:] * x + torch.einsum("bm,bmn->bn", outputs, hidden)
        torch.autograd.backward((values - y).abs().mean(dim=1).sum())
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            total = (outputs * weights).abs().sum(dim=1, keepdim=True)
            outputs *= (problem.variation / total).clamp_max(1.0)
    places = (-biases / weights).detach().numpy()
    return [problem.minimum_with_kinks(row[(row > 0) & (row < 1)]) for row in places]


def _chart(rows: list[dict[str, Any]], widths: list[int], excess: list[float]) -> Chart:
    x = tuple(float(width) for width in widths)
    bounds = tuple(
        float(np.mean([row["bound"] for row in rows if row["width"] == width])) for width in widths
    )
    single = tuple(float(row["width"]) for row in rows), tuple(row["excess"] for row in rows)
    return Chart(
        "re-almost-optimal-widths",
        "How far trained networks are from the best of the class",
        "neurons",
        "loss above the best",
        (
            Series("trained networks", *single, "points", "muted"),
            Series("their mean", x, tuple(excess), emphasis="accent"),
            Series("bound, mean", x, bounds, emphasis="dashed"),
        ),
        x_log=True,
        y_log=True,
        note="The bound holds for minima of the smallest radius at which no better network was constructed.",
    )


CLAIM = Claim(
    "re-almost-optimal",
    "For large enough networks, local minima of a regularised problem over functions are almost optimal.",
    check,
)
