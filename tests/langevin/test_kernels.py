"""Kernels: contract, exact one-step maps, stationary covariance, order of accuracy, negative controls."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.langevin import (
    DoubleWell,
    Exponential,
    Kernel,
    KernelInfo,
    KernelState,
    NonReversibleKernel,
    OverdampedKernel,
    PairwiseRotation,
    Quadratic,
    UnderdampedKernel,
    registered_kernels,
    theory,
)
from localmin.langevin.passes import apply_update
from localmin.langevin.theory.schemes import mode_step
from localmin.langevin.updates import UnderdampedScheme, underdamped_schemes, underdamped_update
from localmin.testing.kernels import check_gibbs_variance, check_kernel

F64 = torch.float64


@pytest.mark.parametrize("name", registered_kernels())
def test_every_registered_kernel_keeps_the_contract(name: str) -> None:
    check_kernel(registered_kernels()[name])


@dataclass(frozen=True)
class _Broken(OverdampedKernel):
    """Overdamped with a wrong noise factor or drift factor."""

    noise_factor: float = 1.0
    drift_factor: float = 1.0

    def step(
        self, state: KernelState, gradient: Tensor, generator: torch.Generator | None = None
    ) -> tuple[KernelState, KernelInfo]:
        moved, info = super().step(state, gradient, generator)
        push = -float(self.step_size) * gradient  # type: ignore[arg-type]
        noise = moved.position - state.position - push
        position = state.position + self.drift_factor * push + self.noise_factor * noise
        return replace(moved, position=position), info


@pytest.mark.parametrize(
    ("noise_factor", "drift_factor"),
    [(0.3**0.5, 1.0), (2**-0.5, 1.0), (1.0, 0.5), (1.1, 1.0)],
    ids=["T instead of sqrt(T)", "epsilon over two", "drift halved", "ten per cent too loud"],
)
def test_a_mis_scaled_kernel_fails_the_variance_check(noise_factor: float, drift_factor: float) -> None:
    def factory(step: float, temperature: float) -> Kernel:
        return _Broken(step, temperature, noise_factor, drift_factor)

    with pytest.raises(AssertionError, match="variances"):
        check_gibbs_variance(factory)


@pytest.mark.parametrize("scheme", underdamped_schemes)
def test_noise_covariance_and_mean_map_of_one_step(scheme: UnderdampedScheme) -> None:
    """The in-place operations and the theory's matrices are written separately; they must agree exactly."""
    h, friction, temperature, curvature = 0.7, 1.3, 0.6, 0.9
    pending = h / 2 if scheme in {"baoab", "obabo"} else 0.0
    update = underdamped_update(scheme, h, friction, temperature, pending)
    reference = mode_step(scheme, curvature, h, friction)

    def respond(x: float, v: float, noises: list[float]) -> list[float]:
        position, velocity = torch.tensor([x], dtype=F64), torch.tensor([v], dtype=F64)
        draws = [
            [torch.tensor([one * scale], dtype=F64)]
            for one, scale in zip(noises, update.noise_scales, strict=True)
        ]
        apply_update(update, [position], [velocity], [curvature * position.clone()], draws)
        return [float(position), float(velocity)]

    count = len(update.noise_scales)
    silent = [0.0] * count
    mean = np.array([respond(1, 0, silent), respond(0, 1, silent)]).T
    np.testing.assert_allclose(mean, reference.mean, rtol=1e-12, atol=1e-14)
    columns = np.array([respond(0, 0, list(np.eye(count)[i])) for i in range(count)]).T
    np.testing.assert_allclose(columns @ columns.T, temperature * reference.noise, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("scheme", underdamped_schemes)
def test_stationary_covariance_at_a_coarse_step(scheme: UnderdampedScheme) -> None:
    """Budget: 20 000 chains, three entries per scheme, each within 4.5 standard errors of the exact chain."""
    curvature, friction, beta, chains = 0.9, 1.4, 3.0, 20_000
    h = 0.8 if scheme not in {"exponential", "euler_maruyama"} else 0.5
    expected = theory.stationary_covariance(curvature, scheme, h, beta, friction=friction)
    generator = torch.Generator().manual_seed(11)
    kernel = UnderdampedKernel(h, friction, 1 / beta, scheme)
    state = kernel.thermal_init(torch.zeros(chains, 1, dtype=F64), generator)
    for _ in range(80):
        state, info = kernel.step(state, curvature * state.position, generator)
    assert info.velocity is not None
    x, v = info.position[:, 0].numpy(), info.velocity[:, 0].numpy()
    found = np.cov(np.stack([x, v]))
    deviation = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / chains)
    assert (np.abs(found - expected) <= 4.5 * deviation).all(), (found, expected)
    # The test can tell the schemes apart: it sees the bias where there is one.
    if scheme in {"obabo", "exponential", "euler_maruyama", "symplectic_euler"}:
        assert abs(expected[0, 0] * beta * curvature - 1) > 4.5 * np.sqrt(2 / chains)
    if kernel.temperature:
        assert float(info.kinetic_temperature.mean()) == pytest.approx(float((v**2).mean()))  # type: ignore[union-attr]


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_stationary_covariance_with_a_skew_drift(strength: float) -> None:
    """Budget: 20 000 chains, entries within 4.5 standard errors of the Lyapunov solution."""
    curvatures, eta, beta, chains = (0.3, 1.0), 0.15, 5.0, 20_000
    skew = strength * np.array([[0.0, 1.0], [-1.0, 0.0]])
    expected = theory.stationary_covariance(curvatures, "nonreversible", eta, beta, skew=skew)
    generator = torch.Generator().manual_seed(5)
    kernel = NonReversibleKernel(eta, PairwiseRotation(strength), 1 / beta)
    state = kernel.init(torch.zeros(chains, 2, dtype=F64))
    target = Quadratic(curvatures)
    for _ in range(150):
        state, _ = kernel.step(state, target.gradient(state.position), generator)
    found = np.cov(state.position.T.numpy())
    deviation = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / chains)
    assert (np.abs(found - expected) <= 4.5 * deviation).all(), (found, expected)


