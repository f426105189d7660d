"""Weights from class labels."""

from collections import Counter

import pytest
import torch
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.sampling.class_weights import class_balanced_weights
from localmin.sampling.weighted_sampler import WeightedSampler


def test_class_balanced_weights_draw_all_classes_equally_often() -> None:
    labels = torch.tensor([3] * 90 + [-1] * 9 + [40], dtype=torch.int32)
    weights = class_balanced_weights(labels)
    for label in (3, -1, 40):
        assert float(weights[labels == label].sum()) == pytest.approx(1.0, rel=1e-14)
    drawn = labels[list(WeightedSampler(weights, 300))]
    assert Counter(drawn.tolist()) == {3: 100, -1: 100, 40: 100}


@pytest.mark.parametrize(
    ("power", "shares"), [(0.0, [90, 9, 1]), (0.5, [9.4868, 3, 1]), (2.0, [1 / 90, 1 / 9, 1])]
)
def test_the_power_says_how_far_to_balance(power: float, shares: list[float]) -> None:
    labels = torch.tensor([0] * 90 + [1] * 9 + [2])
    weights = class_balanced_weights(labels, power=power)
    found = [float(weights[labels == label].sum()) for label in range(3)]
    assert found == pytest.approx(shares, rel=1e-4)
    with pytest.raises(InputError, match="power: expected a finite number"):
        class_balanced_weights(labels, power=float("nan"))


@pytest.mark.parametrize(
    "labels", [torch.ones(3), torch.ones(2, 2, dtype=torch.int64), torch.tensor([]).long()]
)
def test_class_balanced_weights_refuse_other_tables(labels: Tensor) -> None:
    with pytest.raises(ShapeError, match="labels: expected integers of shape"):
        class_balanced_weights(labels)
