"""Small images in rows, each with two lines under it."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import UInt8
from markupsafe import Markup
from torch import Tensor

from localmin.errors import ShapeError
from localmin.reports.plots.svg import NARROW, Canvas, both_widths
from localmin.reports.thumbnails import data_uri

__all__ = ["image_sheet"]

_COLUMNS, _NARROW_COLUMNS = 8, 4
_SIDE, _GAP, _WORDS = 64.0, 18.0, 46.0


def image_sheet(
    images: UInt8[Tensor, "k channels height width"],
    captions: Sequence[tuple[str, str]],
    *,
    title: str,
    note: str = "",
    name: str = "images",
) -> Markup:
    """Draw images side by side, with a plain and a strong line under each.

    Args:
        images: Shape ``(k, channels, height, width)``, uint8.
        captions: Two short lines for each image.
        title: What is shown.
        note: The same in a sentence, for those who cannot see it.
        name: Unique on the page.

    Returns:
        The figure for wide and narrow pages.

    Raises:
        ShapeError: If there is no image, or not a caption for each.
    """
    if len(images) == 0 or len(images) != len(captions):
        raise ShapeError(f"expected images and a caption for each, got {len(images)} and {len(captions)}")
    sources = [data_uri(image) for image in images]

    def draw(width: int) -> Canvas:
        columns = _NARROW_COLUMNS if width <= NARROW else _COLUMNS
        rows = -(-len(sources) // columns)
        step, row_height = width / columns, _SIDE + _WORDS + _GAP
        canvas = Canvas(width, rows * row_height - _GAP, name=name, title=title, description=note or title)
        for number, (source, (plain, strong)) in enumerate(zip(sources, captions, strict=True)):
            left, top = number % columns * step, number // columns * row_height
            canvas.image(left, top, _SIDE, source, label=f"{plain}, {strong}")
            canvas.text(left, top + _SIDE + 18, plain, "tick")
            canvas.text(left, top + _SIDE + 36, strong, "label")
        return canvas

    return both_widths(draw)
