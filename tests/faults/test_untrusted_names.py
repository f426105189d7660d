"""Names from data and folders: shown as they are, never obeyed by a browser or a spreadsheet."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from localmin.sampling.drop_report import DroppedExample, DropReport

Program = Callable[..., Any]

# An element that none of our pages has, with an attribute that would run code.
EVIL = "<marquee onstart=alert(1)>"
FORMULA = '=HYPERLINK("http://example.org","x")'
NETWORK = """
from torch import nn

def make(num_classes):
    return nn.Sequential(nn.Linear(4, 30), nn.ReLU(), nn.Linear(30, num_classes))
"""


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def check_page(path: Path, *shown: str) -> None:
    found = Page(path.read_text(encoding="utf-8"))
    assert "marquee" not in found.tags
    assert found.handlers == []
    assert found.tags.count("script") <= 1
    assert not [link for link in found.links if link.lower().startswith(("javascript:", "http"))]
    for text in shown:
        assert text in found.text


@pytest.fixture
def evil_data(tmp_path: Path) -> str:
    """A table whose name, columns and labels are markup, and a network in a file named likewise."""
    source = random.Random(0)
    names = (EVIL, FORMULA, "a | b")
    rows = []
    for i in range(240):
        label = i % 3
        shown = source.randrange(3) if source.random() < 0.3 else label
        values = [source.gauss(2.0 * (column == label), 1.0) for column in range(4)]
        rows.append([*values, names[shown]])
    path = tmp_path / f"{EVIL}.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["a", "b", EVIL, "d", "label"], *rows])
    (tmp_path / f"{EVIL}.py").write_text(NETWORK)
    return path.name


def test_pages_and_tables_of_a_whole_run(program: Program, evil_data: str) -> None:
    arguments = ("--model", f"{EVIL}.py:make", "--epochs", "4", "--batch-size", "16", "--points", "30")
    ended = program("run", evil_data, *arguments, "--out", EVIL)
    assert ended.code == 0, ended.err
    run = Path(EVIL)
    assert program("certify", EVIL, "--max-hvps", "20", "--examples", "30").code in (0, 1)
    assert program("compare", EVIL, EVIL, "--out", f"{EVIL}2").code == 0
    check_page(run / "report.html", EVIL, FORMULA, "a | b")
    check_page(run / "certificate.html")
    check_page(Path(f"{EVIL}2", "comparison.html"), EVIL)
    text = (run / "dropped.md").read_text()
    assert "<" not in text.replace("\\<", "")
    with (run / "dropped.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert len(rows) > 1
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "\t"))]
    assert {cell for row in rows for cell in row if "HYPERLINK" in cell} <= {f"'{FORMULA}"}


def test_the_page_of_claims(program: Program) -> None:
    assert program("reproduce", "dl-nonlinear", "--quick", "--out", EVIL).code == 0
    check_page(Path(EVIL, "claims.html"))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("-1.5", "-1.5"),
        ("+2e3", "+2e3"),
        ("cat/1.png", "cat/1.png"),
        ("", ""),
    ],
)
def test_a_spreadsheet_computes_nothing_and_numbers_stay_numbers(name: str, written: str) -> None:
    example = DroppedExample(0, name, name, name, 0.0, -1.0, 0.5)
    (row,) = csv.DictReader(DropReport(0.05, 1, 10, (example,)).to_csv().splitlines())
    assert (row["id"], row["given_label"], row["predicted_label"]) == (written, written, written)
    assert row["loss"] == "-1.0"


def test_an_error_line_sends_nothing_to_the_terminal_but_text(program: Program) -> None:
    line = program("search", "\x1b[2Jnothing\x07.csv").complaint()
    assert line.isprintable()
    assert "[2Jnothing" in line
