"""Images described by random patches."""

from collections.abc import Callable

import torch

from localmin.sampling.second_opinion import patch_features
from localmin.tasks import Task

MakeTask = Callable[..., Task]


def test_features_do_not_depend_on_the_scale_or_the_mirror(make_striped: MakeTask) -> None:
    task = make_striped(40)
    images = task.train.inputs
    plain = patch_features(images, seed=0, num_filters=5)
    assert plain.shape == (40, 90)
    torch.testing.assert_close(patch_features(images.float() * 7, seed=0, num_filters=5), plain)
    assert not torch.equal(patch_features(images, seed=1, num_filters=5), plain)


def test_large_images_are_averaged_down() -> None:
    images = torch.rand(6, 3, 48, 80, generator=torch.Generator().manual_seed(0))
    assert patch_features(images, seed=0, num_filters=4).shape == (6, 72)
