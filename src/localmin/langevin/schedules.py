"""Temperature and step schedules: frozen callables of the number of steps made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from localmin.errors import InputError

__all__ = ["Constant", "Cyclical", "Exponential", "Logarithmic", "Polynomial"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InputError(message)


@dataclass(frozen=True)
class Constant:
    """The same value at every step.

    Args:
        value: At least 0.

    Example:
        >>> Constant(0.1)(100)
        0.1
    """

    value: float

    def __post_init__(self) -> None:
        _require(
            math.isfinite(self.value) and self.value >= 0, f"value must be at least 0, got {self.value!r}"
        )

    def __call__(self, num_steps: int) -> float:
        """Compute the value after a number of steps."""
        return self.value


@dataclass(frozen=True)
class Exponential:
    """start * factor^k, not below floor.

    Args:
        start: Value at step 0.
        factor: In (0, 1].
        floor: Smallest value; 0 lets the noise die out.

    Example:
        >>> Exponential(1.0, 0.5)(3)
        0.125
    """

    start: float
    factor: float
    floor: float = 0.0

    def __post_init__(self) -> None:
        _require(
            math.isfinite(self.start) and self.start >= 0 and 0 < self.factor <= 1 and self.floor >= 0,
            f"expected start >= 0, 0 < factor <= 1, floor >= 0, got {self}",
        )

    def __call__(self, num_steps: int) -> float:
        """Compute the value after a number of steps."""
        return max(self.start * self.factor**num_steps, self.floor)


@dataclass(frozen=True)
class Logarithmic:
    """scale / log(k + 2), the slow cooling of simulated annealing.

    Args:
        scale: c; annealing theory wants the deepest barrier, which is very slow.

    Example:
        >>> round(Logarithmic(1.0)(0), 4)
        1.4427
    """

    scale: float

    def __post_init__(self) -> None:
        _require(
            math.isfinite(self.scale) and self.scale >= 0, f"scale must be at least 0, got {self.scale!r}"
        )

    def __call__(self, num_steps: int) -> float:
        """Compute the value after a number of steps."""
        return self.scale / math.log(num_steps + 2)


@dataclass(frozen=True)
class Polynomial:
    """scale (offset + k)^(-power), the decreasing step of stochastic-gradient Langevin.

    Args:
        scale: a > 0.
        offset: b > 0.
        power: p >= 0; in (1/2, 1] for convergence of weighted averages.

    Example:
        >>> Polynomial(2.0, 4.0, 0.5)(0)
        1.0
    """

    scale: float
    offset: float
    power: float

    def __post_init__(self) -> None:
        _require(
            self.scale > 0 and self.offset > 0 and self.power >= 0,
            f"expected scale > 0, offset > 0, power >= 0, got {self}",
        )

    def __call__(self, num_steps: int) -> float:
        """Compute the value after a number of steps."""
        return float(self.scale * (self.offset + num_steps) ** (-self.power))


@dataclass(frozen=True)
class Cyclical:
    """peak/2 (cos(pi mod(k, n)/n) + 1) with n = ceil(total/cycles): warm restarts of step or temperature.

    Args:
        peak: Value at the start of every cycle.
        total_steps: K.
        num_cycles: M.

    Example:
        >>> schedule = Cyclical(1.0, total_steps=8, num_cycles=2)
        >>> [round(schedule(k), 3) for k in (0, 2, 4)]
        [1.0, 0.5, 1.0]
    """

    peak: float
    total_steps: int
    num_cycles: int

    def __post_init__(self) -> None:
        _require(
            self.peak >= 0 and self.total_steps >= 1 and 1 <= self.num_cycles <= self.total_steps,
            f"expected peak >= 0 and 1 <= num_cycles <= total_steps, got {self}",
        )

    def __call__(self, num_steps: int) -> float:
        """Compute the value after a number of steps."""
        length = math.ceil(self.total_steps / self.num_cycles)
        return self.peak / 2 * (math.cos(math.pi * (num_steps % length) / length) + 1)
