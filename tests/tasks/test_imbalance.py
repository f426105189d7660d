from __future__ import annotations

import math

import pytest
import torch

from localmin.errors import InputError
from localmin.tasks.imbalance import imbalanced_subset


def test_class_sizes_fall_geometrically_from_the_largest_class() -> None:
    labels = torch.arange(5000) % 5
    kept = imbalanced_subset(labels, 16, num_classes=5, seed=0)
    assert labels[kept].bincount().tolist() == [1000, 500, 250, 125, 62]


def test_a_class_that_is_small_already_keeps_what_it_has() -> None:
    labels = torch.tensor([0] * 100 + [1] * 3 + [2] * 100)
    kept = imbalanced_subset(labels, 4, num_classes=3, seed=0)
    assert labels[kept].bincount().tolist() == [100, 3, 25]


def test_at_least_one_example_of_each_class_that_has_one() -> None:
    labels = torch.tensor([0] * 4 + [1] * 4 + [3])
    kept = imbalanced_subset(labels, 1e6, num_classes=4, seed=0)
    assert labels[kept].bincount(minlength=4).tolist() == [4, 1, 0, 1]


def test_the_result_is_sorted_without_repeats_and_by_seed() -> None:
    labels = torch.arange(300) % 3
    kept = imbalanced_subset(labels, 5, num_classes=3, seed=1)
    assert bool((kept[1:] > kept[:-1]).all())
    assert torch.equal(kept, imbalanced_subset(labels, 5, num_classes=3, seed=1))
    assert not torch.equal(kept, imbalanced_subset(labels, 5, num_classes=3, seed=2))


def test_factor_one_keeps_balanced_classes_whole() -> None:
    labels = torch.arange(30) % 3
    assert imbalanced_subset(labels, 1, num_classes=3, seed=0).tolist() == list(range(30))


def test_no_labels_give_no_labels() -> None:
    assert len(imbalanced_subset(torch.zeros(0, dtype=torch.int64), 3, num_classes=2, seed=0)) == 0


@pytest.mark.parametrize("factor", [0.5, 0.0, -1.0, math.nan, math.inf])
def test_a_factor_that_is_none_is_refused(factor: float) -> None:
    with pytest.raises(InputError, match="must be at least 1"):
        imbalanced_subset(torch.tensor([0, 1]), factor, num_classes=2, seed=0)


def test_one_class_cannot_be_imbalanced() -> None:
    with pytest.raises(InputError, match="at least 2 classes"):
        imbalanced_subset(torch.tensor([0, 0]), 2, num_classes=1, seed=0)
