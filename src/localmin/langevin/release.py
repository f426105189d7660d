"""Release a model from a minimum at a temperature, and see whether and to where it leaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from localmin.charts import Chart, Level, Series
from localmin.errors import InputError
from localmin.langevin.basins import Basins, SameBasin, flatten, unflatten
from localmin.langevin.diagnostics import count_escapes

__all__ = ["Descent", "ReleaseCheck", "ReleaseResult", "release_from_minimum"]


@dataclass(frozen=True)
class Descent:
    """How to find the minimum below a point: gradient descent with momentum, without noise.

    Args:
        lr: Learning rate.
        momentum: In [0, 1).
        num_steps: Gradient evaluations per descent.
    """

    lr: float
    momentum: float = 0.9
    num_steps: int = 200

    def __post_init__(self) -> None:
        if not (self.lr > 0 and 0 <= self.momentum < 1 and self.num_steps >= 1):
            raise InputError(f"expected lr > 0, 0 <= momentum < 1 and num_steps >= 1, got {self}")


@dataclass(frozen=True)
class ReleaseCheck:
    """What one look at the path found.

    Attributes:
        step: Steps of the dynamics made before.
        loss: Loss of the minimum below the path.
        distance: Distance of that minimum from the first, over the norm of the first.
        basin: Its number in order of first appearance, 0 for the first minimum's; see `SameBasin`.
        barrier: Rise of the loss on the straight line from the first minimum; None if not asked for.
        gradient_norm: Where the descent ended: how much of a minimum it is.
    """

    step: int
    loss: float
    distance: float
    basin: int
    barrier: float | None
    gradient_norm: float


@dataclass(frozen=True)
class ReleaseResult:
    """What happened after the release.

    Attributes:
        left: Whether a descent ended in another basin than the first minimum's.
        steps_to_leave: Steps of the dynamics until the first check that found it had left, or None.
        loss_at_start: Loss at the first minimum.
        highest_loss: Highest loss seen on the way, at the checks.
        loss_at_end: Loss of the minimum below the last point.
        best_loss: Lowest loss of all minima found, the first included.
        distance: Distance of the last minimum from the first, over the norm of the first.
        num_escapes: Checks whose basin differs from that of the check before.
        num_gradients: Gradient evaluations of the dynamics; descents are a measurement and not counted.
        gradient_norm_at_start: At the first minimum: how much of a minimum it is.
        highest_barrier: Highest of the checks' barriers; None if not asked for.
        checks: Every look at the path, in order.
    """

    left: bool
    steps_to_leave: int | None
    loss_at_start: float
    highest_loss: float
    loss_at_end: float
    best_loss: float
    distance: float
    num_escapes: int
    num_gradients: int
    gradient_norm_at_start: float
    highest_barrier: float | None
    checks: tuple[ReleaseCheck, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types."""
        return {**asdict(self), "checks": [asdict(check) for check in self.checks]}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> ReleaseResult:
        """Rebuild from `to_dict`, directly or after a round trip through JSON."""
        return cls(**{**stored, "checks": tuple(ReleaseCheck(**check) for check in stored["checks"])})

    def figure(self) -> Chart:
        """Show the loss of the minimum below the path over the steps of the dynamics."""
        steps = (0, *(check.step for check in self.checks))
        losses = (self.loss_at_start, *(check.loss for check in self.checks))
        return Chart(
            "langevin-release",
            "Loss of the minimum below the path",
            "gradients",
            "loss",
            (Series("minimum below the path", steps, losses, emphasis="accent"),),
            levels=(Level(self.loss_at_start, "first minimum"),),
            note="Left the first minimum" if self.left else "Did not leave the first minimum",
        )


