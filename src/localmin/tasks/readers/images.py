"""Decode images once, in a pool of threads, into one 8-bit tensor."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from localmin.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["EncodedImages", "ImageForm", "ReadProgress", "decode", "survey"]

ReadProgress = Callable[[int, int], None]

_CHUNK_BYTES = 2**22
_MAX_CHUNK = 64
_MAX_THREADS = 8
# Below this size most of the work is Python's own, and threads only take turns: one is faster than two.
_MIN_BYTES_FOR_THREADS = 2**13
_GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N", "I")
# EXIF orientations 5 to 8 lie on their side.
_ORIENTATION_TAG, _FIRST_SIDEWAYS = 0x0112, 5

Result = TypeVar("Result")


class EncodedImages(Protocol):
    """Images as files or as the bytes of files, in a fixed order."""

    def __len__(self) -> int:
        """Count them."""

    def __iter__(self) -> Iterator[Path | Any]:
        """Give a path or a bytes-like object for each; may be asked for more than once."""

    def describe(self, index: int) -> str:
        """Name image ``index``: its file, or its row."""


@dataclass(frozen=True)
class ImageForm:
    """Say what all images of a data set have in common.

    Args:
        height: In pixels.
        width: In pixels.
        channels: 1 (grey) or 3 (red, green, blue).
        fits: Whether images of another size are brought to this one; otherwise they are an error.
    """

    height: int
    width: int
    channels: int
    fits: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.channels, self.height, self.width

    @property
    def num_bytes(self) -> int:
        """Size of one decoded image."""
        return self.channels * self.height * self.width


def survey(
    images: EncodedImages, *, size: tuple[int, int] | None, on_chunk: Callable[[int], None]
) -> ImageForm:
    """Look at the headers of all images to choose the form of the data set.

    Args:
        images: At least one.
        size: Height and width to use; None is the most common size, the first one in a tie.
        on_chunk: Called with the number of images of each chunk.

    Returns:
        The form: grey if every image is, colour otherwise.

    Raises:
        DataError: If a file is no image; the message names it.
    """

    def look(start: int, chunk: list[Any]) -> list[tuple[int, int, bool]]:
        found = []
        for offset, encoded in enumerate(chunk):
            with _naming(images, start + offset), _open(encoded) as image:
                found.append((*_upright_size(image), image.mode in _GREY_MODES))
        return found

    counts: dict[tuple[int, int], int] = {}
    grey = True
    for chunk in _in_order(images, look, _MAX_CHUNK, threads=_MAX_THREADS):
        on_chunk(len(chunk))
        for height, width, is_grey in chunk:
            counts[height, width] = counts.get((height, width), 0) + 1
            grey = grey and is_grey
    # max keeps the first of equals.
    height, width = size or max(counts, key=lambda found: counts[found])
    return ImageForm(height, width, 1 if grey else 3, fits=size is not None or len(counts) > 1)


def decode(
    images: EncodedImages, form: ImageForm, *, on_chunk: Callable[[int], None]
) -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Decode images chunk by chunk, in order.

    An image of another size is scaled until it covers the form and cut to it around its centre, which
    keeps its proportions. Transparent parts become white, 16-bit grey becomes 8-bit, photographs are
    turned upright as their EXIF data says.

    Args:
        images: As for `survey`.
        form: What every image becomes.
        on_chunk: Called with the number of images of each chunk.

    Yields:
        Chunks of shape ``(m, channels, height, width)``, uint8.

    Raises:
        DataError: If an image cannot be decoded, or has another size and may not; the message names it.
    """

    def decode_chunk(start: int, chunk: list[Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        pixels = np.empty((len(chunk), form.height, form.width, form.channels), dtype=np.uint8)
        for offset, encoded in enumerate(chunk):
            with _naming(images, start + offset), _open(encoded) as image:
                pixels[offset] = _pixels(image, form)
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))

    size = max(1, min(_MAX_CHUNK, _CHUNK_BYTES // form.num_bytes))
    threads = _MAX_THREADS if form.num_bytes >= _MIN_BYTES_FOR_THREADS else 1
    for chunk in _in_order(images, decode_chunk, size, threads=threads):
        on_chunk(len(chunk))
        yield chunk


def _in_order(
    images: EncodedImages, work: Callable[[int, list[Any]], Result], size: int, *, threads: int
) -> Iterator[Result]:
    """Apply ``work(start, chunk)`` in threads, a few chunks ahead; the first error in order is raised."""
    threads = min(threads, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="localmin-images")
    pending: deque[Future[Result]] = deque()
    stream = iter(images)
    try:
        for start in itertools.count(0, size):
            chunk = list(itertools.islice(stream, size))
            if not chunk:
                break
            pending.append(pool.submit(work, start, chunk))
            if len(pending) > 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _naming(images: EncodedImages, index: int) -> Iterator[None]:
    """Turn whatever goes wrong with image ``index`` into an error that names it."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{images.describe(index)} {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise almost any kind of error on damaged files
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise DataError(
            f"{images.describe(index)} is not a readable image ({reason}); remove or replace it"
        ) from error


def _open(encoded: Path | Any | None) -> Image.Image:
    from PIL import Image

    if encoded is None:
        raise DataError("has no image")
    return Image.open(encoded if isinstance(encoded, Path) else BytesIO(encoded))


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    sideways = "exif" in image.info and image.getexif().get(_ORIENTATION_TAG, 1) >= _FIRST_SIDEWAYS
    return (width, height) if sideways else (height, width)


def _pixels(image: Image.Image, form: ImageForm) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Decode one image to shape ``(height, width, channels)``."""
    from PIL import Image, ImageOps

    size, wanted = _upright_size(image), (form.height, form.width)
    if size != wanted:
        if not form.fits:
            raise DataError(
                f"has {size[1]} x {size[0]} pixels, the training images have {form.width} x {form.height}; "
                "give an image size to bring all to one"
            )
        # JPEG can be decoded at 1/2, 1/4 or 1/8, which is much faster; never below what is needed.
        image.draft(None, (max(wanted), max(wanted)))
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    image = _to_mode(image, "L" if form.channels == 1 else "RGB")
    if size != wanted:
        image = ImageOps.fit(image, (form.width, form.height), method=Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(form.height, form.width, form.channels)


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    from PIL import Image

    if image.mode == mode:
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        # Pillow would cut 16-bit grey off at 255.
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() >= 2**16:
            raise DataError(
                "has pixels that are neither 8-bit nor 16-bit; convert it, or store arrays as .npz"
            )
        image = Image.fromarray((values // 2**8).astype(np.uint8))
    elif image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        paper.alpha_composite(image.convert("RGBA"))
        image = paper
    return image.convert(mode)