def test_configurational_temperature_and_noise_ratio() -> None:
    """Budget: 40 000 chains; the mean of x . g / d has relative error sqrt(2 / (chains d)) = 0.5 %."""
    generator = torch.Generator().manual_seed(2)
    temperature, target = 0.4, Quadratic((0.5, 3.0))
    kernel = UnderdampedKernel(0.3, 1.1, temperature)
    state = kernel.thermal_init(torch.zeros(40_000, 2, dtype=F64), generator)
    for _ in range(120):
        state, info = kernel.step(state, target.gradient(state.position), generator)
    assert float(info.configurational_temperature().mean()) == pytest.approx(temperature, rel=4.5 * 0.005)
    first = OverdampedKernel(0.25, 0.5)
    _, one = first.step(first.init(torch.ones(1, 4)), torch.full((1, 4), 3.0), generator)
    assert float(one.noise_to_gradient_ratio) == pytest.approx(
        np.sqrt(2 * 0.25 * 0.5) * 2 / (0.25 * 6), rel=1e-6
    )


@pytest.mark.parametrize(
    ("scheme", "order"),
    [
        ("baoab", 2),
        ("obabo", 2),
        ("baoa", 1),
        ("symplectic_euler", 1),
        ("exponential", 1),
        ("euler_maruyama", 1),
    ],
)
def test_order_of_accuracy_without_noise(scheme: UnderdampedScheme, order: int) -> None:
    friction, horizon, well = 0.8, 3.0, DoubleWell(height=0.7)

    def field(_: float, state: np.ndarray) -> list[float]:
        force = float(well.gradient(torch.tensor([state[0]], dtype=F64)))
        return [state[1], -friction * state[1] - force]

    exact = solve_ivp(field, (0, horizon), [-0.3, 0.9], rtol=1e-11, atol=1e-12).y[0, -1]
    errors, steps = [], np.array([40, 80, 160, 320])
    for count in steps:
        kernel = UnderdampedKernel(horizon / count, friction, 0.0, scheme)
        state = kernel.init(torch.tensor([-0.3], dtype=F64), torch.tensor([0.9], dtype=F64))
        for _ in range(count):
            state, _ = kernel.step(state, well.gradient(state.position))
        errors.append(abs(float(state.position) - exact))
    slope = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.15)


def _displacements(
    kernel: UnderdampedKernel, gradient: Callable[[Tensor], Tensor], count: int
) -> tuple[Tensor, Tensor]:
    state = kernel.init(torch.tensor([1.3, -0.4], dtype=F64))
    positions, gradients = [state.position], []
    for _ in range(count):
        gradients.append(gradient(state.position))
        state, _ = kernel.step(state, gradients[-1])
        positions.append(state.position)
    return torch.stack(positions).diff(dim=0), torch.stack(gradients)


