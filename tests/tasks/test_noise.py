from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from localmin.errors import InputError
from localmin.tasks import NoiseRecord, flip_labels


def labels(count: int = 1000, num_classes: int = 7) -> torch.Tensor:
    return torch.randint(0, num_classes, (count,), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4, 0.777, 1.0])
def test_exactly_the_rounded_share_changes_and_no_chosen_label_stays(kind: str, rate: float) -> None:
    clean = labels()
    noisy = flip_labels(clean, rate, num_classes=7, kind=kind, seed=3)
    assert int((noisy != clean).sum()) == round(rate * 1000)
    assert 0 <= int(noisy.min()) <= int(noisy.max()) < 7
    assert clean.equal(labels())


def test_pair_noise_goes_to_the_next_class_and_the_last_to_the_first() -> None:
    clean = torch.arange(5)
    assert flip_labels(clean, 1.0, num_classes=5, kind="pair", seed=0).tolist() == [1, 2, 3, 4, 0]


def test_symmetric_noise_is_uniform_over_the_other_classes() -> None:
    clean = torch.full((60_000,), 2)
    noisy = flip_labels(clean, 1.0, num_classes=5, seed=1)
    counts = noisy.bincount(minlength=5).numpy()
    assert counts[2] == 0
    expected = 15_000
    chi_square = float(((counts[[0, 1, 3, 4]] - expected) ** 2 / expected).sum())
    # Three degrees of freedom: 21.1 has probability 1e-4.
    assert chi_square < 21.1


def test_the_choice_of_examples_is_uniform_and_by_seed() -> None:
    clean = torch.zeros(10, dtype=torch.int64)
    changed = np.array([flip_labels(clean, 0.3, num_classes=2, seed=s).numpy() for s in range(2000)])
    # Each position is chosen 600 times on average with deviation 20.5; five deviations.
    assert np.abs(changed.sum(0) - 600).max() < 103
    assert torch.equal(flip_labels(clean, 0.3, num_classes=2, seed=9), torch.from_numpy(changed[9]))


def test_with_two_classes_both_kinds_swap() -> None:
    clean = labels(50, 2)
    for kind in ("symmetric", "pair"):
        assert torch.equal(flip_labels(clean, 1.0, num_classes=2, kind=kind, seed=0), 1 - clean)


def test_no_labels_stay_no_labels() -> None:
    assert len(flip_labels(torch.zeros(0, dtype=torch.int64), 0.5, num_classes=3, seed=0)) == 0


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
def test_a_rate_outside_0_to_1_is_refused(rate: float) -> None:
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        flip_labels(labels(), rate, num_classes=7, seed=0)


def test_unknown_kind_and_single_class_are_refused() -> None:
    with pytest.raises(InputError, match="symmetric, pair"):
        flip_labels(labels(), 0.1, num_classes=7, kind="uniform", seed=0)
    for kind in ("symmetric", "pair"):
        with pytest.raises(InputError, match="at least 2 classes"):
            flip_labels(torch.zeros(3, dtype=torch.int64), 0.5, num_classes=1, kind=kind, seed=0)


def test_the_record_is_json() -> None:
    record = NoiseRecord("pair", 0.4, 0.399, 0.41)
    assert json.loads(json.dumps(record.to_dict())) == {
        "kind": "pair",
        "rate": 0.4,
        "realised": 0.399,
        "validation_realised": 0.41,
    }