def release_from_minimum(
    parameters: Sequence[Tensor],
    closure: Callable[[], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    num_steps: int,
    check_every: int,
    descent: Descent,
    same: SameBasin | float = 0.05,
) -> ReleaseResult:
    """Run a dynamics from a minimum, and from time to time descend to see which basin it is in.

    Args:
        parameters: The parameters, at a minimum; left at the last minimum found.
        closure: Clears gradients, computes the loss, calls ``backward()`` and returns the loss.
        optimizer: A Langevin optimiser over these parameters.
        num_steps: Steps of the dynamics, one gradient each.
        check_every: Steps between checks.
        descent: How to descend at a check.
        same: When two minima are one; a number is the relative distance, without a look at barriers. Give a
            `SameBasin` with ``barrier_above`` for a network, which has flat valleys.

    Returns:
        The outcome.

    Raises:
        InputError: If a number is out of range.

    Cost:
        ``num_steps`` gradients and a descent per check; with barriers also the points of a line per check and
        basin known so far.

    Example:
        >>> from localmin.langevin import DoubleWell, LangevinDynamics
        >>> x = torch.nn.Parameter(torch.tensor([-1.0]))
        >>> def closure():
        ...     x.grad = DoubleWell().gradient(x.detach())
        ...     return DoubleWell().value(x.detach())
        >>> optimizer = LangevinDynamics([x], lr=0.1, temperature=0.2)
        >>> result = release_from_minimum(
        ...     [x], closure, optimizer, num_steps=500, check_every=50, descent=Descent(0.1),
        ...     same=SameBasin(barrier_above=0.1))
        >>> result.left, result.highest_barrier
        (True, 0.25)
    """
    if num_steps < 1 or check_every < 1:
        raise InputError("expected num_steps >= 1 and check_every >= 1")
    rule = same if isinstance(same, SameBasin) else SameBasin(same)
    first = flatten(parameters)
    start = _value(closure())
    start_norm = _gradient_norm(parameters)

    def loss_at(point: Tensor) -> float:
        unflatten(point, parameters)
        return _value(closure())

    basins = Basins(rule, loss_at, [first])
    highest = start
    checks: list[ReleaseCheck] = []
    for index in range(1, num_steps + 1):
        highest = max(highest, _value(closure()))
        optimizer.step()
        if index % check_every and index != num_steps:
            continue
        point = [parameter.detach().clone() for parameter in parameters]
        checks.append(_look_below(parameters, closure, descent, basins, index))
        if index != num_steps:
            with torch.no_grad():
                torch._foreach_copy_(list(parameters), point)
    return _sum_up(checks, start, start_norm, highest)


def _look_below(
    parameters: Sequence[Tensor],
    closure: Callable[[], Tensor],
    descent: Descent,
    basins: Basins,
    step: int,
) -> ReleaseCheck:
    """Descend, and compare the end with the minima known; leaves the parameters at the end."""
    optimizer = torch.optim.SGD(list(parameters), lr=descent.lr, momentum=descent.momentum)
    for _ in range(descent.num_steps):
        closure()
        optimizer.step()
    end = flatten(parameters)
    loss = _value(closure())
    norm = _gradient_norm(parameters)
    basin, barrier = basins.number(end)
    unflatten(end, parameters)
    first = basins.minima[0]
    distance = float((end - first).norm()) / (float(first.norm()) or 1.0)
    return ReleaseCheck(step, loss, distance, basin, barrier, norm)


def _sum_up(checks: list[ReleaseCheck], start: float, start_norm: float, highest: float) -> ReleaseResult:
    left_at = next((check.step for check in checks if check.basin), None)
    barriers = [check.barrier for check in checks if check.barrier is not None]
    return ReleaseResult(
        left=left_at is not None,
        steps_to_leave=left_at,
        loss_at_start=start,
        highest_loss=highest,
        loss_at_end=checks[-1].loss,
        best_loss=min(start, *(check.loss for check in checks)),
        distance=checks[-1].distance,
        num_escapes=count_escapes(torch.tensor([0, *(check.basin for check in checks)])),
        num_gradients=checks[-1].step,
        gradient_norm_at_start=start_norm,
        highest_barrier=max(barriers, default=None),
        checks=tuple(checks),
    )


def _gradient_norm(parameters: Sequence[Tensor]) -> float:
    return math.hypot(*(float(one.grad.norm()) for one in parameters if one.grad is not None))


def _value(loss: Tensor | float) -> float:
    return float(loss.detach()) if isinstance(loss, Tensor) else float(loss)
