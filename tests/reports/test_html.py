from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from localmin.reports import write_report
from localmin.reports.quantities import Result

SECTIONS = ["What it bought", "How often an example is drawn", "The examples it leaves out", "The search"]


class _Reader(HTMLParser):
    """Collects what the tests ask about, and checks that elements are closed in order."""

    void = frozenset({"meta", "link", "img", "br", "input"})
    svg = frozenset({"line", "rect", "circle", "path", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.void:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.svg
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def close(self) -> None:
        super().close()
        assert self._open == []


def read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader


def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy", ignore=shutil.ignore_patterns("stages", "seed-*")))


def bend(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / "result.json").read_text())
    for key, value in changes.items():
        target: Any = content
        *path, last = key.split("__")
        for part in path:
            target = target[int(part)] if isinstance(target, list) else target[part]
        target[last] = value
    (folder / "result.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def page(image_run: Path) -> str:
    return write_report(image_run).read_text(encoding="utf-8")


def test_sections_stand_in_their_order(page: str) -> None:
    places = [
        page.index(f">{title}<") for title in [*SECTIONS, "How this was made", "What the figures do not show"]
    ]
    assert places == sorted(places)
    assert [tag for tag, _ in read(page).elements if tag == "h1"] == ["h1"]


def test_same_files_give_the_same_bytes(image_run: Path) -> None:
    first = write_report(image_run).read_bytes()
    assert write_report(str(image_run)).read_bytes() == first


def test_every_marked_number_is_the_one_in_the_result(seeds_run: Path, image_run: Path) -> None:
    for run in (seeds_run, image_run):
        result = Result(json.loads((run / "result.json").read_text()))
        marked = [a for tag, a in read(write_report(run).read_text()).elements if tag == "data"]
        assert len(marked) > 100
        for attributes in marked:
            stored = result[str(attributes["data-key"])]
            assert attributes["value"] == (stored if isinstance(stored, str) else json.dumps(stored))


def test_nothing_outside_is_asked_for(page: str) -> None:
    for tag, attributes in read(page).elements:
        for name in ("src", "href", "action", "srcset", "poster", "xlink:href", "style"):
            value = attributes.get(name)
            allowed = value is None or value.startswith(("data:", "#")) or value == "dropped.csv"
            assert allowed, (tag, name, value)
    assert not re.search(r"https?://|//cdn|@import|url\(", page)


def test_security_policy_allows_this_style_and_script_alone(page: str) -> None:
    policy = next(a["content"] for _, a in read(page).elements if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        assert len(found) == 1
        digest = base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_names_of_classes_files_and_data_are_text(page: str) -> None:
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(" in page
    assert "a &amp; b" in page
    assert "<b>" not in page
    assert read(page).text.count("images <script>alert('x')</script>") >= 1


def test_figures_have_names_that_exist_once(page: str) -> None:
    elements = read(page).elements
    ids = [a["id"] for _, a in elements if "id" in a]
    assert len(ids) == len(set(ids))
    figures = [a for tag, a in elements if tag == "svg"]
    assert len(figures) == 8  # comparison, curve, plane, search; wide and narrow
    for attributes in figures:
        assert attributes["role"] == "img"
        assert set(str(attributes["aria-labelledby"]).split()) <= set(ids)


def test_pictures_are_inside(page: str, image_run: Path) -> None:
    sources = [str(a["src"]) for tag, a in read(page).elements if tag == "img"]
    shown = load_file(image_run / "features.safetensors")["thumbnails"]
    assert len(sources) == len(shown) + min(12, len(shown))
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_count_of_wrong_labels_is_told(page: str, image_run: Path) -> None:
    report = json.loads((image_run / "result.json").read_text())["per_seed"][0]["drop_report"]
    plain = re.sub(r"<[^>]+>", "", page)
    assert report["num_dropped"] > 0
    assert f"{report['num_dropped_wrong']} of them truly have a wrong label" in plain


def test_page_of_seeds_shows_each_of_them(seeds_run: Path) -> None:
    page = write_report(seeds_run).read_text()
    for seed in (0, 1, 4):
        assert f"seed {seed}</th>" in page
    assert page.count('class="seed searched"') == 2 * 3
    assert "two halves" in page


@pytest.mark.parametrize(
    ("source", "form", "task", "changes", "present", "absent"),
    [
        ("table", "a", {}, {"transform": "cgf"}, "equal parts of the gradient", "mixture"),
        ("table", "b", {}, {}, "factor for the entropy", "in the mixture"),
        ("table", "e", {}, {}, "rank of the loss", "expected draws per epoch</text>"),
        ("table", "d", {"imbalance": 5.0, "noise": 0.0}, {}, "class prior", "truly have a wrong label"),
        ("binary", "a", {}, {}, "rank", "how often they are drawn"),
        ("table", "d", {"noise": 0.0}, {"safe_rule": True}, "data-key", ">oracle<"),
    ],
)
def test_every_kind_of_policy_has_its_page(
    make_run: Callable[..., Path],
    sources: dict[str, Any],
    source: str,
    form: str,
    task: dict[str, Any],
    changes: dict[str, Any],
    present: str,
    absent: str,
) -> None:
    page = write_report(make_run(sources[source], form=form, task=task, **changes)).read_text()
    read(page)
    assert present in page
    assert absent not in page


def test_refused_pick_is_shown_as_such(image_run: Path, tmp_path: Path) -> None:
    folder = copy(image_run, tmp_path)
    bend(
        folder,
        recommendation="uniform",
        per_seed__0__recommendation="uniform",
        per_seed__0__guard={
            "kind": "halves", "accepted": False, "difference": -0.012, "se": 0.02, "epochs": 8.0,
            "reason": "worse",
        },
    )  # fmt: skip
    page = write_report(folder).read_text()
    assert "It was <strong>not</strong> recommended" in page
    assert "would be drawn" in page
    assert "<strong>Refused</strong> (two halves): worse" in page


def test_failed_trials_are_crossed_out(image_run: Path, tmp_path: Path) -> None:
    folder = copy(image_run, tmp_path)
    bend(
        folder,
        per_seed__0__trials__1__status="diverged",
        per_seed__0__trials__1__posterior_mean=None,
        per_seed__0__trials__1__score=0.0,
    )  # fmt: skip
    page = write_report(folder).read_text()
    assert 'class="failed"' in page
    assert 'colspan="3">diverged' in page


def test_search_without_any_success_still_has_a_page(image_run: Path, tmp_path: Path) -> None:
    folder = copy(image_run, tmp_path)
    trials = json.loads((folder / "result.json").read_text())["per_seed"][0]["trials"]
    failed = [trial | {"status": "rejected", "posterior_mean": None} for trial in trials]
    bend(folder, per_seed__0__trials=failed)
    assert "No trial succeeded" in write_report(folder).read_text()


def test_notes_are_shown(image_run: Path, tmp_path: Path) -> None:
    folder = copy(image_run, tmp_path)
    bend(folder, per_seed__0__notes=["scores are <mostly> noise"])
    assert "scores are &lt;mostly&gt; noise" in write_report(folder).read_text()


def test_nothing_dropped_and_no_csv(image_run: Path, tmp_path: Path) -> None:
    folder = copy(image_run, tmp_path)
    (folder / "dropped.csv").unlink()
    assert "dropped.csv" not in write_report(folder).read_text()
    bend(folder, per_seed__0__drop_report__examples=[], per_seed__0__drop_report__num_dropped=0)
    assert "None: every one of the" in write_report(folder).read_text()


def test_fifty_thousand_examples_stay_below_two_megabytes(image_run: Path, tmp_path: Path) -> None:
    folder = copy(image_run, tmp_path)
    arrays = load_file(folder / "features.safetensors")
    n, generator = 50_000, torch.Generator().manual_seed(3)
    pick = torch.randint(0, len(arrays["labels"]), (n,), generator=generator)
    grown = {name: value[pick] for name, value in arrays.items() if name != "thumbnails"}
    grown["features"] = grown["features"] * torch.rand(n, 3, generator=generator, dtype=torch.float64).exp()
    grown["thumbnails"] = torch.randint(0, 256, (60, 3, 96, 96), generator=generator, dtype=torch.uint8)
    save_file(grown, folder / "features.safetensors")
    assert write_report(folder).stat().st_size < 2_000_000
