"""Small images inside the page: PNG data URIs, written with the standard library alone."""

from __future__ import annotations

import base64
import struct
import zlib

import torch
from torch import Tensor

__all__ = ["data_uri", "encode_png"]

_LARGEST_SIDE = 64
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def data_uri(image: Tensor) -> str:
    """Turn an image into the text of an ``img`` element's source.

    Args:
        image: Shape ``(channels, height, width)``, uint8; 1 channel is grey, the first 3 of others are RGB.
            Images with a side above 64 are averaged down.

    Returns:
        ``"data:image/png;base64,..."``.
    """
    return "data:image/png;base64," + base64.b64encode(encode_png(_shrunk(image))).decode("ascii")


def encode_png(image: Tensor) -> bytes:
    """Encode an image as PNG.

    Args:
        image: Shape ``(channels, height, width)``, uint8.

    Returns:
        The file.
    """
    shown = image[:3] if image.shape[0] >= 3 else image[:1]
    channels, height, width = shown.shape
    rows = shown.permute(1, 2, 0).reshape(height, width * channels)
    # Every row begins with the number of its filter; 0 is none.
    raw = torch.cat([torch.zeros(height, 1, dtype=torch.uint8), rows], dim=1).contiguous().numpy().tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    return (
        _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(raw, 9)) + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _shrunk(image: Tensor) -> Tensor:
    height, width = image.shape[1:]
    largest = max(height, width)
    if largest <= _LARGEST_SIDE:
        return image
    size = (max(1, height * _LARGEST_SIDE // largest), max(1, width * _LARGEST_SIDE // largest))
    return torch.nn.functional.adaptive_avg_pool2d(image.float(), size).round().clamp(0, 255).to(torch.uint8)
