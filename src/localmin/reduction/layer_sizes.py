"""The sizes that torch's layers write down beside their weights."""

from torch import nn

__all__ = ["resize"]


def resize(layer: nn.Module) -> None:
    """Bring the sizes that a layer writes down into line with its weight.

    Args:
        layer: Linear or convolutional (not grouped), changed in place.
    """
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = layer.weight.shape
    elif isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        layer.out_channels, layer.in_channels = layer.weight.shape[:2]
