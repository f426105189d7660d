from __future__ import annotations

import pytest
import torch

from localmin.errors import InputError
from localmin.tasks import digits
from localmin.tasks.noisy_task import add_noise


def test_noise_is_that_of_building_the_task_with_it() -> None:
    direct = digits(seed=3, noise=0.3, noise_kind="pair")
    later = add_noise(digits(seed=3), 0.3, kind="pair", seed=3)
    for part in direct.parts():
        assert torch.equal(direct.parts()[part].labels, later.parts()[part].labels)
    assert direct.noise == later.noise
    assert later.noise is not None
    assert later.noise.realised == later.noise.validation_realised == 0.3


def test_training_and_validation_are_flipped_by_different_draws() -> None:
    task = digits(seed=0)
    same = task.train.subset(torch.arange(300))
    noisy = add_noise(type(task)(**{**vars(task), "train": same, "validation": same}), 0.4, seed=0)
    assert not torch.equal(noisy.train.labels, noisy.validation.labels)


def test_clean_validation_and_rate_zero() -> None:
    task = digits(seed=0)
    assert add_noise(task, 0.0, seed=0) is task
    noisy = add_noise(task, 0.4, clean_validation=True, seed=0)
    assert torch.equal(noisy.validation.labels, task.validation.labels)
    assert noisy.provenance["clean_validation"] is True
    assert noisy.clean_train_labels is task.train.labels


def test_noise_twice_and_impossible_rates_are_refused() -> None:
    noisy = add_noise(digits(seed=0), 0.1, seed=0)
    with pytest.raises(InputError, match="add noise once"):
        add_noise(noisy, 0.1, seed=0)
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        add_noise(digits(seed=0), 1.1, seed=0)
