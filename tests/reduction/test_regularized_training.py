import pytest
import torch

from localmin.errors import InputError, ShapeError
from localmin.reduction import train_regularized
from localmin.testing.reduction_networks import random_points


def test_stops_at_a_level_and_goes_on_from_there() -> None:
    x, y = random_points(8, 3), random_points(8, 2, seed=1)
    calls: list[tuple[str, int, float]] = []
    early, loss = train_regularized(
        x, y, [12], 1e-2, num_adam_steps=2000, stop_at_loss=1.0, progress=lambda *call: calls.append(call)
    )
    assert 0.9 < loss <= 1.0
    assert calls[0][:2] == ("adam", 0)
    assert calls[0][2] > 1.0
    later, lower = train_regularized(x, y, [12], 1e-2, num_adam_steps=0, start=early, max_lbfgs_steps=40)
    assert lower < loss
    direct = (later(x) - y).square().sum() / 8 + 1e-2 * later.squared_norm
    assert lower == pytest.approx(float(direct), rel=1e-12)
    same, again = train_regularized(x, y, [12], 1e-2, start=early, stop_at_loss=loss)
    assert again == loss
    assert all(torch.equal(a, b) for a, b in zip(same.weights, early.weights, strict=True))


def test_bad_input() -> None:
    x, y = random_points(4, 3), random_points(4, 2, seed=1)
    network, _ = train_regularized(x, y, [5], 1e-2, num_adam_steps=1, max_lbfgs_steps=0)
    with pytest.raises(InputError, match=r"start: expected widths \[3, 6, 2\]"):
        train_regularized(x, y, [6], 1e-2, start=network)
    with pytest.raises(InputError, match="without a bias"):
        train_regularized(x, y, [5], 1e-2, start=network, bias=False)
    with pytest.raises(ShapeError, match="expected x"):
        train_regularized(x, y[:, 0], [5], 1e-2)
