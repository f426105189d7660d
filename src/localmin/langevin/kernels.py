"""Langevin kernels as data plus a pure function, batched over chains on the leading dimensions.

state = kernel.init(start)
state, info = kernel.step(state, gradient_at(state.position), generator)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.langevin.finite import finite_or_nan
from localmin.langevin.passes import Push, move, push_along_gradient
from localmin.langevin.skew import PairwiseRotation
from localmin.langevin.skew_drift import SkewLike, check_skew, push_along_skew_drift, resolve_skew
from localmin.langevin.updates import (
    UnderdampedScheme,
    check_scheme,
    first_order_update,
    underdamped_schemes,
    underdamped_update,
)

__all__ = [
    "Kernel",
    "KernelInfo",
    "KernelState",
    "NonReversibleKernel",
    "OverdampedKernel",
    "Schedule",
    "UnderdampedKernel",
    "registered_kernels",
]

Schedule = float | Callable[[int], float]


@dataclass(frozen=True)
class KernelState:
    """What the next step needs.

    Attributes:
        position: x, shape ``(..., d)``.
        velocity: v, same shape; None for first-order dynamics. For BAOAB and OBABO it lacks the closing half
            step, which needs the gradient at ``position``; `KernelInfo.velocity` has it.
        num_steps: Steps made so far.
        pending: Length of that open half step [time].
    """

    position: Float[Tensor, "*chains d"]
    velocity: Float[Tensor, "*chains d"] | None = None
    num_steps: int = 0
    pending: float = 0.0

    def select(self, chains: Bool[Tensor, " chains"]) -> KernelState:
        """Keep some chains of the first dimension."""
        velocity = None if self.velocity is None else self.velocity[chains]
        return KernelState(self.position[chains], velocity, self.num_steps, self.pending)


@dataclass(frozen=True)
class KernelInfo:
    """Diagnostics of one step, at the position where it started; numbers are computed when asked for.

    Attributes:
        position: x before the step ``(..., d)``.
        gradient: Gradient there ``(..., d)``.
        velocity: The scheme's own velocity there (for BAOAB after its closing kick; for OBABO before its
            closing O, which has the same law), or None.
        step_size: eta or h used.
        temperature: T used.
        noise_scale: Standard deviation per coordinate of the noise that the step added directly to the
            position (first order) or to the velocity.
        drift_scale: Factor of the gradient in the same place.
    """

    position: Tensor
    gradient: Tensor
    velocity: Tensor | None
    step_size: float
    temperature: float
    noise_scale: float
    drift_scale: float

    @property
    def kinetic_temperature(self) -> Float[Tensor, " *chains"] | None:
        """Compute |v|^2 / d per chain; its mean at equilibrium is T up to the scheme's bias."""
        return None if self.velocity is None else self.velocity.square().mean(-1)

    def configurational_temperature(self, reference: Tensor | float = 0.0) -> Float[Tensor, " *chains"]:
        """Compute (x - c) . gradient / d per chain; its mean at equilibrium is T."""
        product: Tensor = (self.position - reference) * self.gradient
        return product.mean(-1)

    @property
    def noise_to_gradient_ratio(self) -> Float[Tensor, " *chains"]:
        """Compute the expected norm of the added noise over the norm of the gradient's contribution."""
        expected = self.noise_scale * math.sqrt(self.position.shape[-1])
        drift: Tensor = self.drift_scale * self.gradient.norm(dim=-1)
        return expected / drift


@runtime_checkable
class Kernel(Protocol):
    """What every kernel can do."""

    @property
    def order(self) -> Literal[1, 2]:
        """1 for dynamics of the position alone, 2 with a velocity."""

    def init(self, params: Float[Tensor, "*chains d"]) -> KernelState:
        """Start at a position."""

    def step(
        self,
        state: KernelState,
        gradient: Float[Tensor, "*chains d"],
        generator: torch.Generator | None = None,
    ) -> tuple[KernelState, KernelInfo]:
        """Make one step, given the gradient at ``state.position``."""


