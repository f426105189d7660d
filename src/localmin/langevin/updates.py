"""One step of every scheme as a short list of in-place operations on lists of tensors.

Kernels and optimisers run the same lists through the same function, which is why they agree bit for bit.
A list is data: an operation's name and its coefficient. x is a position, v a velocity, g a gradient, xi a
standard normal draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from localmin.errors import InputError
from localmin.langevin.coefficients import exponential_coefficients

__all__ = [
    "Operation",
    "UnderdampedScheme",
    "Update",
    "apply_update",
    "check_scheme",
    "draw_noise",
    "first_order_update",
    "underdamped_schemes",
    "underdamped_update",
]

UnderdampedScheme = Literal["baoab", "baoa", "obabo", "symplectic_euler", "exponential", "euler_maruyama"]
underdamped_schemes: tuple[UnderdampedScheme, ...] = get_args(UnderdampedScheme)

_Name = Literal["kick", "drift", "decay", "push", "velocity_noise", "position_noise"]


class Operation(NamedTuple):
    """One in-place operation.

    kick: v -= k g. drift: x += k v. decay: v *= k. push: x -= k g. velocity_noise: v += k xi.
    position_noise: x += k xi.
    """

    name: _Name
    coefficient: float
    noise: int = 0


class Update(NamedTuple):
    """The operations of one step and how many independent normal draws per coordinate they need."""

    operations: tuple[Operation, ...]
    num_noises: int


def check_scheme(scheme: str) -> UnderdampedScheme:
    """Check the name of an underdamped scheme.

    Args:
        scheme: A name.

    Returns:
        The same name.

    Raises:
        InputError: If it is unknown.

    Example:
        >>> check_scheme("baoab")
        'baoab'
    """
    for known in underdamped_schemes:
        if scheme == known:
            return known
    raise InputError(f"scheme is one of {', '.join(underdamped_schemes)}, got {scheme!r}")


def first_order_update(step_size: float, temperature: float) -> Update:
    """Build x <- x - step g + sqrt(2 step T) xi, with the (possibly rotated) gradient handed over as g.

    Args:
        step_size: eta [time].
        temperature: T; at 0 no noise is asked for.

    Returns:
        The update.

    Example:
        >>> first_order_update(0.1, 0.0)
        Update(operations=(Operation(name='push', coefficient=0.1, noise=0),), num_noises=0)
    """
    scale = math.sqrt(2 * step_size * temperature)
    push = Operation("push", step_size)
    return Update((push, Operation("position_noise", scale)), 1) if scale > 0 else Update((push,), 0)


@lru_cache(maxsize=256)
def underdamped_update(
    scheme: UnderdampedScheme, step_size: float, friction: float, temperature: float, pending: float
) -> Update:
    """Build one step of an underdamped scheme that starts with the gradient at the current position.

    Args:
        scheme: The scheme.
        step_size: h [time].
        friction: Friction [1/time].
        temperature: T; at 0 no noise is asked for.
        pending: Length of the closing half step that the previous step left open [time]: 0 at the first
            step. Only BAOAB and OBABO, which end with a kick by a gradient not yet known, use it.

    Returns:
        The update.

    Source:
        Splitting schemes and left-point exponential integrator, derived here. Joining the closing half step
        of OBABO with the next opening one draws one normal where the textbook form draws two of the same law.

    Example:
        >>> [one.name for one in underdamped_update("symplectic_euler", 0.1, 1.0, 0.5, 0.0).operations]
        ['decay', 'kick', 'velocity_noise', 'drift']
    """
    h = step_size
    if scheme == "exponential":
        return _exponential(h, friction, temperature)
    if scheme == "euler_maruyama":
        # The position moves with the old velocity, before the kick: the gradient comes one step late.
        noise = math.sqrt(2 * friction * h * temperature)
        return _with_noise(
            (Operation("drift", h), Operation("decay", 1 - friction * h), Operation("kick", h)),
            (Operation("velocity_noise", noise),),
        )
    if scheme in {"baoab", "baoa"}:
        decay, noise = _thermostat(friction * h, temperature)
        kick = pending + h / 2 if scheme == "baoab" else h
        # A(h/2) O A(h/2) in three passes: the noise enters v fully and x over the second half.
        return _with_noise(
            (Operation("kick", kick), Operation("drift", h / 2 * (1 + decay)), Operation("decay", decay)),
            (Operation("velocity_noise", noise), Operation("position_noise", h / 2 * noise)),
        )
    if scheme == "obabo":
        decay, noise = _thermostat(friction * (pending + h / 2), temperature)
        kick = pending * decay + h / 2
    else:  # symplectic_euler, the O B A form
        decay, noise = _thermostat(friction * h, temperature)
        kick = h
    quiet = (Operation("decay", decay), Operation("kick", kick))
    drift = (Operation("drift", h),)
    if noise == 0:
        return Update(quiet + drift, 0)
    return Update((*quiet, Operation("velocity_noise", noise), *drift), 1)


def _thermostat(friction_times_step: float, temperature: float) -> tuple[float, float]:
    return math.exp(-friction_times_step), math.sqrt(-math.expm1(-2 * friction_times_step) * temperature)


def _with_noise(quiet: tuple[Operation, ...], noise: tuple[Operation, ...]) -> Update:
    return Update(quiet + noise, 1) if noise[0].coefficient > 0 else Update(quiet, 0)


def _exponential(h: float, friction: float, temperature: float) -> Update:
    c = exponential_coefficients(h, friction)
    quiet = (
        Operation("drift", c.psi1),
        Operation("push", c.psi2),
        Operation("decay", c.psi0),
        Operation("kick", c.psi1),
    )
    if temperature == 0 or h == 0:
        return Update(quiet, 0)
    root = math.sqrt(temperature)
    first, mixed, second = (root * factor for factor in c.cholesky)
    noise = (
        Operation("velocity_noise", first),
        Operation("position_noise", mixed),
        Operation("position_noise", second, noise=1),
    )
    return Update(quiet + noise, 2)


def draw_noise(
    like: Sequence[Tensor],
    num_noises: int,
    generator: torch.Generator,
    buffers: Sequence[Tensor] | None = None,
) -> list[list[Tensor]]:
    """Draw standard normals shaped like a list of tensors, with one call for the whole list.

    Args:
        like: Tensors of one device and dtype.
        num_noises: How many independent draws per coordinate.
        generator: Generator on the tensors' device.
        buffers: Flat tensors to draw into, one per draw; None allocates.

    Returns:
        One list of tensors per draw, shaped like the input.

    Cost:
        ``num_noises`` calls of ``normal_`` on as many numbers as the tensors hold.
    """
    sizes = [tensor.numel() for tensor in like]
    result = []
    for index in range(num_noises):
        flat = like[0].new_empty(sum(sizes)) if buffers is None else buffers[index]
        flat.normal_(generator=generator)
        result.append(
            [part.view(tensor.shape) for part, tensor in zip(torch.split(flat, sizes), like, strict=True)]
        )
    return result


def apply_update(
    update: Update,
    positions: list[Tensor],
    velocities: list[Tensor],
    gradients: list[Tensor],
    noises: Sequence[list[Tensor]],
) -> None:
    """Run the operations in place.

    Args:
        update: What to do.
        positions: x, changed in place.
        velocities: v, changed in place; empty for first-order dynamics.
        gradients: g at the positions before the step.
        noises: Standard normals from `draw_noise`.

    Cost:
        One pass over the tensors per operation, no allocation.
    """
    for name, coefficient, index in update.operations:
        if name == "kick":
            torch._foreach_add_(velocities, gradients, alpha=-coefficient)
        elif name == "drift":
            torch._foreach_add_(positions, velocities, alpha=coefficient)
        elif name == "decay":
            torch._foreach_mul_(velocities, coefficient)
        elif name == "push":
            torch._foreach_add_(positions, gradients, alpha=-coefficient)
        elif name == "velocity_noise":
            torch._foreach_add_(velocities, noises[index], alpha=coefficient)
        else:
            torch._foreach_add_(positions, noises[index], alpha=coefficient)
