"""One step of every scheme as a short list of in-place operations on lists of tensors.

Kernels and optimisers run the same lists through the same function, `localmin.langevin.passes.move`, which is
why they agree bit for bit. A list is data: an operation's name and its coefficient. x is a position, v a
velocity, g a gradient, xi a normal draw whose standard deviation belongs to the update.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from localmin.errors import InputError
from localmin.langevin.coefficients import exponential_coefficients

__all__ = [
    "Operation",
    "UnderdampedScheme",
    "Update",
    "bound_update",
    "check_scheme",
    "first_order_update",
    "underdamped_schemes",
    "underdamped_update",
]

UnderdampedScheme = Literal["baoab", "baoa", "obabo", "symplectic_euler", "exponential", "euler_maruyama"]
underdamped_schemes: tuple[UnderdampedScheme, ...] = get_args(UnderdampedScheme)

_Name = Literal[
    "glide", "glide_noise", "kick", "drift", "decay", "blend", "push", "velocity_noise", "position_noise"
]

# The largest ratio of noise to decay for which both are one pass; far above it the draw's own scale would
# leave the range of half precision.
_LARGEST_BLEND = 100.0
# Below this the velocity after the decay carries too few digits to move the position with.
_SMALLEST_DECAY = 1e-3
# No float generator returns a normal draw as large as this.
_LARGEST_NORMAL = 10.0


class Operation(NamedTuple):
    """One in-place operation.

    glide: v = k v - kick g, then x += drift v. glide_noise: v = k v + xi, then x += drift v.
    kick: v -= k g. drift: x += k v. decay: v *= k. blend: v += k (xi - v). push: x -= k g.
    velocity_noise: v += k xi. position_noise: x += k xi.
    """

    name: _Name
    coefficient: float
    noise: int = 0
    kick: float = 0.0
    drift: float = 0.0


class Update(NamedTuple):
    """The operations of one step.

    Attributes:
        operations: What to do, in order.
        noise_scales: Standard deviation of each independent normal draw per coordinate.
        noise_scale: Standard deviation of the noise that a step adds directly to the position (first order)
            or to the velocity.
        drift_scale: Factor of the gradient in the same place.
        move_scale: Factor from ``noise_scale`` to how far the noise moves a position in the same step.
        bounds: See `bound_update`.
    """

    operations: tuple[Operation, ...]
    noise_scales: tuple[float, ...] = ()
    noise_scale: float = 0.0
    drift_scale: float = 0.0
    move_scale: float = 1.0
    bounds: tuple[float, ...] = ()


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


@lru_cache(maxsize=256)
def first_order_update(step_size: float, temperature: float) -> Update:
    """Build x <- x - step g + sqrt(2 step T) xi.

    Args:
        step_size: eta [time].
        temperature: T; at 0 no noise is asked for.

    Returns:
        The update.

    Example:
        >>> [(one.name, one.coefficient) for one in first_order_update(0.1, 0.0).operations]
        [('push', 0.1)]
    """
    scale = math.sqrt(2 * step_size * temperature)
    push = Operation("push", step_size)
    if scale == 0:
        return _bounded(Update((push,), drift_scale=step_size))
    return _bounded(Update((push, Operation("position_noise", 1.0)), (scale,), scale, step_size))


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
        ['blend', 'glide']
    """
    return _bounded(_underdamped_update(scheme, step_size, friction, temperature, pending))


def _underdamped_update(
    scheme: UnderdampedScheme, h: float, friction: float, temperature: float, pending: float
) -> Update:
    if scheme == "exponential":
        return _exponential(h, friction, temperature)
    if scheme == "euler_maruyama":
        # The position moves with the old velocity, before the kick: the gradient comes one step late.
        noise = math.sqrt(2 * friction * h * temperature)
        lost = friction * h
        return _assemble(
            (Operation("drift", h),), 1 - lost, lost, noise, (Operation("kick", h),), drift=h, move=h
        )
    if scheme in {"baoab", "baoa"}:
        kick = pending + h / 2 if scheme == "baoab" else h
        decay, lost, noise = _thermostat(friction * h, temperature)
        if noise == 0:  # A(h/2) O A(h/2) without noise needs one pass over the positions only
            whole = h / 2 * (1 + decay)
            if decay > _SMALLEST_DECAY:  # with the decayed velocity, in one pass for all
                quiet = Operation("glide", decay, kick=decay * kick, drift=whole / decay)
                return Update((quiet,), drift_scale=kick)
            late = Operation("decay", decay)
            return Update((Operation("glide", 1.0, kick=kick, drift=whole), late), drift_scale=kick)
        halves = Operation("glide", 1.0, kick=kick, drift=h / 2), Operation("glide_noise", decay, drift=h / 2)
        return Update(halves, (noise,), noise, kick, h / 2)
    if scheme == "obabo":
        decay, lost, noise = _thermostat(friction * (pending + h / 2), temperature)
        kick = pending * decay + h / 2
    else:  # symplectic_euler, the O B A form
        decay, lost, noise = _thermostat(friction * h, temperature)
        kick = h
    if noise == 0:
        return Update((Operation("glide", decay, kick=kick, drift=h),), drift_scale=kick)
    after = (Operation("glide", 1.0, kick=kick, drift=h),)
    return _assemble((), decay, lost, noise, after, drift=kick, move=h)


