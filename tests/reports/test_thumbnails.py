from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch

from localmin.reports.thumbnails import data_uri, encode_png

Image = pytest.importorskip("PIL.Image")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_an_outside_reader_finds_the_same_pixels(channels: int) -> None:
    generator = torch.Generator().manual_seed(channels)
    image = torch.randint(0, 256, (channels, 5, 9), dtype=torch.uint8, generator=generator)
    read = np.asarray(Image.open(io.BytesIO(encode_png(image))))
    expected = image[:3].permute(1, 2, 0) if channels >= 3 else image[0]
    np.testing.assert_array_equal(read, expected.numpy())


def test_large_images_are_averaged_down() -> None:
    image = torch.zeros(3, 200, 100, dtype=torch.uint8)
    image[:, :, 50:] = 200
    uri = data_uri(image)
    assert uri.startswith("data:image/png;base64,")
    read = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert read.shape == (64, 32, 3)
    assert read[:, :16].max() == 0
    assert read[:, 16:].min() == 200
