"""Run the Python blocks of tutorials and write what they print into the ``text`` blocks under them.

    python docs/tutorials/record.py [PAGE.md ...]

A block of text right under a block of Python is its output. Without pages, all of this folder are recorded.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
STEP = re.compile(r"```python\n(?P<code>.*?)```(?:\n\n```text\n(?P<output>.*?)```)?", re.DOTALL)


def record(page: str, name: str) -> str:
    """Run the blocks of a page, one after another, and put their output in."""
    names: dict[str, object] = {"__name__": "__main__"}

    def run(found: re.Match[str]) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(found["code"], name, "exec"), names)
        code = f"```python\n{found['code']}```"
        if found["output"] is None:
            if printed.getvalue():
                sys.exit(f"{name}: a block prints, and there is no text block under it:\n{found['code']}")
            return code
        return f"{code}\n\n```text\n{printed.getvalue()}```"

    return STEP.sub(run, page)


def main(names: list[str]) -> None:
    """Record pages in an empty folder each."""
    pages = [Path(name).resolve() for name in names] or sorted(HERE.glob("*.md"))
    for page in pages:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            sys.path.insert(0, os.getcwd())
            text = record(page.read_text(encoding="utf-8"), page.name)
        page.write_text(text, encoding="utf-8")
        print(f"recorded {page.name}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
