import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from localmin.charts import Chart, Series
from localmin.errors import InputError
from localmin.reports.plots import draw_figure, standalone_svg, write_svg

CHART = Chart("a", "Title <b>", "x", "y", (Series("s & t", (0, 1), (1.0, 2.0)),), note="What it shows.")


def test_a_picture_is_a_document_of_its_own(tmp_path) -> None:  # type: ignore[no-untyped-def]
    text = write_svg(CHART, tmp_path / "a.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in text
    assert "What it shows." in text
    # Every colour that a rule asks for is defined in the file, and nothing is fetched.
    used, defined = set(re.findall(r"var\((--[\w-]+)\)", text)), set(re.findall(r"(--[\w-]+):", text))
    assert used <= defined
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)


def test_equal_figures_give_equal_bytes() -> None:
    assert standalone_svg(CHART) == standalone_svg(draw_figure(CHART))


def test_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="wide"):
        standalone_svg(Markup("<p>no picture</p>"))
