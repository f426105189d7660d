from __future__ import annotations

import pytest
import torch

from localmin.tasks.readers.defaults import choose_defaults


@pytest.mark.parametrize(
    ("shape", "dtype", "model", "augmentation", "epochs"),
    [
        ((2, 3, 32, 32), torch.uint8, "cnn", "flip", 20),
        ((2, 3, 16, 16), torch.uint8, "cnn", "flip", 20),
        ((2, 3, 15, 32), torch.uint8, "cnn", "none", 20),
        ((2, 1, 28, 28), torch.uint8, "cnn", "none", 20),
        ((2, 3, 32, 32), torch.float32, "cnn", "none", 20),
        ((2, 30), torch.float32, "mlp", "none", 40),
        ((2, 30, 4), torch.float32, "mlp", "none", 40),
    ],
)
def test_defaults_follow_shape_and_type(
    shape: tuple[int, ...], dtype: torch.dtype, model: str, augmentation: str, epochs: int
) -> None:
    found, recipe = choose_defaults(torch.zeros(shape, dtype=dtype))
    assert (found, recipe.augmentation, recipe.epochs) == (model, augmentation, epochs)
    assert recipe.batch_size == 64
    assert recipe.lr == (0.05 if model == "cnn" else 0.1)
