"""Underdamped (kinetic) Langevin dynamics as a torch optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from localmin.errors import InputError
from localmin.langevin.finite import finite_or_nan
from localmin.langevin.friction import critical_friction
from localmin.langevin.optimizers.base import AbstractLangevinOptimizer, Parameters
from localmin.langevin.optimizers.buckets import Bucket
from localmin.langevin.optimizers.stability_alarm import StabilityAlarm
from localmin.langevin.updates import UnderdampedScheme, Update, check_scheme, underdamped_update

__all__ = ["UnderdampedLangevin"]

Curvature = float | Callable[[], float] | None


class UnderdampedLangevin(AbstractLangevinOptimizer):
    """Momentum plus calibrated noise, dv = -friction v dt - g dt + sqrt(2 friction T) dB, dx = v dt.

    The time step is h = sqrt(lr), so that ``lr`` multiplies the gradient as in SGD with momentum
    exp(-friction sqrt(lr)). When a scheduler changes ``lr``, the velocity is kept (torch's SGD keeps its
    buffer, which is -velocity / h).

    Args:
        params: Parameters, named parameters (then errors name them) or groups with their own ``lr``,
            ``friction``, ``temperature`` and ``weight_decay``.
        lr: h^2. Stable below 4 / largest curvature for "baoab", "baoa" and "obabo".
        friction: Friction [1/time], or "critical" for 2 sqrt(curvature).
        curvature: m for "critical": a number, or a function that estimates it (called now and by
            `refresh_friction`); see `localmin.langevin.estimate_curvature`.
        temperature: T = 1/beta >= 0, or a function of the number of steps made. At 0 nothing is drawn.
        scheme: "baoab" (default), "baoa", "obabo", "symplectic_euler", "exponential", "euler_maruyama". At
            T = 0 "symplectic_euler" is SGD with momentum exp(-friction h) and rate lr; "baoa" the same with
            rate lr (1 + momentum)/2; "baoab" and "obabo" differ from that in their first step only.
        initial_velocity: "zero" (optimisation) or "thermal", variance T (sampling).
        weight_decay: Adds weight_decay * x to the gradient: a Gaussian prior.
        largest_curvature: If given, a step above the stable limit is warned about.
        seed: Seed of the noise.
        check_finite: Refuse a step that would leave the finite numbers.

    Raises:
        InputError: If a number is out of range, or "critical" comes without a curvature.

    Source:
        [gao2020]; schemes and critical friction derived here.

    Cost:
        Three passes over the parameters (as SGD with momentum), two more and one normal draw per coordinate
        at T > 0; "exponential" four, three more and two draws. Memory: one velocity per parameter; the noise
        takes 256 KiB per draw on the CPU, a copy of the parameters elsewhere.

    Example:
        >>> x = torch.nn.Parameter(torch.tensor([2.0]))
        >>> optimizer = UnderdampedLangevin([x], lr=0.25, friction="critical", curvature=1.0)
        >>> (x**2 / 2).sum().backward()
        >>> optimizer.step()
        >>> x.detach()
        tensor([1.8290])
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        *,
        friction: float | Literal["critical"] = "critical",
        curvature: Curvature = None,
        temperature: float | Callable[[int], float] = 0.0,
        scheme: UnderdampedScheme = "baoab",
        initial_velocity: Literal["zero", "thermal"] = "zero",
        weight_decay: float = 0.0,
        largest_curvature: float | None = None,
        seed: int = 0,
        check_finite: bool = True,
    ) -> None:
        if initial_velocity not in {"zero", "thermal"}:
            raise InputError(f'initial_velocity is "zero" or "thermal", got {initial_velocity!r}')
        self._scheme = check_scheme(scheme)
        self._curvature = curvature
        self._initial_velocity = initial_velocity
        self._alarm = StabilityAlarm(self._scheme, largest_curvature)
        super().__init__(
            params,
            {"lr": lr, "friction": friction, "weight_decay": weight_decay},
            temperature=temperature,
            seed=seed,
            check_finite=check_finite,
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as in any torch optimiser; its friction is turned into a number here."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            group["critical"] = group["friction"] == "critical"
            if group["critical"]:
                group["friction"] = self._critical_friction()
            _check_friction(group["friction"])
        except InputError:
            self.param_groups.pop()
            raise

    def _check_numbers(self, group: dict[str, Any]) -> None:
        super()._check_numbers(group)
        if "critical" in group:  # not yet while the group is being added
            _check_friction(group["friction"])

    def refresh_friction(self, curvature: Curvature = None) -> float:
        """Set the friction of every "critical" group to 2 sqrt(curvature) again.

        Args:
            curvature: New m or estimator; None asks the estimator given at the start.

        Returns:
            The friction [1/time].
        """
        if curvature is not None:
            self._curvature = curvature
        friction = self._critical_friction()
        for group in self.param_groups:
            if group["critical"]:
                group["friction"] = friction
        return friction

    def diagnostics(self) -> dict[str, float]:
        """Compute what the base computes, and the kinetic temperature |v|^2 / d.

        Returns:
            "gradient_norm", "noise_to_gradient_ratio" and "kinetic_temperature" (NaN before the first step).
        """
        velocities = [state["velocity"] for state in self.state.values() if "velocity" in state]
        count = sum(velocity.numel() for velocity in velocities)
        squared = sum(float(velocity.double().square().sum()) for velocity in velocities)
        return {**super().diagnostics(), "kinetic_temperature": squared / count if count else math.nan}

    def _critical_friction(self) -> float:
        value = self._curvature() if callable(self._curvature) else self._curvature
        if value is None:
            raise InputError(
                'friction="critical" needs curvature=m, the smallest to damp: a number, or a function such'
                " as one around localmin.langevin.estimate_curvature; or pass the friction as a number"
            )
        return critical_friction(float(value))

    def _update(self, group: dict[str, Any], buckets: list[Bucket]) -> list[Update]:
        lr, friction, temperature = float(group["lr"]), group["friction"], group["temperature"]
        self._alarm.check(lr, friction)
        step = math.sqrt(lr)
        return [
            underdamped_update(self._scheme, step, friction, temperature, bucket.pending)
            for bucket in buckets
        ]

    def _start(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        thermal = self._initial_velocity == "thermal" and group["temperature"] > 0
        for parameter in parameters:
            state = self.state[parameter]
            if state:
                continue
            state["velocity"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["pending"] = 0.0
            if thermal:
                generator = self._generator(parameter.device)
                state["velocity"].normal_(generator=generator).mul_(math.sqrt(group["temperature"]))
            self._largest_velocity = None

    def _finish(self, group: dict[str, Any], buckets: list[Bucket]) -> None:
        if self._scheme not in {"baoab", "obabo"}:
            return
        pending = math.sqrt(float(group["lr"])) / 2
        for bucket in buckets:
            if bucket.pending != pending:
                bucket.pending = pending
                for parameter in bucket.parameters:
                    self.state[parameter]["pending"] = pending

    def _scales(self, group: dict[str, Any]) -> tuple[float, float]:
        step = math.sqrt(float(group["lr"]))
        return math.sqrt(-math.expm1(-2 * group["friction"] * step) * group["temperature"]), step


def _check_friction(friction: Any) -> None:
    if not finite_or_nan(friction) > 0:
        raise InputError(f'friction is a number above 0 or "critical", got {friction!r}')
