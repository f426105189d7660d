"""One step as data: bounds hold, the one-pass form equals the plain one."""

import pytest
import torch
from torch import Tensor

from localmin.langevin import passes
from localmin.langevin.passes import move
from localmin.langevin.updates import (
    Update,
    bound_update,
    first_order_update,
    underdamped_schemes,
    underdamped_update,
)

F64 = torch.float64


def _cases() -> list[Update]:
    result = [first_order_update(0.3, 0.0), first_order_update(0.3, 0.6)]
    for scheme in underdamped_schemes:
        for h, friction, temperature in (
            (0.7, 1.3, 0.6),
            (0.2, 0.4, 0.0),
            (0.01, 1e-6, 2.0),
            (3.0, 4.0, 0.5),
        ):
            pending = h / 2 if scheme in {"baoab", "obabo"} else 0.0
            result.append(underdamped_update(scheme, h, friction, temperature, pending))
    return result


def _moved(update: Update, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    x, v = torch.zeros_like(v), v.clone()
    move(update, [x], [v], [g], torch.Generator().manual_seed(1))
    return x, v


@pytest.mark.parametrize("index", range(len(_cases())))
def test_bounds_hold(index: int) -> None:
    update = _cases()[index]
    generator = torch.Generator().manual_seed(index)
    v, g = torch.randn(2, 500, generator=generator, dtype=F64).unbind()
    x, after = _moved(update, v, g)
    largest, velocity = bound_update(update, float(g.abs().max()), float(v.abs().max()))
    assert float(x.abs().max()) <= largest
    if any(one.name not in {"push", "position_noise"} for one in update.operations):
        assert float(after.abs().max()) <= velocity
        assert velocity <= 12 * float(after.abs().max() + g.abs().max())


@pytest.mark.parametrize("index", range(len(_cases())))
def test_one_pass_equals_the_plain_operations(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    update = _cases()[index]
    v, g = torch.randn(2, 64, generator=torch.Generator().manual_seed(index), dtype=F64).unbind()
    fast = _moved(update, v, g)
    monkeypatch.setattr(passes, "_fits_fused", lambda *_: False)
    plain = _moved(update, v, g)
    torch.testing.assert_close(fast, plain, rtol=1e-12, atol=1e-13)


def test_noise_far_above_the_friction_is_added_in_a_pass_of_its_own() -> None:
    names = [one.name for one in underdamped_update("obabo", 0.01, 1e-9, 2.0, 0.005).operations]
    assert "velocity_noise" in names
    assert "blend" in [one.name for one in underdamped_update("obabo", 0.1, 1.0, 2.0, 0.05).operations]
