from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from localmin.errors import DataError
from localmin.tasks.readers import images as module
from localmin.tasks.readers.images import ImageForm, decode, survey

if TYPE_CHECKING:
    from tests.tasks.readers.conftest import Pictures

FORM = ImageForm(16, 16, 3, fits=False)


class Encoded:
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def describe(self, index: int) -> str:
        return f"picture {index}"


def quiet(count: int) -> None:
    del count


def decode_all(items: list[Any], form: ImageForm = FORM) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.concatenate(list(decode(Encoded(items), form, on_chunk=quiet)))


def look(items: list[Any], size: tuple[int, int] | None = None) -> ImageForm:
    return survey(Encoded(items), size=size, on_chunk=quiet)


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_pixels_arrive_unchanged_in_order_and_channels_first(pictures: Pictures) -> None:
    drawn = [pictures.draw(i, height=5, width=9) for i in range(200)]
    found = decode_all([encode(picture) for picture in drawn], ImageForm(5, 9, 3, fits=False))
    expected = np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in drawn])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("threshold", [0, 2**40])
def test_threads_do_not_change_the_result(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch, threshold: int
) -> None:
    monkeypatch.setattr(module, "_MIN_BYTES_FOR_THREADS", threshold)
    monkeypatch.setattr(module, "_MAX_CHUNK", 3)
    items = [pictures.png(i) for i in range(50)]
    expected = [np.asarray(Image.open(io.BytesIO(item))).transpose(2, 0, 1) for item in items]
    np.testing.assert_array_equal(decode_all(items), np.stack(expected))


def test_jpeg_files_are_read_from_paths(pictures: Pictures, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    pictures.draw(0).save(path, quality=95)
    expected = np.asarray(Image.open(path)).transpose(2, 0, 1)
    np.testing.assert_array_equal(decode_all([path])[0], expected)


def test_grey_only_if_every_image_is(pictures: Pictures) -> None:
    grey = [pictures.png(i, mode=mode) for i, mode in enumerate(["L", "1", "LA"])]
    assert look(grey).channels == 1
    assert look([*grey, pictures.png(3)]).channels == 3
    both = decode_all([grey[0], pictures.png(3)])
    np.testing.assert_array_equal(both[0, 0], both[0, 1])


def test_the_most_common_size_is_chosen_and_the_first_of_equals(pictures: Pictures) -> None:
    def sized(*sides: int) -> list[bytes]:
        return [pictures.png(i, height=side, width=side + 1) for i, side in enumerate(sides)]

    assert look(sized(8, 8, 8)) == ImageForm(8, 9, 3, fits=False)
    assert look(sized(4, 8, 6, 8)) == ImageForm(8, 9, 3, fits=True)
    assert look(sized(9, 4, 8, 4)) == ImageForm(4, 5, 3, fits=True)
    assert look(sized(6, 4, 4, 6)) == ImageForm(6, 7, 3, fits=True)
    assert look(sized(8, 8), size=(5, 3)) == ImageForm(5, 3, 3, fits=True)


def test_another_size_is_an_error_unless_it_may_be_fitted(pictures: Pictures) -> None:
    items = [pictures.png(0), pictures.png(1, height=10, width=12)]
    with pytest.raises(DataError, match="picture 1 has 12 x 10 pixels, the training images have 16 x 16"):
        decode_all(items)
    assert decode_all(items, ImageForm(16, 16, 3, fits=True)).shape == (2, 3, 16, 16)


def test_fitting_keeps_proportions_and_cuts_around_the_centre() -> None:
    # Three stripes, each 20 wide: only the middle one is left in a square.
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 255
    found = decode_all([encode(Image.fromarray(pixels))], ImageForm(10, 10, 3, fits=True))
    assert found.shape == (1, 3, 10, 10)
    assert found[..., 1:-1].min() == 255
    # The other way up: twice as high as wide.
    tall = decode_all([encode(Image.fromarray(pixels[:, :10].copy()))], ImageForm(10, 10, 3, fits=True))
    assert tall.max() == 0


def test_a_large_jpeg_is_fitted_close_to_the_exact_average() -> None:
    gradient = np.linspace(0, 255, 512).astype(np.uint8)
    picture = Image.fromarray(np.broadcast_to(gradient, (512, 512)).copy())
    found = decode_all([encode(picture, "JPEG", quality=95)], ImageForm(16, 16, 1, fits=True))
    expected = gradient.reshape(16, 32).mean(1)
    assert np.abs(found[0, 0] - expected).max() < 4


def test_a_jpeg_is_not_decoded_smaller_than_needed() -> None:
    # Stripes of 4 pixels: at an eighth of the size nothing but grey would be left of them.
    stripes = np.tile(np.repeat(np.array([0, 255], np.uint8), 4), (512, 64))
    item = encode(Image.fromarray(stripes), "JPEG", quality=95)
    found = decode_all([item], ImageForm(256, 256, 1, fits=True)).astype(int)
    assert np.abs(np.diff(found[0, 0], axis=1)).max() > 150


def test_transparent_parts_become_white() -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2, :, 3] = 255
    found = decode_all([encode(Image.fromarray(pixels))], ImageForm(4, 4, 3, fits=False))
    assert found[0, :, :2].max() == 0
    assert found[0, :, 2:].min() == 255
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30, 200, 0, 0])
    palette.putpixel((1, 2), 1)
    shown = decode_all([encode(palette, transparency=0)], ImageForm(4, 4, 3, fits=False))
    assert shown[0, :, 2, 1].tolist() == [200, 0, 0]
    assert shown[0, :, 0, 0].tolist() == [255, 255, 255]
    opaque = decode_all([encode(palette)], ImageForm(4, 4, 3, fits=False))
    assert opaque[0, :, 0, 0].tolist() == [10, 20, 30]


