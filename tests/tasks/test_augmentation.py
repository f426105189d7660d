from __future__ import annotations

import pytest
import torch
from torch import Tensor

from localmin.errors import InputError
from localmin.tasks.augmentation import AUGMENTATIONS, crop, flip


def images(count: int = 64) -> Tensor:
    return torch.rand(count, 2, 5, 7, generator=torch.Generator().manual_seed(0)) + 1


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_flip_gives_each_image_or_its_mirror_image_about_equally_often() -> None:
    batch = images(400)
    flipped = flip(batch, generator())
    same = (flipped == batch).flatten(1).all(1)
    mirrored = (flipped == batch.flip(3)).flatten(1).all(1)
    assert bool((same ^ mirrored).all())
    # 400 fair coins: outside 150..250 with probability below 1e-6.
    assert 150 < int(mirrored.sum()) < 250


def test_crop_is_a_window_of_the_padded_image() -> None:
    batch = images(200)
    cropped = crop(batch, generator())
    padded = torch.nn.functional.pad(batch, (4, 4, 4, 4))
    places = set()
    for image, cut in zip(padded, cropped, strict=True):
        found = [
            (row, column)
            for row in range(9)
            for column in range(9)
            if torch.equal(image[:, row : row + 5, column : column + 7], cut)
        ]
        assert len(found) == 1
        places.add(found[0])
    rows, columns = {place[0] for place in places}, {place[1] for place in places}
    assert rows == columns == set(range(9))


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_shape_and_type_stay_and_the_seed_decides(name: str) -> None:
    batch, augment = images(), AUGMENTATIONS[name]
    first = augment(batch, generator(1))
    assert first.shape == batch.shape
    assert first.dtype == batch.dtype
    assert torch.equal(first, augment(batch, generator(1)))
    assert torch.equal(first, augment(batch, generator(2))) is (name == "none")


@pytest.mark.parametrize("name", ["flip", "flip-crop"])
def test_a_table_cannot_be_mirrored(name: str) -> None:
    with pytest.raises(InputError, match="needs images"):
        AUGMENTATIONS[name](torch.zeros(4, 6), generator())
    assert AUGMENTATIONS["none"](torch.zeros(4, 6), generator()).shape == (4, 6)
