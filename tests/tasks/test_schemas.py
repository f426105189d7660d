from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localmin.errors import RunFolderError
from localmin.tasks import schemas
from localmin.tasks.storage import read_json, write_json


def test_what_is_written_is_read_without_its_version(tmp_path: Path) -> None:
    schemas.write_versioned(tmp_path / "a.json", "task", {"seed": 3})
    assert read_json(tmp_path / "a.json") == {"schema": schemas.SCHEMAS["task"], "seed": 3}
    assert schemas.read_versioned(tmp_path / "a.json", "task") == {"seed": 3}


def test_files_from_before_versions_are_read(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"seed": 3})
    assert schemas.read_versioned(tmp_path / "a.json", "task") == {"seed": 3}


def test_older_files_go_through_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(content: dict[str, Any]) -> dict[str, Any]:
        return {"start": content["seed"]}

    def doubled(content: dict[str, Any]) -> dict[str, Any]:
        return {"start": 2 * content["start"]}

    schemas.write_versioned(tmp_path / "a.json", "task", {"seed": 3})
    monkeypatch.setitem(schemas.SCHEMAS, "task", 3)
    monkeypatch.setitem(schemas._STEPS, ("task", 1), renamed)
    monkeypatch.setitem(schemas._STEPS, ("task", 2), doubled)
    assert schemas.read_versioned(tmp_path / "a.json", "task") == {"start": 6}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"schema": 99}, "newer localmin"),
        ({"schema": "1"}, "damaged"),
        ({"schema": True}, "damaged"),
        ([], "object"),
    ],
)
def test_newer_and_damaged_files_are_refused(tmp_path: Path, content: Any, words: str) -> None:
    write_json(tmp_path / "a.json", content)
    with pytest.raises(RunFolderError, match=words):
        schemas.read_versioned(tmp_path / "a.json", "task")


def test_every_version_can_be_reached() -> None:
    assert {
        (kind, step)
        for kind, last in schemas.SCHEMAS.items()
        for step in range(int(kind in schemas._ALWAYS_VERSIONED), last)
    } == set(schemas._STEPS)


@pytest.mark.parametrize("kind", ["policy", "search", "claims"])
def test_a_version_that_was_always_there_must_be_there(kind: str) -> None:
    with pytest.raises(RunFolderError, match=r"a\.json is damaged \(schema 0\)"):
        schemas.current({"seed": 3}, kind, name="a.json")
    assert schemas.current(schemas.versioned(kind, {"seed": 3}), kind, name="a.json") == {"seed": 3}
