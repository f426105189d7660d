"""Every Python block in the README and the documentation runs, page by page, in an empty folder.

A page whose blocks need a user's own files says so with ``<!-- blocks need files -->`` in front of a block.
"""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIALS = ROOT / "docs" / "tutorials"
BLOCK = re.compile(r"(<!-- blocks need files -->\n)?```python\n(.*?)```", re.DOTALL)


def blocks(page: Path) -> list[str]:
    """Take the blocks that can run anywhere."""
    return [code for marked, code in BLOCK.findall(page.read_text()) if not marked]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks(page)],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_blocks_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for number, code in enumerate(blocks(page), start=1):
        if code.startswith(">>>"):
            run_session(code, names, f"{page.name}, block {number}")
        else:
            exec(compile(code, f"{page.name}, block {number}", "exec"), names)
    assert len(names) > 1


def run_session(code: str, names: dict[str, object], title: str) -> None:
    """Run an interactive session and compare what it prints."""
    session = doctest.DocTestParser().get_doctest(code, names, title, None, 0)
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(session, clear_globs=False)
    assert runner.failures == 0
    names.update(session.globs)


def test_pages_have_blocks() -> None:
    assert sum(len(blocks(page)) for page in PAGES) >= 5


@pytest.mark.parametrize("page", sorted(TUTORIALS.glob("*.md")), ids=lambda page: page.stem)
def test_what_a_tutorial_prints_is_shown_under_it(page: Path) -> None:
    steps = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
    for code, output in steps.findall(page.read_text()):
        assert ("print(" in code) == bool(output), f"run python docs/tutorials/record.py; block: {code[:60]}"