@dataclass(frozen=True)
class OverdampedKernel:
    """Overdamped Langevin by Euler-Maruyama, x <- x - eta g + sqrt(2 eta T) xi.

    Args:
        step_size: eta > 0 [time], or a function of the number of steps made.
        temperature: T = 1/beta >= 0, or a function of the number of steps made. At 0 the step is gradient
            descent and draws nothing.

    Source:
        [gao2020], overdamped dynamics.

    Example:
        >>> kernel = OverdampedKernel(0.5)
        >>> state, _ = kernel.step(kernel.init(torch.tensor([2.0])), torch.tensor([2.0]))
        >>> state.position
        tensor([1.])
    """

    step_size: Schedule
    temperature: Schedule = 0.0

    def __post_init__(self) -> None:
        _check_settings(self.step_size, self.temperature)

    @property
    def order(self) -> Literal[1, 2]:
        """1: the position alone."""
        return 1

    def init(self, params: Float[Tensor, "*chains d"]) -> KernelState:
        """Start at a position."""
        return KernelState(_checked_start(params))

    def step(
        self,
        state: KernelState,
        gradient: Float[Tensor, "*chains d"],
        generator: torch.Generator | None = None,
    ) -> tuple[KernelState, KernelInfo]:
        """Make one step, given the gradient at ``state.position``."""
        _check_gradient(state, gradient)
        return _first_order_step(self, state, gradient, generator)


@dataclass(frozen=True)
class NonReversibleKernel:
    """Skew-drift Langevin by Euler-Maruyama, x <- x - eta (g + J g) + sqrt(2 eta T) xi, noise not rotated.

    Args:
        step_size: eta > 0 [time], or a function of the number of steps made.
        skew: J as an operator of `localmin.langevin.skew`, as an antisymmetric matrix ``(d, d)``, or as a
            function of the number of steps made such as `RepairedRotation`.
        temperature: T = 1/beta >= 0, or a function of the number of steps made.

    Source:
        [gao2020], non-reversible dynamics.

    Example:
        >>> kernel = NonReversibleKernel(0.5, torch.tensor([[0.0, 2.0], [-2.0, 0.0]]))
        >>> state, _ = kernel.step(kernel.init(torch.zeros(2)), torch.tensor([1.0, 0.0]))
        >>> state.position
        tensor([-0.5000,  1.0000])
    """

    step_size: Schedule
    skew: SkewLike
    temperature: Schedule = 0.0
    _skew: SkewLike = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_settings(self.step_size, self.temperature)
        object.__setattr__(self, "_skew", check_skew(self.skew))

    @property
    def order(self) -> Literal[1, 2]:
        """1: the position alone."""
        return 1

    def init(self, params: Float[Tensor, "*chains d"]) -> KernelState:
        """Start at a position."""
        return KernelState(_checked_start(params))

    def step(
        self,
        state: KernelState,
        gradient: Float[Tensor, "*chains d"],
        generator: torch.Generator | None = None,
    ) -> tuple[KernelState, KernelInfo]:
        """Make one step, given the gradient at ``state.position``."""
        _check_gradient(state, gradient)
        push = partial(push_along_skew_drift, resolve_skew(self._skew, state.num_steps))
        return _first_order_step(self, state, gradient, generator, push)


@dataclass(frozen=True)
class UnderdampedKernel:
    """Underdamped (kinetic) Langevin, dv = -friction v dt - g dt + sqrt(2 friction T) dB, dx = v dt.

    Args:
        step_size: h > 0 [time], or a function of the number of steps made.
        friction: Friction > 0 [1/time]; 2 sqrt(m) settles fastest where m is the smallest curvature.
        temperature: T = 1/beta >= 0, or a function of the number of steps made. At 0 nothing is drawn.
        scheme: "baoab" (default), "baoa", "obabo", "symplectic_euler" (O, B, A: torch's SGD with momentum
            exp(-friction h) and rate h^2 at T = 0), "exponential" or "euler_maruyama" (both need a step of
            about friction over the largest curvature: offered for fidelity to the literature).

    Source:
        [gao2020], underdamped dynamics; schemes derived here.

    Example:
        >>> kernel = UnderdampedKernel(0.5, friction=1.0, scheme="symplectic_euler")
        >>> state, _ = kernel.step(kernel.init(torch.tensor([2.0])), torch.tensor([2.0]))
        >>> state.position
        tensor([1.5000])
    """

    step_size: Schedule
    friction: float
    temperature: Schedule = 0.0
    scheme: UnderdampedScheme = "baoab"

    def __post_init__(self) -> None:
        _check_settings(self.step_size, self.temperature)
        if not finite_or_nan(self.friction) > 0:
            raise InputError(f"friction must be a finite number above 0, got {self.friction!r}")
        check_scheme(self.scheme)

    @property
    def order(self) -> Literal[1, 2]:
        """2: position and velocity."""
        return 2

    def init(self, params: Float[Tensor, "*chains d"], velocity: Tensor | None = None) -> KernelState:
        """Start at a position, at rest or with a given velocity ``(..., d)``."""
        position = _checked_start(params)
        if velocity is None:
            return KernelState(position, torch.zeros_like(position))
        if velocity.shape != position.shape:
            raise ShapeError(
                f"velocity must have the position's shape {tuple(position.shape)},"
                f" got {tuple(velocity.shape)}"
            )
        return KernelState(position, velocity.detach().clone())

    def thermal_init(self, params: Float[Tensor, "*chains d"], generator: torch.Generator) -> KernelState:
        """Start at a position with velocities of variance T, as sampling needs."""
        velocity = torch.empty_like(params).normal_(generator=generator)
        return self.init(params, velocity * math.sqrt(_at(self.temperature, 0)))

    def step(
        self,
        state: KernelState,
        gradient: Float[Tensor, "*chains d"],
        generator: torch.Generator | None = None,
    ) -> tuple[KernelState, KernelInfo]:
        """Make one step, given the gradient at ``state.position``."""
        _check_gradient(state, gradient)
        if state.velocity is None:
            raise InputError("this state has no velocity: build it with UnderdampedKernel.init")
        h, temperature = _settings(self, state.num_steps)
        update = underdamped_update(self.scheme, h, self.friction, temperature, state.pending)
        info = KernelInfo(
            position=state.position,
            gradient=gradient,
            velocity=state.velocity - state.pending * gradient if state.pending else state.velocity,
            step_size=h,
            temperature=temperature,
            noise_scale=update.noise_scale,
            drift_scale=update.drift_scale,
        )
        position, velocity = state.position.clone(), state.velocity.clone()
        move(update, [position], [velocity], [gradient], generator)
        pending = h / 2 if self.scheme in {"baoab", "obabo"} else 0.0
        return KernelState(position, velocity, state.num_steps + 1, pending), info


