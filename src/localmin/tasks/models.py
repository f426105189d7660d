"""Built-in networks by name: a perceptron, a small convolutional net, ResNet-18, a tiny transformer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from localmin.errors import InputError
from localmin.tasks.transformer import TinyGPT

__all__ = ["MODELS", "TOKEN_MODELS", "ResNet18", "build_cnn", "build_mlp", "build_named", "check_named"]

MODELS = ("mlp", "cnn", "resnet18")
TOKEN_MODELS = ("gpt-tiny",)


def build_mlp(num_features: int, num_classes: int, *, widths: Sequence[int] = (256, 256)) -> nn.Sequential:
    """Stack linear layers and ReLUs; inputs of any shape are flattened.

    Args:
        num_features: Numbers per example.
        num_classes: Outputs.
        widths: Of the hidden layers.

    Returns:
        A sequential module ending in logits.

    Example:
        >>> sum(p.numel() for p in build_mlp(64, 10).parameters())
        85002
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for width_in, width_out in zip([num_features, *widths], widths, strict=False):
        layers += [nn.Linear(width_in, width_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear([num_features, *widths][-1], num_classes))


def build_cnn(num_channels: int, num_classes: int, *, widths: Sequence[int] = (32, 64, 128)) -> nn.Sequential:
    """Stack stride-2 convolutions with batch norm and ReLU, then average over space.

    Works for images of any size of at least 8 x 8.

    Args:
        num_channels: Of the images.
        num_classes: Outputs.
        widths: Channels of the convolutions.

    Returns:
        A sequential module ending in logits.

    Example:
        >>> import torch
        >>> build_cnn(3, 10)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    layers: list[nn.Module] = []
    for channels_in, channels_out in zip([num_channels, *widths], widths, strict=False):
        layers += [
            nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], num_classes))


class _ResidualBlock(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, inputs: Tensor) -> Tensor:
        """Add the block's change to its input."""
        hidden = functional.relu(self.bn1(self.conv1(inputs)))
        return functional.relu(self.bn2(self.conv2(hidden)) + self.shortcut(inputs))


class ResNet18(nn.Module):
    """Classify small images with the 18-layer residual network, CIFAR stem.

    The stem is one 3 x 3 convolution without pooling, as is usual for images of 32 x 32.

    Args:
        num_channels: Of the images.
        num_classes: Outputs.
        width: Channels of the first stage; 64 is the usual network, less is a narrow one.

    Example:
        >>> sum(p.numel() for p in ResNet18(3, 10).parameters())
        11173962
    """

    def __init__(self, num_channels: int, num_classes: int, *, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(num_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        blocks: list[nn.Module] = []
        channels = width
        for stage in range(4):
            for block in range(2):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(_ResidualBlock(channels, width * 2**stage, stride))
                channels = width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map images ``(b, channels, height, width)`` to logits ``(b, num_classes)``."""
        logits: Tensor = self.head(self.blocks(self.stem(inputs)).mean((2, 3)))
        return logits


def check_named(name: str, input_shape: Sequence[int], *, tokens: bool = False) -> None:
    """Check that a network of this name exists and takes inputs of this shape.

    Args:
        name: ``"mlp"``, ``"cnn"``, ``"resnet18"``, or ``"gpt-tiny"`` for tokens.
        input_shape: Of one example.
        tokens: Whether inputs are sequences of tokens.

    Raises:
        InputError: If not.
    """
    known = (*MODELS, *TOKEN_MODELS)
    if name not in known:
        raise InputError(
            f"unknown model {name!r}; choose one of {', '.join(known)}, or file.py:factory for your own "
            "nn.Module"
        )
    if tokens != (name in TOKEN_MODELS):
        fitting = ", ".join(TOKEN_MODELS if tokens else MODELS)
        given = "sequences of tokens" if tokens else "no sequences of tokens"
        raise InputError(f"the data are {given}, model {name!r} does not take them; use {fitting}")
    if name in ("cnn", "resnet18") and len(input_shape) != 3:
        raise InputError(
            f"model {name!r} needs images of shape (channels, height, width), the inputs have shape "
            f"{tuple(input_shape)}; use model mlp"
        )


def build_named(name: str, input_shape: Sequence[int], num_classes: int) -> nn.Module:
    """Build a network by name for inputs of a given shape.

    Args:
        name: ``"mlp"``, ``"cnn"``, ``"resnet18"`` or ``"gpt-tiny"``.
        input_shape: Of one example.
        num_classes: Outputs; the vocabulary of ``"gpt-tiny"``.

    Returns:
        A new module. What `check_named` refuses is an `InputError`.
    """
    check_named(name, input_shape, tokens=name in TOKEN_MODELS)
    if name == "gpt-tiny":
        return TinyGPT(num_classes, input_shape[0])
    if name == "mlp":
        features = 1
        for size in input_shape:
            features *= size
        return build_mlp(features, num_classes)
    if name == "cnn":
        return build_cnn(input_shape[0], num_classes)
    return ResNet18(input_shape[0], num_classes)
