"""Gradient descent on a deep linear network, and where it slows down."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.certification.deep_linear.data import read_data
from localmin.certification.deep_linear.derivatives import gradient_of, loss_of
from localmin.certification.deep_linear.global_bounds import critical_values
from localmin.charts import Chart, Level, Series
from localmin.errors import InputError
from localmin.numerics import as_generator

__all__ = ["DescentCurve", "descent_chart", "descent_curve"]

_MAX_POINTS = 1000
_MAX_LEVELS = 12


@dataclass(frozen=True)
class DescentCurve:
    """Gradient descent on a deep linear network.

    Args:
        losses: Half the sum of squares in each step.
        gradient_norms: Norm of the gradient in each step.
        plateaus: Losses where the gradient norm has a local minimum before the end.
        levels: All critical losses, ascending, without repetition.
    """

    losses: tuple[float, ...]
    gradient_norms: tuple[float, ...]
    plateaus: tuple[float, ...]
    levels: tuple[float, ...]

    @property
    def largest_plateau_distance(self) -> float:
        """Largest distance of a plateau from the nearest critical loss; NaN without a plateau."""
        nearest = [min(abs(plateau - level) for level in self.levels) for plateau in self.plateaus]
        return max(nearest, default=math.nan)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        return {name: list(values) for name, values in vars(self).items()}


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
        x: Inputs, shape ``(n, d_0)``.
        y: Targets, shape ``(n, d_N)``.
        hidden_widths: ``(d_1, ..., d_{N-1})``.
        start_scale: Standard deviation of the entries at the start.
        step_size: Step of gradient descent on half the sum of squares.
        num_steps: Number of steps, at least 3.
        seed: Integer or CPU generator for the start.

    Returns:
        The curve, with the critical losses as levels to compare the plateaus with.

    Raises:
        InputError: If a number is out of range, or the descent diverges.

    Cost:
        ``num_steps`` forward and backward sweeps.

    Example:
        >>> eye = torch.eye(2, dtype=torch.float64)
        >>> curve = descent_curve(eye, 2 * eye, (2,), start_scale=0.1, step_size=0.1, num_steps=200)
        >>> curve.levels, curve.losses[-1] < 1e-9
        ((0.0, 2.0, 4.0), True)
    """
    if not (start_scale >= 0.0 and step_size > 0.0 and num_steps >= 3):
        raise InputError(
            "expected start_scale >= 0, step_size > 0 and num_steps >= 3, got "
            f"{start_scale}, {step_size} and {num_steps}"
        )
    x, y = read_data(x, y)
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
    if not math.isfinite(losses[-1]):
        raise InputError(f"gradient descent diverged with step_size = {step_size}; take a smaller one")
    plateaus = [
        losses[k]
        for k in range(1, num_steps - 1)
        if norms[k] < norms[k - 1] and norms[k] <= norms[k + 1] and norms[k] > 1e-9
    ]
    return DescentCurve(tuple(losses), tuple(norms), tuple(plateaus), _distinct(x, y, widths))


def descent_chart(
    curve: DescentCurve, *, name: str = "descent", title: str = "From saddle to saddle"
) -> Chart:
    """Draw the loss over the steps, with the critical losses as levels.

    Args:
        curve: From `descent_curve`.
        name: Of the chart.
        title: Of the chart.

    Returns:
        A chart with at most a thousand points of the curve and its twelve lowest levels up to its start.
    """
    stride = max(1, len(curve.losses) // _MAX_POINTS)
    steps = range(0, len(curve.losses), stride)
    levels = [level for level in curve.levels if level <= 1.05 * max(curve.losses)][:_MAX_LEVELS]
    return Chart(
        name,
        title,
        "step of gradient descent",
        "half the sum of squares",
        [Series("loss", list(steps), [curve.losses[step] for step in steps], emphasis="accent")],
        levels=[Level(level, f"critical {level:.3g}") for level in levels],
        note=f"Plateaus at {', '.join(f'{plateau:.3g}' for plateau in curve.plateaus[:6]) or 'no loss'}; "
        "the lines are the losses at which critical points exist.",
    )


def _distinct(x: Tensor, y: Tensor, widths: tuple[int, ...]) -> tuple[float, ...]:
    scale = float(y.square().sum())
    found: list[float] = []
    for value in critical_values(x, y, widths):
        if not found or value.loss - found[-1] > 1e-9 * scale:
            found.append(value.loss)
    return tuple(found)