def _first_order_step(
    kernel: OverdampedKernel | NonReversibleKernel,
    state: KernelState,
    gradient: Tensor,
    generator: torch.Generator | None,
    push: Push = push_along_gradient,
) -> tuple[KernelState, KernelInfo]:
    step, temperature = _settings(kernel, state.num_steps)
    update = first_order_update(step, temperature)
    position = state.position.clone()
    move(update, [position], [], [gradient], generator, push=push)
    info = KernelInfo(state.position, gradient, None, step, temperature, update.noise_scale, drift_scale=step)
    return KernelState(position, None, state.num_steps + 1), info


def _settings(
    kernel: OverdampedKernel | NonReversibleKernel | UnderdampedKernel, num_steps: int
) -> tuple[float, float]:
    """Find step size and temperature of the next step."""
    step = _at(kernel.step_size, num_steps)
    temperature = _at(kernel.temperature, num_steps)
    _check_settings(step, temperature)
    return step, temperature


def _at(schedule: Schedule, num_steps: int) -> float:
    return float(schedule(num_steps)) if callable(schedule) else float(schedule)


def _check_settings(step_size: Schedule, temperature: Schedule) -> None:
    if not callable(step_size) and not finite_or_nan(step_size) > 0:
        raise InputError(f"step_size must be a finite number above 0, got {step_size!r}")
    if not callable(temperature) and not finite_or_nan(temperature) >= 0:
        raise InputError(f"temperature must be a finite number of at least 0, got {temperature!r}")


def _checked_start(params: Tensor) -> Tensor:
    if not isinstance(params, Tensor):
        raise ShapeError(f"params must be a real floating-point tensor (..., d), got {type(params).__name__}")
    if params.dim() == 0 or not params.is_floating_point():
        raise ShapeError(
            "params must be a real floating-point tensor (..., d),"
            f" got {params.dtype} of shape {tuple(params.shape)}"
        )
    return params.detach().clone()


def _check_gradient(state: KernelState, gradient: Tensor) -> None:
    if gradient.shape != state.position.shape:
        raise ShapeError(
            f"the gradient must have the position's shape {tuple(state.position.shape)},"
            f" got {tuple(gradient.shape)}"
        )


def registered_kernels() -> dict[str, Callable[[float, float], Kernel]]:
    """List every kernel as a function of step size and temperature, for contract tests and tables.

    Returns:
        Name to factory. Frictions and skew strengths are fixed off their neutral values.

    Example:
        >>> sorted(registered_kernels())[:2]
        ['nonreversible', 'overdamped']
    """
    factories: dict[str, Callable[[float, float], Kernel]] = {
        "overdamped": OverdampedKernel,
        "nonreversible": lambda step, temperature: NonReversibleKernel(
            step, PairwiseRotation(0.7), temperature
        ),
    }
    for scheme in underdamped_schemes:
        factories[f"underdamped-{scheme}"] = lambda step, temperature, scheme=scheme: UnderdampedKernel(  # type: ignore[misc]
            step, 1.3, temperature, scheme
        )
    return factories
