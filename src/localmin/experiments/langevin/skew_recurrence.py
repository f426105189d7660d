"""la-recurrence-skew: the rate of the mean under skew drifts, against the real parts of the spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from localmin.charts import Chart, Level, Series
from localmin.experiments.claim import ClaimCheck
from localmin.experiments.langevin.comparison import Comparison, verdict_of
from localmin.experiments.langevin.recurrence import measured_efold
from localmin.langevin import (
    CoupledChains,
    NonReversibleKernel,
    PairwiseRotation,
    Quadratic,
    SkewOperator,
    dense_optimal_skew,
    theory,
)

__all__ = ["check_skew_recurrence"]

_PLANE = (0.1, 1.0)
_FOUR = tuple(float(one) for one in np.logspace(-2, 0, 4))


def check_skew_recurrence(*, seed: int = 0, quick: bool = False) -> ClaimCheck:
    """Measure decay rates of the mean for several J, in small steps and at the best Euler step.

    Args:
        seed: Not used; nothing is random.
        quick: Fewer strengths in the picture.

    Returns:
        Measured rates against min Re eig((I + J) H); where pairing cannot help; and what explicit Euler
        steps keep of it.
    """
    del seed
    critical = theory.critical_skew_strength(*_PLANE)
    cases: list[tuple[str, tuple[float, ...], SkewOperator, float]] = [
        ("J = 0", _PLANE, PairwiseRotation(0.0), 0.1),
        ("strength 1", _PLANE, PairwiseRotation(1.0), 0.2298438),
        ("strength 2, above critical", _PLANE, PairwiseRotation(2.0), 0.55),
        ("equal curvatures paired", (0.1, 0.1), PairwiseRotation(2.0), 0.1),
        ("two chains coupled by the identity", (*_PLANE, *_PLANE), _Coupled(torch.tensor([0, 1])), 0.1),
        ("two chains coupled soft with stiff", (*_PLANE, *_PLANE), _Coupled(torch.tensor([1, 0])), 0.55),
        ("optimal J in four dimensions", _FOUR, dense_optimal_skew(_FOUR), 0.3179651),
    ]
    comparisons = []
    for name, curvatures, operator, known in cases:
        rate = theory.convergence_rate(curvatures, "nonreversible", skew=operator)
        comparisons.append(Comparison(f"rate in theory, {name}", known, rate, 1e-6))
        comparisons.append(
            Comparison(f"measured rate, {name}", known, _measured_rate(curvatures, operator), 0.02 * known)
        )
    comparisons += _euler(critical)
    return ClaimCheck(
        "la-recurrence-skew",
        verdict_of(comparisons),
        "rates equal min Re eig((I + J) H), between the smallest curvature and the mean curvature",
        {one.quantity: one.measured for one in comparisons},
        "2 per cent for measured rates; printed digits for theory",
        remark="The gain needs soft directions paired with stiff ones. In explicit Euler steps a rotation of"
        " critical strength in the plane reaches the minimum in two steps, but the J that is optimal in four"
        " dimensions needs a step 13 times smaller than plain descent and then more gradients than it; 0.3 of"
        " that J needs a third of them.",
        rows=tuple(one.to_row() for one in comparisons),
        figures=(_picture(critical, 9 if quick else 41),),
    )


class _Coupled:
    """`CoupledChains` of two chains as one vector."""

    acts_on: Any = "flat"

    def __init__(self, partner: torch.Tensor) -> None:
        self._pair = CoupledChains(2.0, partner)

    def apply(self, gradient: torch.Tensor) -> torch.Tensor:
        """Compute J g."""
        return self._pair.apply(gradient.view(2, -1)).reshape(gradient.shape)

    def to_dense(self, dimension: int) -> Any:
        """Build J as a matrix."""
        return self._pair.to_dense(dimension)


def _measured_rate(curvatures: tuple[float, ...], operator: SkewOperator) -> float:
    """Fit the decay of the distance in steps so small that Euler's error is far below a per cent."""
    target = Quadratic(curvatures)
    step = 0.02 * theory.max_stable_step(curvatures, "nonreversible", skew=operator)
    rate = theory.convergence_rate(curvatures, "nonreversible", skew=operator)
    kernel = NonReversibleKernel(step, operator)
    state = kernel.init(torch.ones(len(curvatures), dtype=torch.float64))
    num_steps = min(round(25 / (rate * step)), 60_000)
    times, logs = [], []
    for index in range(1, num_steps + 1):
        state, _ = kernel.step(state, target.gradient(state.position))
        if index > num_steps // 2:  # late, so that the slowest modes are alone; many turns average out
            times.append(index * step)
            logs.append(float(state.position.norm().log()))
    return -float(np.polyfit(times, logs, 1)[0])


def _euler(critical: float) -> list[Comparison]:
    """Compute what explicit Euler steps keep."""
    rotation = PairwiseRotation(critical)
    state = NonReversibleKernel(2 / sum(_PLANE), rotation).init(
        torch.tensor([1.0, -3.0], dtype=torch.float64)
    )
    kernel, target = NonReversibleKernel(2 / sum(_PLANE), rotation), Quadratic(_PLANE)
    for _ in range(2):
        state, _ = kernel.step(state, target.gradient(state.position))
    optimal = dense_optimal_skew(_FOUR)
    limit = theory.max_stable_step(_FOUR, "nonreversible", skew=optimal)
    in_time = theory.convergence_rate(_FOUR, "nonreversible", skew=optimal) / _FOUR[0]
    return [
        Comparison("distance after two steps at critical strength", 0.0, float(state.position.norm()), 1e-12),
        Comparison("largest Euler step in the plane, strength 2", 2.2, _plane_limit(2.0), 1e-9),
        Comparison("largest Euler step with the optimal J (2 without J)", 0.152, limit, 5e-4),
        Comparison("gain of the optimal J in continuous time", 31.79651, in_time, 1e-4),
        _efold("no J", 0.0, 50.0),
        _efold("the optimal J", 1.0, 81.77),
        _efold("0.3 of the optimal J", 0.3, 17.74),
    ]


def _efold(name: str, strength: float, known: float) -> Comparison:
    """Measure Euler steps per factor e, in four dimensions at the best step."""
    operator = dense_optimal_skew(_FOUR, strength=strength)
    step = theory.best_step_size(_FOUR, "nonreversible", skew=operator)
    measured = measured_efold(NonReversibleKernel(step, operator), _FOUR, num_steps=round(40 * known))
    return Comparison(f"Euler steps per factor e with {name}", known, measured, 0.06 * known)


def _plane_limit(strength: float) -> float:
    return theory.max_stable_step(_PLANE, "nonreversible", skew=PairwiseRotation(strength))


def _picture(critical: float, number: int) -> Chart:
    strengths = np.linspace(0, 3, number)
    rates = [
        theory.convergence_rate(_PLANE, "nonreversible", skew=PairwiseRotation(float(one)))
        for one in strengths
    ]
    limits = [_plane_limit(float(one)) for one in strengths]
    return Chart(
        "langevin-skew-rate",
        "Rate and largest Euler step against the strength of the rotation",
        "strength a",
        "rate per time; step",
        (
            Series("rate", tuple(strengths), rates, emphasis="accent"),
            Series("largest step", tuple(strengths), limits),
        ),
        levels=(Level(sum(_PLANE) / 2, "mean curvature"),),
        note=f"The rate reaches the mean curvature at strength {critical:.3f}; beyond it the step shrinks.",
    )
