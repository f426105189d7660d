"""Decoded images on disk, so that the next run need not decode them again."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["CacheEntry", "default_cache_folder"]

# The first bytes of an entry are JSON, padded with blanks: pixels start at a multiple of the page size.
_HEADER_BYTES = 4096
_FORMAT = 1
_ABANDONED_SECONDS = 24 * 3600


def default_cache_folder() -> Path | None:
    """Find the user's cache folder: ``$XDG_CACHE_HOME/localmin``, else ``~/.cache/localmin``.

    Returns:
        The folder, which need not exist; None for a user without a home.
    """
    configured = os.environ.get("XDG_CACHE_HOME", "")
    if Path(configured).is_absolute():
        return Path(configured) / "localmin"
    try:
        return Path.home() / ".cache" / "localmin"
    except RuntimeError:
        return None


@dataclass(frozen=True)
class CacheEntry:
    """Find and keep the decoded images of one source.

    One file holds a header and the pixels, so that an entry is whole or absent. Its name depends on
    where the source is and how it is read; the header says which version of the source was read, so
    that a source that changed replaces its own entry.

    Args:
        folder: Where entries are kept.
        source: Path of the file or folder that holds the images, and how they are read.
        version: Changes whenever the source does.
    """

    folder: Path
    source: str
    version: str
    path: Path = field(init=False)

    def __post_init__(self) -> None:
        name = hashlib.sha256(self.source.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        object.__setattr__(self, "path", self.folder / f"{name}.images")

    def load(self, *, mapped_above: int) -> tuple[Tensor, dict[str, Any]] | None:
        """Read the entry.

        Args:
            mapped_above: Leave more bytes than this on disk until they are used. The mapping is
                copy-on-write: changing the tensor in place does not change the file.

        Returns:
            Pixels and what was stored with them; None if there is no entry for this version.
        """
        try:
            with self.path.open("rb") as stream:
                header = json.loads(stream.read(_HEADER_BYTES))
            if header["format"] != _FORMAT or header["version"] != self.version:
                return None
            shape = tuple(int(size) for size in header["shape"])
            num_bytes = math.prod(shape)
            if self.path.stat().st_size != _HEADER_BYTES + num_bytes:
                return None
            pixels: np.ndarray[Any, Any]
            if num_bytes > mapped_above:
                pixels = np.memmap(self.path, np.uint8, "c", _HEADER_BYTES, shape)
            else:
                pixels = np.fromfile(self.path, np.uint8, offset=_HEADER_BYTES).reshape(shape)
            return torch.from_numpy(pixels), header["extra"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def store(
        self, shape: tuple[int, ...], chunks: Iterable[np.ndarray[Any, Any]], extra: dict[str, Any]
    ) -> None:
        """Write the entry; it appears under its name when it is complete.

        Plain writes, not a mapping: a full disk is then an error and not a crash.

        Args:
            shape: Of all chunks together.
            chunks: uint8 arrays, in order.
            extra: JSON types, given back by `load`.

        Raises:
            OSError: If the folder cannot be written or the disk is full; nothing is left behind.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._remove_abandoned()
        header = {"format": _FORMAT, "version": self.version, "shape": list(shape), "extra": extra}
        content = json.dumps(header).encode()
        if len(content) > _HEADER_BYTES:
            raise OSError(f"the header of {self.path} is too long")
        descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=f".{self.path.name}.", suffix=".part")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content.ljust(_HEADER_BYTES))
                for chunk in chunks:
                    stream.write(np.ascontiguousarray(chunk).data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _remove_abandoned(self) -> None:
        """Remove what a killed process left half-written."""
        for leftover in self.folder.glob(".*.images.*.part"):
            try:
                if time.time() - leftover.stat().st_mtime > _ABANDONED_SECONDS:
                    leftover.unlink()
            except OSError:
                continue
