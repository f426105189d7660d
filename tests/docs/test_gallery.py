"""The gallery: every script draws, in a small size, and the page is what the list of pictures says."""

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "examples" / "gallery").glob("*.py"))
LARGEST = 150_000


@pytest.fixture(scope="module")
def gallery(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("docs/gallery/draw.py")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_draws(gallery: ModuleType, name: str, tmp_path: Path) -> None:
    (picture,) = [one for one in gallery.pictures() if one.name == name]
    sentence = gallery.draw(picture, quick=True, folder=tmp_path)
    assert sentence.endswith(".")
    assert len(ElementTree.parse(tmp_path / f"{name}.svg").getroot()) > 3


def test_the_page_holds_every_picture(gallery: ModuleType) -> None:
    assert sorted(picture.name for picture in gallery.pictures()) == SCRIPTS
    sentences = gallery.written_sentences()
    assert sorted(sentences) == SCRIPTS
    assert gallery.PAGE.read_text(encoding="utf-8") == gallery.page(sentences), "run make gallery"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_picture_is_small_and_fetches_nothing(name: str) -> None:
    text = (ROOT / "docs" / "gallery" / f"{name}.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert len(text) < LARGEST
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)


def test_the_picture_of_the_records_is_up_to_date(gallery: ModuleType, tmp_path: Path) -> None:
    (picture,) = [one for one in gallery.pictures() if one.name == "gap_and_cost"]
    assert gallery.draw(picture, folder=tmp_path) == gallery.written_sentences()["gap_and_cost"]
    drawn = (tmp_path / "gap_and_cost.svg").read_text(encoding="utf-8")
    shown = (gallery.HERE / "gap_and_cost.svg").read_text(encoding="utf-8")
    assert drawn == shown, "run python docs/gallery/draw.py gap_and_cost"
