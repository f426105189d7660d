"""Scaling of raw inputs to what a network is fed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from localmin.errors import DataError
from localmin.tasks.examples import Examples

__all__ = ["Normalization"]

_IMAGE_SCALE = 255.0
_IMAGE_DIMENSIONS = 4
_MAX_IMAGES_FOR_STATISTICS = 20_000
_CONSTANT_RELATIVE = 1e-12
_MAX_BLOCK_NUMBERS = 4_000_000


@dataclass(frozen=True)
class Normalization:
    """Map a raw input to ``(scale * input - mean) / deviation``, channel by channel or column by column.

    Args:
        mean: One number per channel (images) or per column (tables); empty for none.
        deviation: As ``mean``, all positive.
        scale: Applied first: 1/255 for 8-bit images.

    Example:
        >>> import torch
        >>> examples = Examples(torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1]))
        >>> Normalization.fit(examples)(examples.inputs).flatten().tolist()
        [-1.0, 1.0]
    """

    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    scale: float = 1.0

    @classmethod
    def fit(cls, examples: Examples) -> Normalization:
        """Measure mean and standard deviation on training examples.

        Constant columns keep deviation 1, so that they become zero instead of infinite.

        Args:
            examples: The training examples, at least one; at most 20,000 images are looked at, evenly
                spaced.

        Returns:
            The normalization of images, 8-bit or floating point, per channel; of tables per column.

        Raises:
            DataError: If there are no examples.

        Cost:
            One pass over images, three over tables, block by block; memory for one block.
        """
        inputs = examples.inputs
        if len(inputs) == 0:
            raise DataError("the normalization cannot be measured on no examples")
        scale = 1.0 / _IMAGE_SCALE if examples.is_image else 1.0
        if inputs.ndim == _IMAGE_DIMENSIONS:
            # Rounded up, so that no more than the maximum are left.
            inputs = inputs[:: -(-len(inputs) // _MAX_IMAGES_FOR_STATISTICS)]
        mean, deviation = (_measure_pixels if examples.is_image else _measure_columns)(inputs)
        deviation = torch.where(deviation > 0, deviation * scale, 1.0)
        return cls(tuple((mean * scale).tolist()), tuple(deviation.tolist()), scale)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Scale a batch of raw inputs to floating point, same shape."""
        batch = inputs if inputs.is_floating_point() else inputs.float()
        if not self.mean:
            return batch * self.scale if self.scale != 1.0 else batch
        shape = (-1, 1, 1) if batch.ndim == _IMAGE_DIMENSIONS else batch.shape[1:]
        centre = batch.new_tensor([value / self.scale for value in self.mean]).view(shape)
        factor = batch.new_tensor([self.scale / value for value in self.deviation]).view(shape)
        # Subtract first: a column of years (mean 2000, deviation 1) would lose digits the other way round.
        return (batch - centre) * factor

    def to_dict(self) -> dict[str, Any]:
        """List the numbers, for JSON."""
        return {"mean": list(self.mean), "deviation": list(self.deviation), "scale": self.scale}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Normalization:
        """Rebuild from `to_dict`."""
        return cls(tuple(stored["mean"]), tuple(stored["deviation"]), float(stored["scale"]))


def _measure_pixels(
    images: UInt8[Tensor, "n channels height width"],
) -> tuple[Float64[Tensor, " channels"], Float64[Tensor, " channels"]]:
    """Measure mean and standard deviation per channel, exactly, from how often each of 256 values occurs."""
    size = max(1, _MAX_BLOCK_NUMBERS // images[0].numel())
    counts = torch.zeros(images.shape[1], 256, dtype=torch.float64)
    for start in range(0, len(images), size):
        block = images[start : start + size]
        for channel, row in enumerate(counts):
            row += block[:, channel].flatten().bincount(minlength=256).cpu()
    share = counts / counts.sum(1, keepdim=True)
    levels = torch.arange(256, dtype=torch.float64)
    mean = share @ levels
    return mean, (share * (levels - mean[:, None]).square()).sum(1).sqrt()


def _measure_columns(inputs: Tensor) -> tuple[Float64[Tensor, " d"], Float64[Tensor, " d"]]:
    """Measure mean and standard deviation per column (per channel of 4-D inputs) in double precision."""
    size = max(1, _MAX_BLOCK_NUMBERS // max(1, inputs[0].numel()))
    blocks = [inputs[start : start + size] for start in range(0, len(inputs), size)]
    peak = torch.stack([_by_column(block).abs().amax(0) for block in blocks]).amax(0)
    # Relative to the largest value nothing overflows, even where the squares of the values would.
    unit = torch.where(peak > 0, peak, 1.0)
    count = sum(len(_by_column(block)) for block in blocks)
    mean = torch.zeros_like(unit)
    for block in blocks:
        mean += (_by_column(block) / unit).sum(0) / count
    variance = torch.zeros_like(unit)
    for block in blocks:
        variance += (_by_column(block) / unit - mean).square().sum(0) / count
    deviation = variance.sqrt()
    return mean * unit, torch.where(deviation > _CONSTANT_RELATIVE, deviation * unit, 0.0)


def _by_column(block: Tensor) -> Float64[Tensor, "m d"]:
    if block.ndim == _IMAGE_DIMENSIONS:
        block = block.transpose(0, 1).flatten(1).T
    return block.reshape(len(block), -1).double()