@pytest.mark.parametrize("scheme", underdamped_schemes)
def test_recurrence_at_temperature_zero(scheme: UnderdampedScheme) -> None:
    h, friction = 0.4, 0.9
    moves, g = _displacements(UnderdampedKernel(h, friction, 0.0, scheme), lambda x: x**3 - x + 0.2, 7)
    c = np.exp(-friction * h)
    psi1 = (1 - c) / friction
    psi2 = (friction * h - 1 + c) / friction**2
    first = {
        "symplectic_euler": h * h,
        "baoa": h * h * (1 + c) / 2,
        "baoab": h * h * (1 + c) / 4,
        "obabo": h * h / 2,
        "exponential": psi2,
        "euler_maruyama": 0.0,
    }[scheme]
    torch.testing.assert_close(moves[0], -first * g[0], rtol=1e-12, atol=1e-15)
    if scheme == "exponential":
        expected = c * moves[:-1] - psi2 * g[1:] - (psi1**2 - c * psi2) * g[:-1]
    elif scheme == "euler_maruyama":
        expected = (1 - friction * h) * moves[:-1] - h * h * g[:-1]
    elif scheme == "symplectic_euler":
        expected = c * moves[:-1] - h * h * g[1:]
    else:
        expected = c * moves[:-1] - h * h * (1 + c) / 2 * g[1:]
    torch.testing.assert_close(moves[1:], expected, rtol=1e-10, atol=1e-13)


def test_a_changing_step_closes_the_open_half_kick_with_its_own_length() -> None:
    lengths = [0.5, 0.2, 0.3]
    kernel = UnderdampedKernel(lambda k: lengths[k], 0.9)
    state = kernel.init(torch.tensor([1.0], dtype=F64))
    x, v = 1.0, 0.0
    for h in lengths:  # textbook BAOAB with two gradients a step
        v -= h / 2 * x
        x += h / 2 * v
        v *= np.exp(-0.9 * h)
        x += h / 2 * v
        v -= h / 2 * x
    for _ in lengths:
        state, _ = kernel.step(state, state.position)
    assert float(state.position) == pytest.approx(x, rel=1e-13)
    assert state.velocity is not None
    assert float(state.velocity - state.pending * state.position) == pytest.approx(v, rel=1e-13)


def test_schedules_set_temperature_and_step() -> None:
    generator = torch.Generator().manual_seed(0)
    kernel = OverdampedKernel(Exponential(0.1, 0.5), Exponential(2.0, 0.25))
    state = kernel.init(torch.zeros(3))
    for expected in ((0.1, 2.0), (0.05, 0.5)):
        state, info = kernel.step(state, torch.zeros(3), generator)
        assert (info.step_size, info.temperature) == expected
        assert info.noise_scale == pytest.approx(np.sqrt(2 * expected[0] * expected[1]))


def test_bad_input() -> None:
    with pytest.raises(InputError, match="step_size"):
        OverdampedKernel(0.0)
    with pytest.raises(InputError, match="temperature"):
        NonReversibleKernel(0.1, PairwiseRotation(1.0), -1.0)
    with pytest.raises(InputError, match="friction"):
        UnderdampedKernel(0.1, 0.0)
    with pytest.raises(InputError, match="scheme is one of"):
        UnderdampedKernel(0.1, 1.0, 0.0, "verlet")  # type: ignore[arg-type]
    kernel = UnderdampedKernel(0.1, 1.0, 0.5)
    state = kernel.init(torch.zeros(2))
    with pytest.raises(InputError, match=r"torch\.Generator"):
        kernel.step(state, torch.zeros(2))
    with pytest.raises(ShapeError, match="gradient"):
        kernel.step(state, torch.zeros(3))
    with pytest.raises(ShapeError, match="velocity"):
        kernel.init(torch.zeros(2), torch.zeros(3))
    with pytest.raises(ShapeError, match="floating"):
        kernel.init(torch.zeros(2, dtype=torch.int64))
    with pytest.raises(InputError, match="no velocity"):
        kernel.step(OverdampedKernel(0.1).init(torch.zeros(2)), torch.zeros(2))


def test_schedules_are_checked_at_every_step() -> None:
    start, gradient, generator = torch.zeros(3), torch.ones(3), torch.Generator()
    for kernel in (
        OverdampedKernel(0.1, lambda k: 0.1 - k),
        NonReversibleKernel(0.1, PairwiseRotation(1.0), lambda k: 0.1 - k),
        UnderdampedKernel(0.1, 1.0, lambda k: 0.1 - k),
    ):
        state, _ = kernel.step(kernel.init(start), gradient, generator)
        with pytest.raises(InputError, match="temperature must be"):
            kernel.step(state, gradient, generator)
    with pytest.raises(InputError, match="step_size must be"):
        OverdampedKernel(lambda k: math.nan).step(OverdampedKernel(0.1).init(start), gradient)
    with pytest.raises(InputError, match="step_size must be"):
        OverdampedKernel("0.1")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="got list"):
        OverdampedKernel(0.1).init([0.0])  # type: ignore[arg-type]
