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
    """

    step: int
    loss: float
    distance: float


@dataclass(frozen=True)
class ReleaseResult:
    """What happened after the release.

    Attributes:
        left: Whether a descent ended away from the first minimum.
        steps_to_leave: Steps of the dynamics until the first check that found it had left, or None.
        loss_at_start: Loss at the first minimum.
        highest_loss: Highest loss seen on the way, at the checks.
        loss_at_end: Loss of the minimum below the last point.
        best_loss: Lowest loss of all minima found, the first included.
        distance: Distance of the last minimum from the first, over the norm of the first.
        num_escapes: Checks whose minimum differs from that of the check before.
        num_gradients: Gradient evaluations of the dynamics; descents are a measurement and not counted.
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
    same_within: float = 0.05,
) -> ReleaseResult:
    """Run a dynamics from a minimum, and from time to time descend to see which basin it is in.

    Two minima are the same if their distance is at most ``same_within`` times the norm of the first. Networks
    have flat valleys, along which this distance can grow without a barrier: compare with the loss.

    Args:
        parameters: The parameters, at a minimum; left at the last minimum found.
        closure: Clears gradients, computes the loss, calls ``backward()`` and returns the loss.
        optimizer: A Langevin optimiser over these parameters.
        num_steps: Steps of the dynamics, one gradient each.
        check_every: Steps between checks.
        descent: How to descend at a check.
        same_within: Relative distance up to which two minima are one.

    Returns:
        The outcome.

    Raises:
        InputError: If a number is out of range.

    Cost:
        ``num_steps`` gradients, plus a descent per check.

    Example:
        >>> from localmin.langevin import DoubleWell, LangevinDynamics
        >>> x = torch.nn.Parameter(torch.tensor([-1.0]))
        >>> def closure():
        ...     x.grad = DoubleWell().gradient(x.detach())
        ...     return DoubleWell().value(x.detach())
        >>> optimizer = LangevinDynamics([x], lr=0.1, temperature=0.2)
        >>> result = release_from_minimum(
        ...     [x], closure, optimizer, num_steps=500, check_every=50, descent=Descent(0.1))
        >>> result.left
        True
    """
    if num_steps < 1 or check_every < 1 or not same_within > 0:
        raise InputError("expected num_steps >= 1, check_every >= 1 and same_within > 0")
    first = _flat(parameters)
    size = float(first.norm()) or 1.0
    start_loss = _value(closure())
    highest, last, loss, best = start_loss, first, start_loss, start_loss
    left_at, escapes = None, 0
    checks: list[ReleaseCheck] = []
    for index in range(1, num_steps + 1):
        highest = max(highest, _value(closure()))
        optimizer.step()
        if index % check_every and index != num_steps:
            continue
        point = [parameter.detach().clone() for parameter in parameters]
        loss, end = _descend(parameters, closure, descent)
        if index != num_steps:
            with torch.no_grad():
                for parameter, value in zip(parameters, point, strict=True):
                    parameter.copy_(value)
        best = min(best, loss)
        escapes += float((end - last).norm()) > same_within * size
        last = end
        distance = float((end - first).norm()) / size
        checks.append(ReleaseCheck(index, loss, distance))
        if left_at is None and distance > same_within:
            left_at = index
    return ReleaseResult(
        left=left_at is not None,
        steps_to_leave=left_at,
        loss_at_start=start_loss,
        highest_loss=highest,
        loss_at_end=loss,
        best_loss=best,
        distance=float((last - first).norm()) / size,
        num_escapes=escapes,
        num_gradients=num_steps,
        checks=tuple(checks),
    )


def _descend(
    parameters: Sequence[Tensor], closure: Callable[[], Tensor], descent: Descent
) -> tuple[float, Tensor]:
    optimizer = torch.optim.SGD(list(parameters), lr=descent.lr, momentum=descent.momentum)
    loss = math.nan
    for _ in range(descent.num_steps):
        loss = _value(closure())
        optimizer.step()
    return loss, _flat(parameters)


def _flat(parameters: Sequence[Tensor]) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1).double() for parameter in parameters])


def _value(loss: Tensor | float) -> float:
    return float(loss.detach()) if isinstance(loss, Tensor) else float(loss)
