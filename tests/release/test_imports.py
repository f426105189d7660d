"""What starts quickly, and what is loaded only when it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "scipy", "sklearn", "optuna", "jinja2", "safetensors", "rich.progress")
SHOW = f"print(*(name for name in {HEAVY!r} if name in sys.modules))"


def loaded_by(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{SHOW}"], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1].split()


def test_the_package_loads_nothing_before_a_name_is_used() -> None:
    assert loaded_by("import localmin\nprint()") == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], [], ["search", "--help"], ["certify", "--help"]]
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"from localmin.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit:\n    print()"
    assert loaded_by(code) == []
