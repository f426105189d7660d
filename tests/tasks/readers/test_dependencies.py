from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from localmin.errors import MissingDependencyError
from localmin.tasks import open_source
from localmin.tasks.readers.dependencies import require


def test_an_installed_module_is_given() -> None:
    assert require("pyarrow.csv", "this").__name__ == "pyarrow.csv"


@pytest.mark.parametrize(
    ("name", "module", "library"),
    [
        ("data.csv", "pyarrow", "pyarrow"),
        ("data.parquet", "pyarrow", "pyarrow"),
        ("images", "PIL.Image", "pillow"),
    ],
)
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, library: str
) -> None:
    if name == "images":
        for label in ("a", "b"):
            (tmp_path / name / label).mkdir(parents=True)
            (tmp_path / name / label / "1.png").write_bytes(b"x")
    else:
        (tmp_path / name).write_text("x,label\n1,2\n")
    # What the import system does for a module that is not there.
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=library) as error:
        open_source(str(tmp_path / name))
    assert "pip install 'localmin[data]'" in str(error.value)
    assert "\n" not in str(error.value)


def test_npz_needs_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((8, 2)), y=np.arange(8) % 2)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    assert len(open_source(str(tmp_path / "a.npz")).examples) == 8
