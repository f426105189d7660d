"""What to train on data of which nothing else is known."""

from __future__ import annotations

from torch import Tensor

from localmin.tasks.builtin import REGRESSION_RECIPE, TABLE_RECIPE
from localmin.tasks.recipe import Recipe

__all__ = ["IMAGE_RECIPE", "choose_defaults"]

IMAGE_RECIPE = Recipe(epochs=20, batch_size=64, lr=0.05)
# A mirrored photograph is still one. Drawings, digits and letters are mostly grey or tiny, and are not.
_PHOTOGRAPH_RECIPE = Recipe(epochs=20, batch_size=64, lr=0.05, augmentation="flip")
_MIN_PHOTOGRAPH_SIDE = 16
_COLOURS = 3


def choose_defaults(inputs: Tensor, *, regression: bool = False) -> tuple[str, Recipe]:
    """Choose the network and the recipe for inputs of this shape and type.

    Args:
        inputs: uint8 images ``(n, channels, height, width)``, floating point of any shape.
        regression: Whether a number is predicted.

    Returns:
        The name of a network: ``"cnn"`` for 4-D inputs, else ``"mlp"``; and a recipe, which mirrors
        8-bit colour images of at least 16 pixels a side.

    Example:
        >>> import torch
        >>> model, recipe = choose_defaults(torch.zeros(10, 3, 32, 32, dtype=torch.uint8))
        >>> model, recipe.augmentation
        ('cnn', 'flip')
    """
    if regression:
        return "mlp" if inputs.ndim != 4 else "cnn", REGRESSION_RECIPE
    if inputs.ndim != 4:
        return "mlp", TABLE_RECIPE
    is_photograph = (
        not inputs.is_floating_point()
        and inputs.shape[1] == _COLOURS
        and min(inputs.shape[2:]) >= _MIN_PHOTOGRAPH_SIDE
    )
    return "cnn", _PHOTOGRAPH_RECIPE if is_photograph else IMAGE_RECIPE
