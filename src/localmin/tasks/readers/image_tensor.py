"""All images of a data set as one tensor: from the cache, or decoded and then kept there."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from localmin.tasks.readers.cache import CacheEntry, default_cache_folder
from localmin.tasks.readers.dependencies import require
from localmin.tasks.readers.images import EncodedImages, ImageForm, ReadProgress, decode, survey

__all__ = ["ImageOptions", "ImageTensor", "read_images"]

# Smaller sets are decoded again in about the time it takes to look for them.
MIN_CACHED_BYTES = 2**24
# Larger sets are never held in memory as a whole.
MIN_MAPPED_BYTES = 2**28

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageOptions:
    """Say how images are to be read.

    Args:
        size: Height and width; None is the most common size.
        form: What the training images were brought to, when a test set is read; wins over ``size``.
        cache: Folder for decoded images; None is the user's cache folder, used for larger sets only.
        progress: Called with the number of steps done and their total.
    """

    size: tuple[int, int] | None = None
    form: ImageForm | None = None
    cache: Path | None = None
    progress: ReadProgress | None = None


@dataclass(frozen=True, eq=False)
class ImageTensor:
    """Hold decoded images.

    Args:
        pixels: Shape ``(n, channels, height, width)``; may be memory-mapped.
        form: What every image was brought to.
        cached: The file that holds them, if any.
    """

    pixels: UInt8[Tensor, "n channels height width"]
    form: ImageForm
    cached: Path | None


def read_images(images: EncodedImages, *, source: str, version: str, options: ImageOptions) -> ImageTensor:
    """Read images from the cache, or decode them and keep them there.

    Args:
        images: At least one.
        source: Where they are, for the cache.
        version: Changes whenever the images do.
        options: Size, cache folder, progress.

    Returns:
        The images; memory-mapped when a cache folder was given or they take more than 256 MiB, unless
        nothing can be written there. An image that cannot be read is a `DataError` that names it.
    """
    entry = _entry(source, version, options)
    found = None if entry is None else _load(entry, options)
    if found is not None:
        return found
    require("PIL.Image", "reading images")
    form = options.form or survey(images, size=options.size, on_chunk=_counter(images, options, 0))
    num_bytes = len(images) * form.num_bytes
    asked = options.cache is not None
    if entry is not None and (asked or num_bytes > MIN_MAPPED_BYTES):
        if _store(entry, images, form, _decode(images, form, options), warn=asked):
            found = _load(entry, options)
            if found is not None:
                return found
        # The disk cannot hold it: perhaps memory can.
        entry = None
    pixels = np.empty((len(images), *form.shape), dtype=np.uint8)
    start = 0
    for chunk in _decode(images, form, options):
        pixels[start : start + len(chunk)] = chunk
        start += len(chunk)
    kept = (
        entry is not None
        and num_bytes >= MIN_CACHED_BYTES
        and _store(entry, images, form, iter([pixels]), warn=False)
    )
    return ImageTensor(torch.from_numpy(pixels), form, entry.path if entry is not None and kept else None)


def _entry(source: str, version: str, options: ImageOptions) -> CacheEntry | None:
    folder = options.cache or default_cache_folder()
    if folder is None:
        return None
    form = None if options.form is None else asdict(options.form)
    return CacheEntry(folder, json.dumps([source, options.size, form]), version)


def _load(entry: CacheEntry, options: ImageOptions) -> ImageTensor | None:
    stored = entry.load(mapped_above=0 if options.cache is not None else MIN_MAPPED_BYTES)
    if stored is None:
        return None
    pixels, extra = stored
    return ImageTensor(pixels, ImageForm(**extra), entry.path)


def _store(
    entry: CacheEntry, images: EncodedImages, form: ImageForm, chunks: Iterator[Any], *, warn: bool
) -> bool:
    """Write the entry; without room or permission images are kept in memory, which is no reason to stop."""
    try:
        entry.store((len(images), *form.shape), chunks, asdict(form))
    except OSError as error:
        logger.log(
            logging.WARNING if warn else logging.DEBUG,
            "decoded images cannot be kept in %s (%s); they are held in memory and decoded again next time",
            entry.folder,
            error.strerror or error,
        )
        return False
    return True


def _decode(images: EncodedImages, form: ImageForm, options: ImageOptions) -> Iterator[Any]:
    surveyed = 0 if options.form is not None else len(images)
    return decode(images, form, on_chunk=_counter(images, options, surveyed))


def _counter(images: EncodedImages, options: ImageOptions, done: int) -> Callable[[int], None]:
    """Report steps: one for the header of each image, unless the form is known, and one for its pixels."""
    total = len(images) * (1 if options.form is not None else 2)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if options.progress is not None:
            options.progress(done, total)

    return advance
