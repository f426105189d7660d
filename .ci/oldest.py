"""Print the lowest version of every dependency that pyproject.toml permits, as constraints for pip.

torch stays at the version of constraints.txt: on PyPI, old ones for Linux are CUDA builds of some gigabytes.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

# Installed at any version: these check the project and are no part of it.
EXTRAS = ("data",)


def main(root: Path) -> None:
    """Print one line a dependency."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(line for e in EXTRAS for line in project["optional-dependencies"][e]),
    ]
    for line in wanted:
        found = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[a-z]+\])?>=([0-9.]+)(?:,<[0-9.]+)?", line)
        if found is None:
            sys.exit(f"{line!r} in pyproject.toml has no lower bound of the form name>=version")
        name, lowest = found.groups()
        if name != "torch":
            print(f"{name}=={lowest}")
    for line in (root / "constraints.txt").read_text().splitlines():
        if line.startswith("torch=="):
            print(line)


if __name__ == "__main__":
    main(Path(__file__).parents[1])