def _thermostat(friction_times_step: float, temperature: float) -> tuple[float, float, float]:
    """Compute what stays of the velocity, what is lost, and the noise that replaces it."""
    noise = math.sqrt(-math.expm1(-2 * friction_times_step) * temperature)
    return math.exp(-friction_times_step), -math.expm1(-friction_times_step), noise


def _assemble(
    before: tuple[Operation, ...],
    decay: float,
    lost: float,
    noise: float,
    after: tuple[Operation, ...],
    *,
    drift: float,
    move: float,
) -> Update:
    """Put v <- decay v + noise xi, decay = 1 - lost, between operations; in one pass if scales allow."""
    if noise == 0:
        return Update((*before, Operation("decay", decay), *after), drift_scale=drift)
    if noise <= _LARGEST_BLEND * lost:
        blend = Operation("blend", lost)
        return Update((*before, blend, *after), (noise / lost,), noise, drift, move)
    refresh = (Operation("decay", decay), Operation("velocity_noise", 1.0))
    return Update((*before, *refresh, *after), (noise,), noise, drift, move)


def _exponential(h: float, friction: float, temperature: float) -> Update:
    c = exponential_coefficients(h, friction)
    if c.psi0 > _SMALLEST_DECAY:  # x += psi1 v - psi2 g, written with the new velocity psi0 v - psi1 g
        mean: tuple[Operation, ...] = (
            Operation("glide", c.psi0, kick=c.psi1, drift=c.psi1 / c.psi0),
            Operation("push", c.psi2 - c.psi1**2 / c.psi0),
        )
    else:
        mean = (
            Operation("drift", c.psi1),
            Operation("push", c.psi2),
            Operation("decay", c.psi0),
            Operation("kick", c.psi1),
        )
    first, mixed, second = (math.sqrt(temperature) * factor for factor in c.cholesky)
    if first == 0:
        return Update(mean, drift_scale=c.psi1)
    noise = (
        Operation("velocity_noise", 1.0),
        Operation("position_noise", mixed / first),
        Operation("position_noise", 1.0, noise=1),
    )
    return Update(mean + noise, (first, second), first, c.psi1, h / 2)


def bound_update(update: Update, gradient: float, velocity: float) -> tuple[float, float]:
    """Bound what one step can do to a coordinate, from the sizes of what goes in.

    Args:
        update: The update.
        gradient: Bound of every gradient coordinate.
        velocity: Bound of every velocity coordinate before the step.

    Returns:
        What all operations together can add to a coordinate of x or v, and a bound of every velocity
        coordinate after the step.

    Example:
        >>> bound_update(first_order_update(0.5, 0.0), 4.0, 0.0)
        (2.0, 0.0)
    """
    per_gradient, per_velocity, noise, kept, kicked, stirred = update.bounds
    return (
        per_gradient * gradient + per_velocity * velocity + noise,
        kept * velocity + kicked * gradient + stirred,
    )


def _bounded(update: Update) -> Update:
    """Add the coefficients of `bound_update`: both answers are linear in the two sizes."""
    columns = []
    for gradient, velocity, draw in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, _LARGEST_NORMAL)):
        total = 0.0
        for one in update.operations:
            name, coefficient, index = one.name, one.coefficient, one.noise
            added = size = abs(coefficient)
            if name == "glide":
                velocity = size * velocity + one.kick * gradient
                added = one.kick * gradient + one.drift * velocity
            elif name == "glide_noise":
                added = draw * update.noise_scales[index]
                velocity = size * velocity + added
                added += one.drift * velocity
            elif name in {"kick", "push"}:
                added *= gradient
            elif name == "drift":
                added *= velocity
            elif name == "decay":
                added = 0.0
                velocity *= size
            else:
                added *= draw * update.noise_scales[index]
                if name == "blend":
                    velocity *= abs(1 - coefficient)
            if name in {"kick", "blend", "velocity_noise"}:
                velocity += added
            total += added
        columns.append((total, velocity))
    (total_g, kicked), (total_v, kept), (total_n, stirred) = columns
    return update._replace(bounds=(total_g, total_v, total_n, kept, kicked, stirred))
