"""Escape and recurrence experiments: batched chains, first passage times with error bars.

Times are steps times step size. Compare dynamics in gradient evaluations as well: the time units of
overdamped and underdamped dynamics differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from localmin.charts import Chart, Series
from localmin.errors import InputError
from localmin.langevin.kernels import Kernel, KernelState, UnderdampedKernel

__all__ = ["PassageResult", "exit_time", "first_passage_time", "recurrence_time", "transition_time"]

Gradient = Callable[[Tensor], Tensor]
Region = Callable[[Tensor], Tensor]
Progress = Callable[[int, int], None]

_COMPACT_BELOW = 0.75  # share of running chains under which finished ones are dropped
_NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class PassageResult:
    """Passage times of independent chains.

    Attributes:
        mean: Mean time; with censored chains total time at risk over number of passages, which assumes
            exponential times. Infinity if no chain passed.
        standard_error: Of the mean.
        confidence_interval: 95 per cent, normal approximation.
        coefficient_of_variation: Standard deviation over mean of the observed times; near 1 for rare escapes.
        num_chains: Chains started.
        num_censored: Chains that did not pass within ``max_steps``.
        num_gradients: Gradient evaluations of all chains together.
        step_size: Step used [time].
        times: The observed times, unsorted; not part of `to_dict`.
    """

    mean: float
    standard_error: float
    confidence_interval: tuple[float, float]
    coefficient_of_variation: float
    num_chains: int
    num_censored: int
    num_gradients: int
    step_size: float
    times: tuple[float, ...]

    @property
    def mean_gradients(self) -> float:
        """Compute the mean number of gradients per passage."""
        return self.mean / self.step_size

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types, without the single times."""
        result = asdict(self)
        del result["times"]
        result["confidence_interval"] = list(self.confidence_interval)
        return result

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> PassageResult:
        """Rebuild from `to_dict`, directly or after a round trip through JSON; the single times are gone."""
        low, high = stored["confidence_interval"]
        return cls(**{**stored, "confidence_interval": (low, high), "times": ()})

    def figure(self, name: str = "chains") -> Chart:
        """Show the share of chains that have not passed over time, beside the exponential law of this mean.

        A straight line on the logarithmic axis is an escape without memory; the flat start is the time that
        every path needs at least.

        Args:
            name: What the chains are called in the picture.

        Returns:
            The chart; without single times, as after `from_dict`, there is nothing to draw and it is an
            `InputError`.
        """
        times = sorted(self.times)
        kept = range(0, len(times), max(1, len(times) // 200))
        shares = [1 - (index + 1) / self.num_chains for index in kept]
        where = [0.0, *(times[index] for index in kept)]
        return Chart(
            "langevin-passage",
            "Share of chains that have not passed yet",
            "time",
            "share of chains",
            (
                Series(name, where, [1.0, *shares], kind="steps", emphasis="accent"),
                Series("exponential", where, [math.exp(-t / self.mean) for t in where], emphasis="dashed"),
            )
            if times
            else (),
            y_log=True,
            note=f"Mean {self.mean:.4g}; standard deviation over mean {self.coefficient_of_variation:.2f}"
            " (1 is exponential).",
        )


def first_passage_time(
    kernel: Kernel,
    gradient: Gradient,
    start: Float[Tensor, "chains d"],
    reached: Region,
    *,
    generator: torch.Generator,
    max_steps: int = 1_000_000,
    relative_error: float | None = None,
    max_chains: int | None = None,
    thermal: bool = True,
    progress: Progress | None = None,
) -> PassageResult:
    """Measure when chains first enter a region, looking after every step.

    Args:
        kernel: Kernel with a constant step size.
        gradient: Maps positions ``(chains, d)`` to gradients ``(chains, d)``.
        start: Starting points ``(chains, d)``, one per chain.
        reached: Maps positions to booleans ``(chains,)``. Make an interior minimum the target, not the
            barrier top: the overshoot error is then additive.
        generator: Source of all noise.
        max_steps: Chains that run longer are censored.
        relative_error: Repeat waves of chains until standard error over mean is below this.
        max_chains: Limit for ``relative_error``; None means one hundred waves.
        thermal: Underdamped kernels start with velocities of variance T instead of at rest.
        progress: Called as progress(finished chains, started chains) now and then.

    Returns:
        Times with error bars.

    Raises:
        InputError: If the step size is a schedule or sizes do not fit.

    Cost:
        One gradient per running chain and step; finished chains are dropped.

    Example:
        >>> from localmin.langevin import DoubleWell, OverdampedKernel
        >>> result = first_passage_time(
        ...     OverdampedKernel(0.05, 0.125), DoubleWell().gradient, -torch.ones(500, 1),
        ...     lambda x: x[:, 0] >= 1, generator=torch.Generator().manual_seed(0))
        >>> abs(result.mean - 41) < 4 * result.standard_error + 1
        True
    """
    step = _constant_step(kernel)
    if start.dim() != 2 or start.shape[0] == 0:
        raise InputError(
            f"start must have shape (chains, d) with at least one chain, got {tuple(start.shape)}"
        )
    if relative_error is not None and not relative_error > 0:
        raise InputError(f"relative_error must be above 0, got {relative_error!r}")
    limit = start.shape[0] if relative_error is None else max_chains or 100 * start.shape[0]
    counts: list[Tensor] = []
    num_chains = num_gradients = 0
    while True:
        state = _initial(kernel, start, generator, thermal)
        finished = _run_wave(kernel, gradient, state, reached, generator, max_steps, progress)
        counts.append(finished)
        num_chains += start.shape[0]
        num_gradients += int(finished.sum()) + max_steps * (start.shape[0] - finished.numel())
        result = _summarise(torch.cat(counts).double() * step, num_chains, num_gradients, step, max_steps)
        enough = relative_error is None or result.standard_error <= relative_error * result.mean < math.inf
        if enough or num_chains + start.shape[0] > limit:
            return result


def transition_time(
    kernel: Kernel,
    gradient: Gradient,
    start: Float[Tensor, " d"],
    *,
    threshold: float,
    coordinate: int = 0,
    num_chains: int,
    generator: torch.Generator,
    **options: Any,
) -> PassageResult:
    """Measure when chains from one point first have a coordinate at or above a threshold.

    Args:
        kernel: Kernel with a constant step size.
        gradient: Maps positions ``(chains, d)`` to gradients ``(chains, d)``.
        start: Starting point ``(d,)``.
        threshold: Value of the coordinate that counts as arrived.
        coordinate: Which coordinate.
        num_chains: Chains in a wave.
        generator: Source of all noise.
        **options: Passed to `first_passage_time`.

    Returns:
        Times with error bars.

    Example:
        >>> from localmin.langevin import Quadratic, OverdampedKernel
        >>> result = transition_time(OverdampedKernel(0.1), Quadratic((1.0,)).gradient, torch.tensor([-1.0]),
        ...     threshold=-0.5, num_chains=3, generator=torch.Generator())
        >>> round(result.mean, 6)
        0.7
    """
    return first_passage_time(
        kernel,
        gradient,
        start.expand(num_chains, -1),
        lambda x: x[:, coordinate] >= threshold,
        generator=generator,
        **options,
    )


def exit_time(
    kernel: Kernel,
    gradient: Gradient,
    minimum: Float[Tensor, " d"],
    *,
    radius: float,
    num_chains: int,
    generator: torch.Generator,
    **options: Any,
) -> PassageResult:
    """Measure when chains started at a minimum first leave the ball of a radius around it.

    Args:
        kernel: Kernel with a constant step size.
        gradient: Maps positions ``(chains, d)`` to gradients ``(chains, d)``.
        minimum: Centre and starting point ``(d,)``.
        radius: Radius of the ball.
        num_chains: Chains in a wave.
        generator: Source of all noise.
        **options: Passed to `first_passage_time`.

    Returns:
        Times with error bars.
    """
    return first_passage_time(
        kernel,
        gradient,
        minimum.expand(num_chains, -1),
        lambda x: (x - minimum).norm(dim=-1) >= radius,
        generator=generator,
        **options,
    )


def recurrence_time(
    kernel: Kernel,
    gradient: Gradient,
    start: Float[Tensor, "chains d"],
    minimum: Float[Tensor, " d"],
    *,
    radius: float,
    stay: float,
    generator: torch.Generator | None = None,
    max_steps: int = 1_000_000,
) -> PassageResult:
    """Measure when chains enter the ball around a minimum and stay for a while ("enter and stay").

    The first entry alone misleads: an oscillating path enters early and leaves again.

    Args:
        kernel: Kernel with a constant step size; velocities start at rest.
        gradient: Maps positions ``(chains, d)`` to gradients ``(chains, d)``.
        start: Starting points ``(chains, d)``.
        minimum: Centre ``(d,)``.
        radius: Radius of the ball.
        stay: How long a chain must stay inside without a break [time].
        generator: Needed at temperature above 0.
        max_steps: Chains that have not settled by then are censored.

    Returns:
        The times of the last entry. With censored chains the mean is over the settled ones, a lower bound.

    Raises:
        InputError: If ``stay`` is not above 0.

    Example:
        >>> from localmin.langevin import Quadratic, OverdampedKernel
        >>> result = recurrence_time(OverdampedKernel(0.01), Quadratic((1.0,)).gradient, torch.ones(1, 1),
        ...     torch.zeros(1), radius=0.1, stay=1.0)
        >>> round(result.mean, 6)
        2.3
    """
    step = _constant_step(kernel)
    if not stay > 0:
        raise InputError(f"stay must be a time above 0, got {stay!r}")
    state = _initial(kernel, start, generator, thermal=False)
    needed = math.ceil(stay / step)
    # A path that starts outside can enter with its first step at the earliest.
    entered = ((state.position - minimum).norm(dim=-1) > radius).long()
    settled = torch.zeros_like(entered, dtype=torch.bool)
    num_gradients = 0
    for index in range(1, max_steps + 1):
        state, _ = kernel.step(state, gradient(state.position), generator)
        num_gradients += int((~settled).sum())
        outside = ((state.position - minimum).norm(dim=-1) > radius) & ~settled
        # The path enters with the step after the last one that ended outside.
        entered = torch.where(outside, index + 1, entered)
        settled |= index - entered + 1 >= needed
        if bool(settled.all()):
            break
    times = entered[settled].double() * step
    return _summarise(times, start.shape[0], num_gradients, step, None)


def _constant_step(kernel: Kernel) -> float:
    step = getattr(kernel, "step_size", None)
    if not isinstance(step, (int, float)):
        raise InputError("passage times need a kernel with a constant step_size")
    return float(step)


def _initial(kernel: Kernel, start: Tensor, generator: torch.Generator | None, thermal: bool) -> KernelState:
    if thermal and isinstance(kernel, UnderdampedKernel) and generator is not None:
        return kernel.thermal_init(start, generator)
    return kernel.init(start)


def _run_wave(
    kernel: Kernel,
    gradient: Gradient,
    state: KernelState,
    reached: Region,
    generator: torch.Generator,
    max_steps: int,
    progress: Progress | None,
) -> Tensor:
    """Run until every chain has reached the region; count steps per chain that did."""
    total = state.position.shape[0]
    running: Bool[Tensor, " chains"] = torch.ones(total, dtype=torch.bool, device=state.position.device)
    finished: list[Tensor] = []
    num_finished = 0
    for index in range(1, max_steps + 1):
        state, _ = kernel.step(state, gradient(state.position), generator)
        arrived = reached(state.position) & running
        count = int(arrived.sum())
        if count == 0:
            continue
        finished.append(torch.full((count,), index))
        num_finished += count
        running &= ~arrived
        left = total - num_finished
        if left == 0:
            break
        if left < _COMPACT_BELOW * running.numel():
            state, running = state.select(running), running[running]
            if progress is not None:
                progress(num_finished, total)
    if progress is not None:
        progress(num_finished, total)
    return torch.cat(finished) if finished else torch.empty(0, dtype=torch.long)


def _summarise(
    times: Tensor, num_chains: int, num_gradients: int, step: float, max_steps: int | None
) -> PassageResult:
    observed = times.numel()
    censored = num_chains - observed
    if observed == 0:
        mean, error, variation = math.inf, math.inf, math.nan
    else:
        spread = float(times.std(unbiased=True)) if observed > 1 else math.inf
        average = float(times.mean())
        variation = spread / average if average > 0 else math.nan
        if censored and max_steps is not None:
            mean = (float(times.sum()) + censored * max_steps * step) / observed
            error = mean / math.sqrt(observed)
        else:
            mean, error = average, spread / math.sqrt(observed)
    return PassageResult(
        mean=mean,
        standard_error=error,
        confidence_interval=(mean - _NORMAL_95 * error, mean + _NORMAL_95 * error)
        if observed
        else (0.0, math.inf),
        coefficient_of_variation=variation,
        num_chains=num_chains,
        num_censored=censored,
        num_gradients=num_gradients,
        step_size=step,
        times=tuple(times.tolist()),
    )
