"""Optimisers against torch's at temperature 0, and against the kernels at every temperature, bit for bit."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from localmin.langevin import (
    Exponential,
    LangevinDynamics,
    NonReversibleKernel,
    NonReversibleLangevin,
    OverdampedKernel,
    PairwiseRotation,
    UnderdampedKernel,
    UnderdampedLangevin,
    momentum_from_friction,
    theory,
)
from localmin.langevin.updates import UnderdampedScheme, underdamped_schemes

F64 = torch.float64


def _network() -> nn.Sequential:
    torch.manual_seed(0)  # initial weights only
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def _train(make: Callable[[nn.Module], torch.optim.Optimizer], steps: int = 12) -> list[Tensor]:
    model = _network()
    data = torch.Generator().manual_seed(1)
    x, y = torch.randn(20, 5, generator=data, dtype=F64), torch.randn(20, 3, generator=data, dtype=F64)
    optimizer = make(model)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
def test_overdamped_at_zero_is_sgd_exactly(weight_decay: float) -> None:
    ours = _train(lambda m: LangevinDynamics(m.parameters(), lr=0.3, weight_decay=weight_decay))
    theirs = _train(lambda m: torch.optim.SGD(m.parameters(), lr=0.3, weight_decay=weight_decay))
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize("scheme", ["symplectic_euler", "baoa"])
def test_underdamped_at_zero_is_sgd_with_momentum(scheme: UnderdampedScheme, weight_decay: float) -> None:
    lr, friction = 0.09, 1.7
    momentum = momentum_from_friction(friction, lr)
    rate = lr if scheme == "symplectic_euler" else lr * (1 + momentum) / 2
    ours = _train(
        lambda m: UnderdampedLangevin(
            m.parameters(), lr=lr, friction=friction, scheme=scheme, weight_decay=weight_decay
        )
    )
    theirs = _train(
        lambda m: torch.optim.SGD(m.parameters(), lr=rate, momentum=momentum, weight_decay=weight_decay)
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_nonreversible_at_zero_is_skew_gradient_descent() -> None:
    x = nn.Parameter(torch.tensor([1.0, -2.0, 0.5, 0.3], dtype=F64))
    curvature = torch.tensor([0.2, 1.0, 2.0, 0.7], dtype=F64)
    matrix = torch.from_numpy(PairwiseRotation(1.5).to_dense(4))
    optimizer, expected = NonReversibleLangevin([x], lr=0.1, skew=PairwiseRotation(1.5)), x.detach().clone()
    for _ in range(5):
        optimizer.zero_grad()
        (curvature * x**2 / 2).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        expected = expected - 0.1 * (torch.eye(4, dtype=F64) + matrix) @ (curvature * expected)
    torch.testing.assert_close(x.detach(), expected, rtol=1e-13, atol=0)


def test_zero_temperature_draws_nothing() -> None:
    x = nn.Parameter(torch.ones(3))
    for optimizer in (
        LangevinDynamics([x], lr=0.1),
        UnderdampedLangevin([x], lr=0.1, friction=1.0, initial_velocity="thermal"),
        NonReversibleLangevin([x], lr=0.1, skew=PairwiseRotation(1.0)),
    ):
        x.grad = torch.ones(3)
        before = torch.random.get_rng_state()
        optimizer.step()
        assert optimizer.state_dict()["langevin"]["generators"] == {}
        assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("temperature", [0.0, 0.37])
@pytest.mark.parametrize("scheme", ["overdamped", "nonreversible", *underdamped_schemes])
def test_optimiser_and_kernel_agree_bit_for_bit(scheme: str, temperature: float, dtype: torch.dtype) -> None:
    lr, friction, seed = 0.05, 1.3, 17
    start = torch.randn(6, 5, generator=torch.Generator().manual_seed(4), dtype=dtype)
    curvature = torch.linspace(0.2, 2.0, 5, dtype=dtype)
    x = nn.Parameter(start.clone())
    generator = torch.Generator().manual_seed(seed)
    kernel: OverdampedKernel | NonReversibleKernel | UnderdampedKernel
    optimizer: torch.optim.Optimizer
    if scheme == "overdamped":
        kernel = OverdampedKernel(lr, temperature)
        optimizer = LangevinDynamics([x], lr=lr, temperature=temperature, seed=seed)
    elif scheme == "nonreversible":
        matrix = np.triu(np.arange(25.0).reshape(5, 5) / 25, 1)
        skew = torch.from_numpy(matrix - matrix.T)
        kernel = NonReversibleKernel(lr, skew, temperature)
        start = start[:1]
        x = nn.Parameter(start[0].clone())
        optimizer = NonReversibleLangevin([x], lr=lr, skew=skew, temperature=temperature, seed=seed)
        start = start[0]
    else:
        kernel = UnderdampedKernel(math.sqrt(lr), friction, temperature, scheme)  # type: ignore[arg-type]
        optimizer = UnderdampedLangevin(
            [x],
            lr=lr,
            friction=friction,
            temperature=temperature,
            scheme=scheme,  # type: ignore[arg-type]
            seed=seed,
        )
    state = kernel.init(start)
    for _ in range(8):
        x.grad = curvature * x.detach()
        optimizer.step()
        state, _ = kernel.step(state, curvature * state.position, generator)
        assert torch.equal(x.detach(), state.position)


def test_thermal_start_agrees_with_the_kernel() -> None:
    start = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    x = nn.Parameter(start.clone())
    optimizer = UnderdampedLangevin(
        [x], lr=0.04, friction=0.8, temperature=0.5, initial_velocity="thermal", seed=9
    )
    kernel, generator = UnderdampedKernel(0.2, 0.8, 0.5), torch.Generator().manual_seed(9)
    state = kernel.thermal_init(start, generator)
    for _ in range(3):
        x.grad = x.detach().clone()
        optimizer.step()
        state, _ = kernel.step(state, state.position, generator)
    torch.testing.assert_close(x.detach(), state.position, rtol=1e-6, atol=1e-7)


def test_learning_rate_schedulers_and_temperature_schedules_are_followed() -> None:
    x = nn.Parameter(torch.zeros(4))
    optimizer = LangevinDynamics([x], lr=0.1, temperature=Exponential(0.8, 0.5), seed=3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    generator, expected = torch.Generator().manual_seed(3), torch.zeros(4)
    for k in range(3):
        x.grad = torch.zeros(4)
        optimizer.step()
        scheduler.step()
        scale = math.sqrt(2 * 0.1 * 0.5**k * 0.8 * 0.5**k)
        expected = expected + scale * torch.randn(4, generator=generator)
        torch.testing.assert_close(x.detach(), expected)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.125)


def test_groups_have_their_own_numbers() -> None:
    a, b = nn.Parameter(torch.ones(2, dtype=F64)), nn.Parameter(torch.ones(2, dtype=F64))
    optimizer = UnderdampedLangevin(
        [{"params": [a], "lr": 0.01, "friction": 0.5}, {"params": [b], "weight_decay": 0.2}],
        lr=0.04,
        friction="critical",
        curvature=0.25,
        scheme="symplectic_euler",
    )
    assert [group["friction"] for group in optimizer.param_groups] == [0.5, 1.0]
    for _ in range(2):
        a.grad, b.grad = torch.ones(2, dtype=F64), torch.ones(2, dtype=F64)
        optimizer.step()
    c = math.exp(-0.5 * 0.1)
    torch.testing.assert_close(a.detach(), torch.full((2,), 1 - 0.01 * (2 + c), dtype=F64))
    c, first = math.exp(-1.0 * 0.2), 1 - 0.04 * 1.2
    torch.testing.assert_close(
        b.detach(), torch.full((2,), first - 0.04 * (1.2 * c + 1 + 0.2 * first), dtype=F64)
    )


def _gradients_per_efold(
    make: Callable[[nn.Parameter], torch.optim.Optimizer], curvature: Tensor, count: int
) -> float:
    """Measure the slope of log |x| over the second half of the steps."""
    x = nn.Parameter(torch.ones_like(curvature))
    optimizer = make(x)
    logs = []
    for _ in range(count):
        x.grad = curvature * x.detach()
        optimizer.step()
        logs.append(float(x.detach().norm().log()))
    return -(count // 2) / (logs[-1] - logs[count // 2 - 1])


def _measured_and_computed(
    scheme: UnderdampedScheme | None, curvature: Tensor, count: int
) -> tuple[float, float]:
    spectrum = curvature.reshape(-1).numpy()
    if scheme is None:
        step = theory.best_step_size(spectrum, "overdamped")
        found = _gradients_per_efold(lambda x: LangevinDynamics([x], lr=step), curvature, count)
        return found, theory.steps_per_efold(spectrum, "overdamped", step)
    step = theory.best_step_size(spectrum, scheme, friction=0.2)
    found = _gradients_per_efold(
        lambda x: UnderdampedLangevin([x], lr=step**2, curvature=0.01, scheme=scheme), curvature, count
    )
    return found, theory.steps_per_efold(spectrum, scheme, step, friction=0.2)


def test_gradients_per_efold_at_condition_number_100() -> None:
    """Twelve curvatures from 0.01 to 1: every scheme as computed, BAOAB at least nine times ahead."""
    curvature = torch.logspace(-2, 0, 12, dtype=F64).reshape(3, 4)
    overdamped, computed = _measured_and_computed(None, curvature, 800)
    assert overdamped == pytest.approx(computed, rel=0.02)
    assert computed == pytest.approx(50, rel=0.01)
    counts: dict[UnderdampedScheme, int] = {
        "baoab": 250, "baoa": 250, "obabo": 250, "symplectic_euler": 250,
        "exponential": 800, "euler_maruyama": 1500,
    }  # fmt: skip
    ahead = {}
    for scheme, count in counts.items():
        measured, computed = _measured_and_computed(scheme, curvature, count)
        # Critical damping carries a factor linear in time, which the slope over late steps feels slightly.
        assert measured == pytest.approx(computed, rel=0.15), scheme
        ahead[scheme] = overdamped / measured
    assert min(ahead["baoab"], ahead["baoa"], ahead["obabo"]) >= 9
    # The steps that these two schemes allow undo the gain.
    assert max(ahead["exponential"], ahead["euler_maruyama"]) < 1


@pytest.mark.parametrize("strength", [0.5, 1.0, 3.0])
def test_gradients_per_efold_of_the_skew_drift(strength: float) -> None:
    curvature = torch.tensor([0.01, 1.0], dtype=F64)
    skew = PairwiseRotation(strength)
    step = theory.best_step_size(curvature.numpy(), "nonreversible", skew=skew)
    expected = theory.steps_per_efold(curvature.numpy(), "nonreversible", step, skew=skew)
    assert expected < 50
    measured = _gradients_per_efold(lambda x: NonReversibleLangevin([x], lr=step, skew=skew), curvature, 400)
    assert measured == pytest.approx(expected, rel=0.05)


def test_critical_skew_kills_the_mean_in_two_steps() -> None:
    curvature = torch.tensor([0.01, 1.0], dtype=F64)
    strength = theory.critical_skew_strength(0.01, 1.0)
    x = nn.Parameter(torch.tensor([1.0, -3.0], dtype=F64))
    optimizer = NonReversibleLangevin([x], lr=2 / 1.01, skew=PairwiseRotation(strength))
    for _ in range(2):
        x.grad = curvature * x.detach()
        optimizer.step()
    assert float(x.detach().norm()) < 1e-13


def test_momentum_form_noise_gives_the_gibbs_variance_on_a_batch() -> None:
    """Budget: 40 000 coordinates, relative error of a variance 0.7 %; 4.5 errors around the exact chain."""
    lr, friction, temperature = 0.16, 1.1, 0.25
    x = nn.Parameter(torch.zeros(40_000))
    optimizer = UnderdampedLangevin(
        [x], lr=lr, friction=friction, temperature=temperature, scheme="symplectic_euler", seed=1
    )
    for _ in range(100):
        x.grad = 0.7 * x.detach()
        optimizer.step()
    expected = theory.stationary_covariance(
        0.7, "symplectic_euler", math.sqrt(lr), 1 / temperature, friction=friction
    )
    assert float(x.detach().var()) == pytest.approx(expected[0, 0], rel=4.5 * math.sqrt(2 / 40_000))
    kinetic = optimizer.diagnostics()["kinetic_temperature"]
    assert kinetic == pytest.approx(expected[1, 1], rel=4.5 * math.sqrt(2 / 40_000))
