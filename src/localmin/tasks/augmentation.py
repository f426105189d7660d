"""Random changes of training images that keep their label."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError

__all__ = ["AUGMENTATIONS", "Augmentation", "crop", "flip"]

Augmentation = Callable[[Tensor, torch.Generator], Tensor]

_CROP_PADDING = 4


def identity(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Leave the batch as it is; draws no random number."""
    del generator
    return batch


def flip(
    batch: Float[Tensor, "b channels height width"], generator: torch.Generator
) -> Float[Tensor, "b channels height width"]:
    """Mirror each image left to right with probability 1/2.

    Args:
        batch: Images; anything else is an `InputError`.
        generator: Of the choice, on the CPU.

    Returns:
        Images of the same shape.

    Example:
        >>> images = torch.arange(4.0).view(1, 1, 1, 4).expand(64, 1, 1, 4)
        >>> rows = {tuple(row) for row in flip(images, torch.Generator().manual_seed(0)).flatten(1).tolist()}
        >>> sorted(rows)
        [(0.0, 1.0, 2.0, 3.0), (3.0, 2.0, 1.0, 0.0)]
    """
    _check_images("flip", batch)
    chosen = torch.rand(len(batch), generator=generator) < 0.5
    return torch.where(chosen.to(batch.device).view(-1, 1, 1, 1), batch.flip(-1), batch)


def crop(
    batch: Float[Tensor, "b channels height width"], generator: torch.Generator
) -> Float[Tensor, "b channels height width"]:
    """Pad each image with 4 zero pixels and cut a window of the old size at a random place.

    Args:
        batch: Images, normalised, so that zero is the mean; anything else is an `InputError`.
        generator: Of the place, on the CPU.

    Returns:
        Images of the same shape.
    """
    _check_images("crop", batch)
    count, channels, height, width = batch.shape
    padded = torch.nn.functional.pad(batch, (_CROP_PADDING,) * 4)
    offsets = torch.randint(0, 2 * _CROP_PADDING + 1, (2, count, 1), generator=generator).to(batch.device)
    rows = (torch.arange(height, device=batch.device) + offsets[0]).view(count, 1, height, 1)
    columns = (torch.arange(width, device=batch.device) + offsets[1]).view(count, 1, 1, width)
    image = torch.arange(count, device=batch.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=batch.device).view(1, -1, 1, 1)
    return padded[image, channel, rows, columns]


def flip_and_crop(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Crop, then mirror: the usual augmentation of small photographs."""
    return flip(crop(batch, generator), generator)


def _check_images(name: str, batch: Tensor) -> None:
    if batch.ndim != 4:
        raise InputError(
            f"augmentation {name!r} needs images of shape (batch, channels, height, width), the inputs have "
            f"shape {tuple(batch.shape)}; use augmentation 'none'"
        )


AUGMENTATIONS: dict[str, Augmentation] = {"none": identity, "flip": flip, "flip-crop": flip_and_crop}
