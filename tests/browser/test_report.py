"""The report as a reader meets it: wide and narrow, light and dark, with a pointer and with keys alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser


class Visit:
    """A page that is open, and what it complained about or asked for."""

    def __init__(self, browser: Any, report: Path, *, width: int = 1280, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(report.as_uri())

    def column(self, number: int) -> list[str]:
        """Text of a column of the sortable table."""
        cells = self.page.locator(f"table.sortable tbody tr > :nth-child({number})").all_text_contents()
        return [str(cell).strip() for cell in cells]


@pytest.fixture
def visit(browser: Any, report: Path) -> Iterator[Visit]:
    opened = Visit(browser, report)
    yield opened
    opened.context.close()


def test_no_complaints_and_nothing_asked_for(visit: Visit, report: Path) -> None:
    visit.page.locator("summary").click()
    visit.page.locator("table.sortable button").first.click()
    assert visit.complaints == []
    assert [url for url in visit.requests if not url.startswith("data:")] == [report.as_uri()]
    assert visit.page.title() == "images · localmin report"


def test_style_is_applied_and_figures_are_drawn(visit: Visit) -> None:
    assert (
        visit.page.evaluate("getComputedStyle(document.querySelector('.bar.searched')).fill")
        == "rgb(11, 107, 120)"
    )
    assert visit.page.locator("svg.wide").first.bounding_box()["width"] > 500
    assert not visit.page.locator("svg.narrow").first.is_visible()


def test_table_is_sorted_with_keys_alone(visit: Visit) -> None:
    head = visit.page.locator("table.sortable thead th")
    loss = head.filter(has_text="loss")
    before = [float(cell) for cell in visit.column(6)]
    assert before == sorted(before, reverse=True)
    assert loss.get_attribute("aria-sort") == "descending"
    loss.locator("button").focus()
    visit.page.keyboard.press("Enter")
    after = [float(cell) for cell in visit.column(6)]
    assert after == sorted(before)
    assert after != before
    assert loss.get_attribute("aria-sort") == "ascending"


def test_sorting_by_text_moves_the_mark(visit: Visit) -> None:
    head = visit.page.locator("table.sortable thead th")
    example = head.filter(has_text="example")
    example.locator("button").focus()
    visit.page.keyboard.press("Space")
    names = visit.column(2)
    assert names == sorted(names)
    assert example.get_attribute("aria-sort") == "ascending"
    assert visit.page.locator("[aria-sort]").count() == 1
    visit.page.keyboard.press("Space")
    assert visit.column(2) == sorted(names, reverse=True)


def test_first_key_leads_to_the_result(visit: Visit) -> None:
    visit.page.keyboard.press("Tab")
    skip = visit.page.locator(".skip")
    assert skip.evaluate("element => element === document.activeElement")
    assert skip.bounding_box()["x"] >= 0
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_page_never_scrolls_sideways(browser: Any, report: Path, width: int) -> None:
    visit = Visit(browser, report, width=width)
    visit.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    shown, hidden = ("svg.narrow", "svg.wide") if width < 690 else ("svg.wide", "svg.narrow")
    assert visit.page.locator(shown).first.is_visible()
    assert not visit.page.locator(hidden).first.is_visible()
    visit.context.close()


def test_dark_readers_get_dark_paper_and_light_ink(browser: Any, report: Path) -> None:
    brightness = {}
    for scheme in ("light", "dark"):
        visit = Visit(browser, report, scheme=scheme)
        for name in ("backgroundColor", "color"):
            colour = visit.page.evaluate(f"getComputedStyle(document.body).{name}")
            brightness[scheme, name] = sum(int(part) for part in colour.strip("rgb()").split(","))
        visit.context.close()
    assert brightness["light", "backgroundColor"] > 700 > 200 > brightness["dark", "backgroundColor"]
    assert brightness["light", "color"] < 200 < 600 < brightness["dark", "color"]


def test_thumbnails_are_seen(visit: Visit) -> None:
    pictures = visit.page.locator("img")
    assert pictures.count() > 10
    assert visit.page.evaluate(
        "[...document.images].every(image => image.complete && image.naturalWidth === 8)"
    )
    assert pictures.first.bounding_box()["width"] == 72


def test_paper_shows_wide_figures_and_whole_tables(visit: Visit) -> None:
    visit.page.emulate_media(media="print")
    visit.page.set_viewport_size({"width": 672, "height": 900})
    assert visit.page.locator("svg.wide").first.is_visible()
    assert not visit.page.locator("nav").is_visible()
    assert visit.page.locator("table.sortable tbody tr:visible").count() <= 25
