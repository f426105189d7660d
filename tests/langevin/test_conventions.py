"""The conversion table: steps written in other libraries' symbols against ours, with equal noise."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from localmin.langevin.passes import apply_update
from localmin.langevin.updates import Update, first_order_update, underdamped_update

F64 = torch.float64
CURVATURE = torch.tensor([0.4, 1.7], dtype=F64)
STEPS = 6

Theirs = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _gradient(x: Tensor) -> Tensor:
    return CURVATURE * x + 0.1


def _foreign(step: Theirs, velocity: Tensor, noises: list[Tensor]) -> list[Tensor]:
    x, v, path = torch.tensor([1.0, -0.5], dtype=F64), velocity.clone(), []
    for noise in noises:
        x, v = step(x, v, _gradient(x), noise)
        path.append(x)
    return path


def _ours(update: Callable[[int], Update], velocity: Tensor, noises: list[Tensor]) -> list[Tensor]:
    x, v, path = torch.tensor([1.0, -0.5], dtype=F64), velocity.clone(), []
    for index, noise in enumerate(noises):
        one = update(index)
        scaled = [[noise * scale] for scale in one.noise_scales]
        apply_update(one, [x], [v], [_gradient(x)], scaled)
        path.append(x.clone())
    return path


def _noises() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, generator=generator, dtype=F64) for _ in range(STEPS)]


def _first_order_cases() -> dict[str, tuple[Theirs, float, float]]:
    epsilon, lr, nbeta, level, temperature = 0.3, 0.02, 7.0, 0.8, 0.6
    return {
        "Welling and Teh": (
            lambda x, v, g, xi: (x - epsilon / 2 * g + math.sqrt(epsilon) * xi, v),
            epsilon / 2,
            1.0,
        ),
        "posteriors and blackjax sgld": (
            lambda x, v, g, xi: (x - lr * g + math.sqrt(2 * temperature * lr) * xi, v),
            lr,
            temperature,
        ),
        "SGMCMCJax sgld": (lambda x, v, g, xi: (x - lr * g + math.sqrt(2 * lr) * xi, v), lr, 1.0),
        "devinterp": (
            lambda x, v, g, xi: (x - lr / 2 * nbeta * g + math.sqrt(lr) * level * xi, v),
            lr * nbeta / 2,
            level**2 / nbeta,
        ),
    }


@pytest.mark.parametrize("name", _first_order_cases())
def test_first_order(name: str) -> None:
    theirs, lr, temperature = _first_order_cases()[name]
    start, noises = torch.zeros(2, dtype=F64), _noises()
    ours = _ours(lambda _: first_order_update(lr, temperature), start, noises)
    torch.testing.assert_close(_foreign(theirs, start, noises), ours, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sigma", [1.0, 1.6])
def test_posteriors_sghmc(sigma: float) -> None:
    lr, alpha, temperature = 0.2, 0.9, 0.6

    def theirs(x: Tensor, m: Tensor, g: Tensor, xi: Tensor) -> tuple[Tensor, Tensor]:
        decayed = m - lr * g - lr * alpha / sigma**2 * m
        return x + lr / sigma**2 * m, decayed + math.sqrt(2 * alpha * temperature * lr) * xi

    momentum, noises = torch.tensor([0.3, -0.7], dtype=F64), _noises()
    update = underdamped_update("euler_maruyama", lr / sigma, alpha / sigma, temperature, 0.0)
    ours = _ours(lambda _: update, momentum / sigma, noises)
    torch.testing.assert_close(_foreign(theirs, momentum, noises), ours, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("sigma", [1.0, 1.6])
def test_posteriors_baoa(sigma: float) -> None:
    lr, alpha, temperature = 0.2, 0.9, 0.6
    decay = math.exp(-alpha / sigma**2 * lr)

    def theirs(x: Tensor, m: Tensor, g: Tensor, xi: Tensor) -> tuple[Tensor, Tensor]:
        m = m - lr * g
        x = x + lr / 2 / sigma**2 * m
        m = decay * m + math.sqrt(temperature * (1 - decay**2)) * sigma * xi
        return x + lr / 2 / sigma**2 * m, m

    momentum, noises = torch.tensor([0.3, -0.7], dtype=F64), _noises()
    update = underdamped_update("baoa", lr / sigma, alpha / sigma, temperature, 0.0)
    ours = _ours(lambda _: update, momentum / sigma, noises)
    torch.testing.assert_close(_foreign(theirs, momentum, noises), ours, rtol=1e-11, atol=1e-12)


def test_blackjax_sghmc() -> None:
    step, alpha, temperature = 0.2, 0.9, 0.6

    def theirs(x: Tensor, p: Tensor, g: Tensor, xi: Tensor) -> tuple[Tensor, Tensor]:
        noise = math.sqrt(step * temperature * 2 * alpha) * xi
        return x + step * p, (1 - alpha * step) * p - step * g + noise

    start, noises = torch.tensor([0.3, -0.7], dtype=F64), _noises()
    update = underdamped_update("euler_maruyama", step, alpha, temperature, 0.0)
    ours = _ours(lambda _: update, start, noises)
    torch.testing.assert_close(_foreign(theirs, start, noises), ours, rtol=1e-11, atol=1e-12)


def test_sgmcmcjax_sghmc() -> None:
    dt, alpha = 0.05, 0.2

    def theirs(x: Tensor, v: Tensor, g: Tensor, xi: Tensor) -> tuple[Tensor, Tensor]:
        # Their gradient is taken before the position moves, as ours is.
        return x + v, v - dt * g - alpha * v + math.sqrt(2 * alpha * dt) * xi

    start, noises = torch.tensor([0.3, -0.7], dtype=F64), _noises()
    update = underdamped_update("euler_maruyama", math.sqrt(dt), alpha / math.sqrt(dt), 1.0, 0.0)
    ours = _ours(lambda _: update, start / math.sqrt(dt), noises)
    torch.testing.assert_close(_foreign(theirs, start, noises), ours, rtol=1e-11, atol=1e-12)


def test_sgmcmcjax_baoab_needs_the_square_of_its_temperature() -> None:
    dt, gamma, kbt = 0.3, 1.1, 0.25
    decay = math.exp(-gamma * dt)
    open_kick = torch.zeros(2, dtype=F64)  # their second half kick, with the gradient at the new point

    def theirs(x: Tensor, v: Tensor, g: Tensor, xi: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal open_kick
        v = v - open_kick * g - dt / 2 * g
        x = x + dt / 2 * v
        v = decay * v + kbt * math.sqrt(1 - decay**2) * xi
        open_kick = torch.full((2,), dt / 2, dtype=F64)
        return x + dt / 2 * v, v

    start, noises = torch.zeros(2, dtype=F64), _noises()

    def ours(temperature: float) -> list[Tensor]:
        return _ours(
            lambda k: underdamped_update("baoab", dt, gamma, temperature, dt / 2 if k else 0.0), start, noises
        )

    path = _foreign(theirs, start, noises)
    torch.testing.assert_close(path, ours(kbt**2), rtol=1e-11, atol=1e-12)
    assert float((path[0] - ours(kbt)[0]).abs().max()) > 1e-3


def test_sum_and_mean_of_a_loss() -> None:
    """The loss divided by N: lr times N, friction over root N, T over N give the same path."""
    count, lr, friction = 16.0, 0.01, 0.8
    noises, start = _noises(), torch.zeros(2, dtype=F64)
    paths = []
    for scale, step, gamma, temperature in (
        (1.0, lr, friction, 1.0),
        (1 / count, lr * count, friction / math.sqrt(count), 1 / count),
    ):
        first, second = torch.tensor([1.0, -0.5], dtype=F64), torch.tensor([1.0, -0.5], dtype=F64)
        v = start.clone()
        plain = first_order_update(step, temperature)
        kinetic = underdamped_update("baoa", math.sqrt(step), gamma, temperature, 0.0)
        for noise in noises:
            apply_update(plain, [first], [], [scale * _gradient(first)], [[noise * plain.noise_scales[0]]])
            gradient = scale * _gradient(second)
            apply_update(kinetic, [second], [v], [gradient], [[noise * kinetic.noise_scales[0]]])
        paths.append((first, second))
    torch.testing.assert_close(paths[0], paths[1], rtol=1e-11, atol=1e-12)
