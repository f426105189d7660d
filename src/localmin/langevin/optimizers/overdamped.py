"""Overdamped Langevin dynamics as a torch optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localmin.langevin.optimizers.base import AbstractLangevinOptimizer, Parameters
from localmin.langevin.optimizers.buckets import Bucket
from localmin.langevin.optimizers.stability_alarm import StabilityAlarm
from localmin.langevin.updates import Update, first_order_update

__all__ = ["LangevinDynamics"]


class LangevinDynamics(AbstractLangevinOptimizer):
    """Gradient descent plus calibrated noise, x <- x - lr g + sqrt(2 lr T) xi.

    Args:
        params: Parameters, named parameters (then errors name them) or groups with their own ``lr``,
            ``temperature`` and ``weight_decay``.
        lr: Step eta of the full gradient (Welling and Teh write epsilon/2 for it). Stable below
            2 / largest curvature.
        temperature: T = 1/beta >= 0, or a function of the number of steps made (see the schedules).
            With a loss averaged over N examples the posterior is T = 1/N. At 0 this is torch.optim.SGD and
            draws nothing.
        weight_decay: Adds weight_decay * x to the gradient: a Gaussian prior.
        largest_curvature: If given, a step above the stable limit is warned about.
        seed: Seed of the noise.
        check_finite: Refuse a step that would leave the finite numbers.

    Source:
        [gao2020]; [tzen2018].

    Cost:
        One pass over the parameters, one more and one normal draw per coordinate at T > 0.

    Example:
        >>> import torch
        >>> x = torch.nn.Parameter(torch.tensor([2.0]))
        >>> optimizer = LangevinDynamics([x], lr=0.1)
        >>> (x**2 / 2).sum().backward()
        >>> optimizer.step()
        >>> x.detach()
        tensor([1.8000])
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        *,
        temperature: float | Callable[[int], float] = 0.0,
        weight_decay: float = 0.0,
        largest_curvature: float | None = None,
        seed: int = 0,
        check_finite: bool = True,
    ) -> None:
        self._alarm = StabilityAlarm("overdamped", largest_curvature)
        super().__init__(
            params,
            {"lr": lr, "weight_decay": weight_decay},
            temperature=temperature,
            seed=seed,
            check_finite=check_finite,
        )

    def _update(self, group: dict[str, Any], buckets: list[Bucket]) -> list[Update]:
        lr = float(group["lr"])
        self._alarm.check(lr)
        return [first_order_update(lr, group["temperature"])] * len(buckets)

    def _scales(self, group: dict[str, Any]) -> tuple[float, float]:
        lr = float(group["lr"])
        return (2 * lr * group["temperature"]) ** 0.5, lr
