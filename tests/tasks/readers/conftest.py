"""Real small inputs: pictures, tables and files written in the test."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the tests away from the user's cache."""
    home = tmp_path / "cache home"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home


class Pictures:
    """Draw pictures that differ, and encode them."""

    def draw(self, index: int, *, height: int = 16, width: int = 16, mode: str = "RGB") -> Image.Image:
        generator = np.random.default_rng(index)
        coarse = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        return picture.convert(mode)

    def encode(self, picture: Image.Image, kind: str = "PNG") -> bytes:
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        return buffer.getvalue()

    def png(self, index: int, *, height: int = 16, width: int = 16, mode: str = "RGB") -> bytes:
        return self.encode(self.draw(index, height=height, width=width, mode=mode))

    def folder(self, root: Path, classes: dict[str, int], *, side: int = 16, kind: str = "png") -> Path:
        index = 0
        for name, count in classes.items():
            (root / name).mkdir(parents=True)
            for number in range(count):
                self.draw(index, height=side, width=side).save(root / name / f"{number:03}.{kind}")
                index += 1
        return root


@pytest.fixture
def pictures() -> Pictures:
    return Pictures()
