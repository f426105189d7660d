"""Images described by their responses to whitened random patches, after [coates2011]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["MAX_PIXELS", "MIN_PIXELS", "Patches", "patch_features"]

MIN_PIXELS, MAX_PIXELS = 12, 32
_NUM_FILTERS, _PATCH, _GRID = 100, 6, 3
_BATCH = 50
_CONTRAST = 1e-4  # added to the variance of a patch, for pixels in [0, 1]
_WHITENING = 0.1
_THRESHOLD = 0.25


@dataclass(frozen=True)
class Patches:
    """Describe images of one size by random patches.

    Args:
        channels: Of an image.
        height: In pixels.
        width: In pixels.
    """

    channels: int
    height: int
    width: int

    name = "random patches"

    @property
    def num_features(self) -> int:
        """Length of a description."""
        return 2 * _NUM_FILTERS * _GRID**2

    def operations(self, num_examples: int) -> float:
        """Count the operations of `features`."""
        height, width = (min(side, MAX_PIXELS) - _PATCH + 1 for side in (self.height, self.width))
        # Twice, for the mirror image.
        return 2.0 * num_examples * 2 * _NUM_FILTERS * self.channels * _PATCH**2 * height * width

    def features(self, inputs: Tensor, *, seed: int) -> Float[Tensor, "n d"]:
        """Describe images, see `patch_features`."""
        return patch_features(inputs, seed=seed)


def patch_features(images: Tensor, *, seed: int, num_filters: int = _NUM_FILTERS) -> Float[Tensor, "n d"]:
    """Describe images by their responses to whitened random patches, averaged over a 3 x 3 grid.

    The features of an image and of its mirror image are averaged.

    Args:
        images: Shape ``(n, channels, height, width)``, of any scale; averaged down to 32 pixels a side.
        seed: Of the patches.
        num_filters: Number of patches; ``d = 18 * num_filters``.

    Returns:
        Float32, shape ``(n, d)``, not negative.

    Source:
        [coates2011]. Deviations: random patches in place of k-means centres, a 3 x 3 grid, mirror images.
    """
    scale = float(images.double().abs().max()) or 1.0
    filters, offsets = _filters(_small(images[:2_000], scale), num_filters, seed)
    found = []
    for batch in torch.split(images, _BATCH):
        small = _small(batch, scale)
        found.append((_responses(small, filters, offsets) + _responses(small.flip(-1), filters, offsets)) / 2)
    return torch.cat(found)


def _small(images: Tensor, scale: float) -> Tensor:
    floats = images.float() / scale
    height, width = (min(side, MAX_PIXELS) for side in images.shape[2:])
    return (
        functional.adaptive_avg_pool2d(floats, (height, width))
        if images.shape[2:] != (height, width)
        else floats
    )


def _filters(images: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Choose patches and fold their whitening into filters and offsets."""
    generator = torch.Generator().manual_seed(seed)
    patches = _random_patches(images, generator)
    mean = patches.mean(0)
    centred = patches - mean
    eigenvalues, vectors = torch.linalg.eigh((centred.T @ centred / len(patches)).double())
    whitening = (vectors * (eigenvalues.clamp_min(0) + _WHITENING).rsqrt()) @ vectors.T
    chosen = torch.randperm(len(patches), generator=generator)[:count]
    directions = functional.normalize(centred[chosen].double() @ whitening, dim=1)
    matrix = directions @ whitening
    offsets = -(matrix @ mean.double())
    # A patch has its mean taken out before the product; here the filter takes it out.
    matrix = matrix - matrix.mean(1, keepdim=True)
    return matrix.float().view(count, images.shape[1], _PATCH, _PATCH), offsets.float()


def _random_patches(images: Tensor, generator: torch.Generator) -> Tensor:
    found = []
    for _ in range(10):
        rows, columns = images.shape[2] - _PATCH + 1, images.shape[3] - _PATCH + 1
        top = int(torch.randint(0, rows, (1,), generator=generator))
        left = int(torch.randint(0, columns, (1,), generator=generator))
        found.append(images[:, :, top : top + _PATCH, left : left + _PATCH].flatten(1))
    patches = torch.cat(found)
    deviation = (patches.var(1, keepdim=True) + _CONTRAST).sqrt()
    return (patches - patches.mean(1, keepdim=True)) / deviation


def _responses(images: Tensor, filters: Tensor, offsets: Tensor) -> Tensor:
    mean = functional.avg_pool2d(images, _PATCH, 1).mean(1, keepdim=True)
    square = functional.avg_pool2d(images.square(), _PATCH, 1).mean(1, keepdim=True)
    deviation = ((square - mean.square()).clamp_min(0) + _CONTRAST).sqrt()
    # In place and in small batches: the maps are large, and moving them costs more than computing them.
    response = functional.conv2d(images, filters).div_(deviation).add_(offsets[:, None, None])
    upper = functional.adaptive_avg_pool2d((response - _THRESHOLD).relu_(), _GRID)
    lower = functional.adaptive_avg_pool2d(response.neg_().sub_(_THRESHOLD).relu_(), _GRID)
    return torch.cat([upper, lower], 1).flatten(1)
