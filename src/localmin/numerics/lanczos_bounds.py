"""How improbable it is that Lanczos from random starts misses the end of a spectrum."""

import math

from localmin.errors import InputError

__all__ = ["lanczos_failure_probability", "lanczos_relative_error", "smallest_eigenvalue_lower_bound"]

_CONSTANT = 1.648


def lanczos_failure_probability(
    relative_error: float, *, size: int, num_steps: int, num_starts: int = 1
) -> float:
    """Bound the probability that one end of the spectrum is missed, ``(1.648 √n exp(-√ε (2k-1)))^s``.

    "Missed" means that the extreme Ritz value over all starts is farther than ``ε`` times the spread of
    the spectrum from the extreme eigenvalue. The bound holds in exact arithmetic, for starts that are
    uniform on the sphere and independent, and for one end; for both ends it doubles.

    Args:
        relative_error: ``ε``, in ``(0, 1)``.
        size: Dimension ``n``.
        num_steps: Steps ``k`` from each start, fixed beforehand.
        num_starts: Number ``s`` of independent starts.

    Returns:
        A probability, at most 1.

    Raises:
        InputError: If an argument is out of its range.

    Source:
        After Kuczyński and Woźniakowski 1992, for positive semi-definite matrices. The constant is from
        memory of the paper and was not compared with it. Applying it to ``λ_max I - H`` and
        ``H - λ_min I``, and raising it to the number of starts, is derived here.

    Example:
        >>> round(lanczos_failure_probability(1e-3, size=1210, num_steps=300) / 1e-7, 1)
        3.4
    """
    _check(size, num_steps, num_starts)
    if not 0.0 < relative_error < 1.0:
        raise InputError(f"expected a relative error between 0 and 1, got {relative_error}")
    exponent = math.log(_CONSTANT) + 0.5 * math.log(size) - math.sqrt(relative_error) * (2 * num_steps - 1)
    return math.exp(min(0.0, num_starts * exponent))


def lanczos_relative_error(
    failure_probability: float, *, size: int, num_steps: int, num_starts: int = 1
) -> float:
    """Invert `lanczos_failure_probability`: the ``ε`` that belongs to a failure probability for one end.

    Args:
        failure_probability: In ``(0, 1)``.
        size: Dimension ``n``.
        num_steps: Steps ``k`` from each start, fixed beforehand.
        num_starts: Number ``s`` of independent starts.

    Returns:
        The relative error; values of 1 and above say that the budget shows nothing.

    Raises:
        InputError: If an argument is out of its range.

    Example:
        >>> epsilon = lanczos_relative_error(1e-6, size=1210, num_steps=300)
        >>> round(lanczos_failure_probability(epsilon, size=1210, num_steps=300) / 1e-6, 9)
        1.0
    """
    _check(size, num_steps, num_starts)
    if not 0.0 < failure_probability < 1.0:
        raise InputError(f"expected a failure probability between 0 and 1, got {failure_probability}")
    exponent = math.log(_CONSTANT) + 0.5 * math.log(size) - math.log(failure_probability) / num_starts
    return (exponent / (2 * num_steps - 1)) ** 2


def smallest_eigenvalue_lower_bound(
    smallest_ritz_value: float, largest_ritz_value: float, relative_error: float
) -> float:
    """Bound the smallest eigenvalue from below, ``θ_min - ε (θ_max - θ_min) / (1 - 2 ε)``.

    It holds whenever neither end is missed by more than ``ε`` times the spread, so with probability at
    least one minus twice the failure probability for one end. Rounding comes on top.

    Args:
        smallest_ritz_value: ``θ_min`` over all starts.
        largest_ritz_value: ``θ_max`` over all starts.
        relative_error: ``ε``, at least 0.

    Returns:
        The bound; minus infinity for ``ε >= 1/2``.

    Raises:
        InputError: If the Ritz values are not in order, or the error is negative.

    Source:
        Derived here: the spread is at most ``(θ_max - θ_min) / (1 - 2 ε)``.

    Example:
        >>> smallest_eigenvalue_lower_bound(-1.0, 3.0, 0.25)
        -3.0
    """
    if not (smallest_ritz_value <= largest_ritz_value and relative_error >= 0.0):
        raise InputError(
            "expected Ritz values in order and an error that is not negative, got "
            f"{smallest_ritz_value}, {largest_ritz_value} and {relative_error}"
        )
    if relative_error >= 0.5:
        return -math.inf
    spread = largest_ritz_value - smallest_ritz_value
    return smallest_ritz_value - relative_error * spread / (1.0 - 2.0 * relative_error)


def _check(size: int, num_steps: int, num_starts: int) -> None:
    if min(size, num_steps, num_starts) < 1:
        raise InputError(
            "expected size, num_steps and num_starts to be at least 1, got "
            f"{size}, {num_steps} and {num_starts}"
        )
