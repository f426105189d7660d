"""The wheel and the source distribution: all that is needed, and nothing else."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ROOT / "src" / "localmin"
_JUNK = re.compile(
    r"__pycache__|\.pyc$|\.part$|\.venv|\.git/|_build|generated/|runs/|\.cache|~$|\.ipynb_checkpoints"
)


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build as pip does, without its network."""
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    code = f"import hatchling.build, sys; print(hatchling.build.build_{kind}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=source, capture_output=True, text=True, check=True
    )
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


def names_in(path: Path) -> set[str]:
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    with tarfile.open(path) as archive:
        # Below the folder that is named for the version.
        return {name.partition("/")[2] for name in archive.getnames()}


def test_the_wheel_holds_the_package_and_what_it_reads(wheel: Path) -> None:
    names = names_in(wheel)
    files = {path for path in CODE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    expected = {str(path.relative_to(CODE.parent)) for path in files}
    assert "localmin/py.typed" in expected
    assert "localmin/reports/templates/page.html" in expected
    code = {name for name in names if name.startswith("localmin/")}
    assert code == expected
    others = names - code
    assert all(re.match(r"localmin-[0-9.]+\.dist-info/", name) for name in others)
    assert any(name.endswith("licenses/LICENSE") for name in others)


def test_the_wheel_says_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        (entries,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        about = email.message_from_bytes(archive.read(name))
        assert b"localmin = localmin.cli:main" in archive.read(entries)
    assert about["Requires-Python"] == ">=3.11"
    assert about["License-Expression"] == "Apache-2.0"
    needed = about.get_all("Requires-Dist") or []
    plain = {re.split(r"[^A-Za-z0-9-]", line)[0] for line in needed if "extra ==" not in line}
    assert {"torch", "numpy", "optuna", "typer"} <= plain
    assert not plain & {"pytest", "ray", "lightning", "transformers", "torchvision"}
    assert all(">=" in line for line in needed), "a dependency without a lower bound"


def test_the_source_distribution_can_be_tested_and_built_from(
    sdist: Path, tmp_path: Path, wheel: Path
) -> None:
    names = names_in(sdist)
    assert not [name for name in names if _JUNK.search(name)]
    tops = {name.partition("/")[0] for name in names if name} - {"PKG-INFO"}
    known = {
        "src", "tests", "docs", "examples", "benchmarks", "LICENSE", "Makefile", "constraints.txt",
        "pyproject.toml", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
        "CITATION.cff", ".ci", ".gitignore",
    }  # fmt: skip
    assert tops <= known
    assert "tests/conftest.py" in names
    assert sdist.stat().st_size < 20_000_000
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    again = build("wheel", folder, tmp_path)
    assert names_in(again) == names_in(wheel)


def closure(names: list[str]) -> set[str]:
    """Follow the installed distributions from these to all that they need, but not through torch."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    left = [Requirement(name) for name in names]
    while left:
        one = left.pop()
        key = re.sub(r"[-_.]+", "-", one.name).lower()
        if key in found:
            continue
        found.add(key)
        if key == "torch":  # which build of it is taken is said by constraints.txt
            continue
        try:
            needed = [Requirement(line) for line in requires(one.name) or []]
        except PackageNotFoundError:
            continue
        extras = one.extras or {""}
        left += [
            r for r in needed if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in extras)
        ]
    return found


def test_no_extra_pulls_torchvision_or_cuda() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, lines in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        needed = closure(lines)
        bad = [one for one in needed if one.startswith(("nvidia-", "torchvision", "torchaudio", "cuda-"))]
        assert not bad, (name, bad)


def test_every_lower_bound_can_be_read_by_the_job_that_tests_them() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "oldest.py")], capture_output=True, text=True, check=True
    )
    lines = done.stdout.split()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9.]+", line) for line in lines)
    assert sum(line.startswith("torch==") for line in lines) == 1
    assert len(lines) >= 14


@pytest.mark.slow
def test_the_wheel_works_where_nothing_else_of_the_project_is(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "clean")], check=True)
    (site,) = (tmp_path / "clean").glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # What it needs is taken from here; without site hooks, so that an editable install of ours is not.
    path = "\n".join(entry for entry in sys.path if entry.endswith("-packages"))
    (site / "dependencies.pth").write_text(path)
    python = str(tmp_path / "clean" / "bin" / "python")
    where = [python, "-c", "import localmin; print(localmin.__file__)"]
    run = {"cwd": tmp_path, "capture_output": True, "text": True, "env": {"HOME": str(tmp_path)}}
    done = subprocess.run(where, check=True, **run)  # type: ignore[call-overload]
    assert str(tmp_path) in done.stdout
    for command in (["--version"], ["selfcheck"], ["train", "digits", "--epochs", "1", "--out", "run"]):
        done = subprocess.run([python, "-m", "localmin", *command], check=False, **run)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr
    consumer = tmp_path / "consumer.py"
    consumer.write_text(
        "import localmin\nfrom localmin.tasks import Task, digits\n\n"
        "task: Task = digits(seed=0)\nresult = localmin.search(task, preset='quick')\n"
        "accepted: bool = result.guard.accepted\nreveal_type(result)\n"
    )
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, str(consumer)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "localmin.sampling.result.SearchResult" in checked.stdout
    assert checked.returncode == 0, checked.stdout
