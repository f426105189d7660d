"""What every Langevin kernel must satisfy, as functions that raise AssertionError with what they saw.

A new kernel is tested by being registered in `localmin.langevin.registered_kernels`, or by calling
`check_kernel` on its factory.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from localmin.langevin.kernels import Kernel, KernelState
from localmin.langevin.potentials import Quadratic

__all__ = [
    "check_batching",
    "check_gibbs_variance",
    "check_kernel",
    "check_purity",
    "check_reproducibility",
    "check_zero_temperature",
]

KernelFactory = Callable[[float, float], Kernel]

_TARGET = Quadratic((0.5, 2.0, 0.9, 1.4))
_START = ((1.0, -2.0, 0.5, 3.0), (0.2, 0.1, -0.4, 1.0), (-1.5, 0.3, 2.0, 0.7))


def check_kernel(factory: KernelFactory) -> None:
    """Run every contract on a kernel.

    Args:
        factory: Maps (step_size, temperature) to a kernel.

    Raises:
        AssertionError: If a contract is broken.

    Cost:
        About a second.

    Example:
        >>> from localmin.langevin import OverdampedKernel
        >>> check_kernel(OverdampedKernel)
    """
    check_purity(factory)
    check_batching(factory)
    check_zero_temperature(factory)
    check_reproducibility(factory)
    check_gibbs_variance(factory)


def check_purity(factory: KernelFactory) -> None:
    """Check that a step changes none of its inputs, counts itself, and keeps shape and dtype.

    Args:
        factory: Maps (step_size, temperature) to a kernel.

    Raises:
        AssertionError: If it does not.
    """
    for dtype in (torch.float32, torch.float64):
        kernel = factory(0.1, 0.3)
        start = torch.tensor(_START, dtype=dtype)
        state = kernel.init(start)
        start.add_(1.0)
        for _ in range(3):
            gradient = _TARGET.gradient(state.position)
            before = (
                state.position.clone(),
                None if state.velocity is None else state.velocity.clone(),
                gradient.clone(),
            )
            after, info = kernel.step(state, gradient, torch.Generator().manual_seed(1))
            _same(state.position, before[0], "step changed the position of its input state")
            _same(gradient, before[2], "step changed the gradient")
            if state.velocity is not None and before[1] is not None:
                _same(state.velocity, before[1], "step changed the velocity of its input state")
            _require(after.position.dtype == dtype, f"a {dtype} start became {after.position.dtype}")
            _require(
                after.position.shape == start.shape,
                f"shape {tuple(start.shape)} became {tuple(after.position.shape)}",
            )
            _require(after.num_steps == state.num_steps + 1, "num_steps did not go up by one")
            _require((after.velocity is not None) == (kernel.order == 2), "velocity and order disagree")
            _same(info.position, before[0], "info is not about the position where the step started")
            state = after


def check_batching(factory: KernelFactory) -> None:
    """Check that chains on leading dimensions do not see each other.

    Args:
        factory: Maps (step_size, temperature) to a kernel.

    Raises:
        AssertionError: If they do.
    """
    kernel = factory(0.1, 0.0)
    together = _run(kernel, kernel.init(torch.tensor(_START, dtype=torch.float64)), 5, None)
    for index, row in enumerate(_START):
        alone = _run(kernel, kernel.init(torch.tensor(row, dtype=torch.float64)), 5, None)
        _close(together.position[index], alone.position, "a chain in a batch differs from the chain alone")
    nested = _run(kernel, kernel.init(torch.tensor(_START, dtype=torch.float64).view(3, 1, 4)), 5, None)
    _close(nested.position.view(3, 4), together.position, "two leading dimensions differ from one")
    kept = together.select(torch.tensor([True, False, True]))
    _close(kept.position, together.position[[0, 2]], "select kept the wrong chains")


def check_zero_temperature(factory: KernelFactory) -> None:
    """Check that temperature 0 draws nothing, and that a small temperature is close to it.

    Args:
        factory: Maps (step_size, temperature) to a kernel.

    Raises:
        AssertionError: If it draws or jumps.
    """
    start = torch.tensor(_START, dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    cold = factory(0.1, 0.0)
    quiet = _run(cold, cold.init(start), 6, generator)
    _same(generator.get_state(), before, "a step at temperature 0 drew random numbers")
    warm = factory(0.1, 1e-16)
    nearly = _run(warm, warm.init(start), 6, generator)
    _require(not torch.equal(generator.get_state(), before), "a step at temperature above 0 drew nothing")
    distance = float((quiet.position - nearly.position).abs().max())
    _require(0 < distance < 1e-6, f"temperature 1e-16 moved positions by {distance:.1e}, expected about 1e-8")


def check_reproducibility(factory: KernelFactory) -> None:
    """Check that the same seed gives the same path and another seed another one.

    Args:
        factory: Maps (step_size, temperature) to a kernel.

    Raises:
        AssertionError: If not.
    """
    start = torch.tensor(_START)
    kernel = factory(0.1, 0.3)
    first, again, other = (
        _run(kernel, kernel.init(start), 5, torch.Generator().manual_seed(seed)).position
        for seed in (7, 7, 8)
    )
    _same(first, again, "the same seed gave two paths")
    _require(not torch.equal(first, other), "two seeds gave one path")


def check_gibbs_variance(
    factory: KernelFactory,
    *,
    step_size: float = 0.02,
    temperature: float = 0.3,
    num_chains: int = 6000,
    num_steps: int = 500,
    bias_relative: float = 0.045,
    num_errors: float = 4.5,
    seed: int = 0,
) -> None:
    """Check that chains started in the Gibbs law of a quadratic stay in it.

    Error budget, stated beforehand: the sample variance of each of the four coordinates may differ from
    T / curvature by ``bias_relative`` (step-size bias at this step) plus ``num_errors`` standard errors
    sqrt(2 / num_chains); at 4.5 errors a correct kernel fails once in 36 000 seeds.

    Args:
        factory: Maps (step_size, temperature) to a kernel.
        step_size: Step [time].
        temperature: T > 0, away from 1 so that T and its root differ.
        num_chains: Independent chains.
        num_steps: Steps; several relaxation times of the curvatures 0.5 to 2.
        bias_relative: Allowed relative bias.
        num_errors: Allowed standard errors.
        seed: Seed of everything.

    Raises:
        AssertionError: If a variance is outside.
    """
    generator = torch.Generator().manual_seed(seed)
    kernel = factory(step_size, temperature)
    curvatures = torch.tensor(_TARGET.curvatures, dtype=torch.float64)
    expected = temperature / curvatures
    start = torch.randn(num_chains, 4, generator=generator, dtype=torch.float64) * expected.sqrt()
    state = _run(kernel, kernel.init(start), num_steps, generator)
    found = state.position.var(dim=0)
    allowed = bias_relative + num_errors * math.sqrt(2 / num_chains)
    worst = float((found / expected - 1).abs().max())
    _require(
        worst <= allowed,
        f"variances {found.tolist()} differ from T / curvature = {expected.tolist()}"
        f" by {worst:.1%}, allowed {allowed:.1%}",
    )
    drift = float((state.position.mean(0) / (expected / num_chains).sqrt()).abs().max())
    _require(drift <= num_errors, f"the mean moved by {drift:.1f} standard errors from 0")


def _run(
    kernel: Kernel, state: KernelState, num_steps: int, generator: torch.Generator | None
) -> KernelState:
    for _ in range(num_steps):
        state, _ = kernel.step(state, _TARGET.gradient(state.position), generator)
    return state


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _same(found: Tensor, expected: Tensor, message: str) -> None:
    _require(torch.equal(found, expected), message)


def _close(found: Tensor, expected: Tensor, message: str) -> None:
    _require(torch.allclose(found, expected, rtol=1e-12, atol=1e-14), message)