def test_sixteen_bit_grey_keeps_its_range() -> None:
    values = np.array([[0, 255, 256], [1000, 40_000, 65_535]], np.uint16)
    item = encode(Image.fromarray(values))
    assert look([item]).channels == 1
    found = decode_all([item], ImageForm(2, 3, 1, fits=False))
    np.testing.assert_array_equal(found[0, 0], values // 256)


def test_floating_point_images_are_refused() -> None:
    item = encode(Image.fromarray(np.ones((16, 16), np.float32)), "TIFF")
    with pytest.raises(DataError, match="picture 0 has pixels that are neither 8-bit nor 16-bit"):
        decode_all([item])


def test_photographs_are_turned_upright() -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn by a quarter, clockwise
    item = encode(Image.fromarray(pixels), "JPEG", quality=100, subsampling=0, exif=exif)
    assert look([item]) == ImageForm(16, 8, 3, fits=False)
    found = decode_all([item], ImageForm(16, 8, 3, fits=False))
    assert found[0, :, :7].max() < 30
    assert found[0, :, 9:].min() > 225


def damaged(pictures: Pictures) -> dict[str, Any]:
    whole = encode(pictures.draw(0), "JPEG")
    return {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "no image": b"hello, I am a text",
        "missing file": Path("nowhere.png"),
        "half a png": pictures.png(0)[:60],
    }


@pytest.mark.parametrize("kind", ["truncated", "empty", "no image", "missing file", "half a png"])
def test_an_unreadable_image_is_named(pictures: Pictures, kind: str) -> None:
    items = [pictures.png(i) for i in range(150)]
    items[137] = damaged(pictures)[kind]
    # A second one later on does not matter: the first is named.
    items[149] = b"x"
    with pytest.raises(DataError, match=r"picture 137 is not a readable image \(.+\); remove") as error:
        decode_all(items)
    assert "\n" not in str(error.value)
    if kind not in ("truncated", "half a png"):
        with pytest.raises(DataError, match="picture 137"):
            look(items)


def test_a_missing_image_is_named(pictures: Pictures) -> None:
    with pytest.raises(DataError, match="picture 1 has no image"):
        decode_all([pictures.png(0), None])


def test_a_decompression_bomb_is_refused(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"picture 0 is not a readable image .*decompression bomb"):
        decode_all([pictures.png(0)])


def test_running_out_of_memory_is_not_called_a_damaged_image(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "_pixels", exhausted)
    with pytest.raises(MemoryError):
        decode_all([pictures.png(0)])


def test_every_image_is_counted(pictures: Pictures) -> None:
    seen: list[int] = []
    images = Encoded([pictures.png(i) for i in range(130)])
    survey(images, size=None, on_chunk=seen.append)
    assert (sum(seen), max(seen)) == (130, 64)
    seen.clear()
    list(decode(images, FORM, on_chunk=seen.append))
    assert sum(seen) == 130


def test_large_images_come_in_small_chunks(pictures: Pictures) -> None:
    item = pictures.png(0, height=600, width=700)
    form = ImageForm(600, 700, 3, fits=False)
    chunks = list(decode(Encoded([item] * 5), form, on_chunk=quiet))
    assert [len(chunk) for chunk in chunks] == [3, 2]
    assert form.num_bytes == 600 * 700 * 3
    assert form.shape == (3, 600, 700)
