"""Files that are cut short, overwritten or made up: read, or refused with one of our errors."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from localmin.cli import main
from localmin.errors import LocalminError
from localmin.sampling.policy import Policy
from localmin.tasks import open_source
from localmin.tasks.trained import open_trained

QUIET = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    print_blob=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def a_csv() -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["width", "height", "label"])
    writer.writerows([[i * 0.5, i % 7, "ab"[i % 2]] for i in range(60)])
    return stream.getvalue().encode()


def an_npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.arange(120, dtype=np.float32).reshape(60, 2), y=np.arange(60) % 3)
    return stream.getvalue()


def a_png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 255 - shade, 0)).save(stream, "PNG")
    return stream.getvalue()


def a_parquet() -> bytes:
    stream = io.BytesIO()
    images = [a_png(4 * i) for i in range(40)]
    pyarrow.parquet.write_table(pyarrow.table({"image": images, "label": [i % 2 for i in range(40)]}), stream)
    return stream.getvalue()


@contextmanager
def refused_with(words: str) -> Iterator[None]:
    """Let one of our errors pass if it has these words; any other error fails the test."""
    message = words or "-"
    try:
        yield
    except LocalminError as error:
        message = str(error)
    assert message
    assert words in message


FILES = {"table.csv": a_csv(), "arrays.npz": an_npz(), "images.parquet": a_parquet()}


@st.composite
def mutations(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut, overwrite or insert at random places."""
    kind = draw(st.sampled_from(["cut", "overwrite", "insert", "repeat"]))
    place = draw(st.integers(0, len(content) - 1))
    if kind == "cut":
        return content[:place]
    if kind == "repeat":
        return content[:place] + content[place : place + draw(st.integers(1, 64))] * 2 + content[place:]
    junk = draw(st.binary(min_size=1, max_size=16))
    return content[:place] + junk + content[place + (len(junk) if kind == "overwrite" else 0) :]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_data_file_is_read_or_refused(name: str, tmp_path: Path) -> None:
    @QUIET
    @given(mutations(FILES[name]))
    def check(content: bytes) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        with refused_with(""):
            source = open_source(str(path), label=None if name.endswith("npz") else "label")
            assert len(source.examples) > 0

    check()


def test_a_damaged_image_in_a_folder_is_named(tmp_path: Path) -> None:
    for i in range(12):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(a_png(10 * i))

    @QUIET
    @given(mutations(a_png(30)))
    def check(content: bytes) -> None:
        (tmp_path / "photos" / "b" / "3.png").write_bytes(content)
        with refused_with("3.png"):
            open_source(str(tmp_path / "photos"))

    check()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the way to every value inside nested JSON."""
    found = [path] if path else []
    items = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in items:
        found += places(value, (*path, key))
    return found


def with_value(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = json.loads(json.dumps(content))
    inside = changed
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return changed


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "run"
    with pytest.raises(SystemExit) as stop:
        main(
            ["search", "digits", "--noise", "0.4", "--epochs", "1", "--preset", "quick", "--out", str(folder)]
        )
    assert stop.value.code == 0
    return folder


@pytest.mark.parametrize("name", ["policy.json", "task.json", "run.json", "model.json"])
def test_a_json_file_with_any_value_replaced_is_read_or_refused(name: str, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "copy")
    content = json.loads((run / name).read_text())

    @QUIET
    @given(st.sampled_from(places(content)), JSON_VALUES)
    def check(path: tuple[Any, ...], value: Any) -> None:
        (tmp_path / "copy" / name).write_text(json.dumps(with_value(content, path, value)))
        with refused_with(""):
            if name == "policy.json":
                Policy.load(tmp_path / "copy" / name)
            else:
                open_trained(tmp_path / "copy")

    check()


def test_a_report_of_a_damaged_result_is_written_or_refused_in_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run, tmp_path / "copy")
    content = json.loads((run / "result.json").read_text())

    @QUIET
    @given(st.sampled_from(places(content)), JSON_VALUES)
    def check(path: tuple[Any, ...], value: Any) -> None:
        (tmp_path / "copy" / "result.json").write_text(json.dumps(with_value(content, path, value)))
        assert ends_well(capsys, "report", str(tmp_path / "copy"))

    check()


@pytest.mark.parametrize("name", ["features.safetensors", "result.json", "model.safetensors"])
def test_a_report_of_damaged_files_is_written_or_refused_in_one_line(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run, tmp_path / "copy")

    @settings(QUIET, max_examples=25)
    @given(mutations((run / name).read_bytes()))
    def check(content: bytes) -> None:
        (tmp_path / "copy" / name).write_bytes(content)
        assert ends_well(capsys, "report", str(tmp_path / "copy"))

    check()


def test_a_search_in_a_damaged_folder_goes_on_or_is_refused_in_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = sorted(path.relative_to(run) for path in (run / "stages").iterdir())
    arguments = ("search", "digits", "--noise", "0.4", "--epochs", "1", "--preset", "quick", "--out")

    @settings(QUIET, max_examples=12)
    @given(st.sampled_from(stages), st.data())
    def check(stage: Path, data: st.DataObject) -> None:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(run, tmp_path / "copy")
        (tmp_path / "copy" / stage).write_bytes(data.draw(mutations((run / stage).read_bytes())))
        assert ends_well(capsys, *arguments, str(tmp_path / "copy"))

    check()


def ends_well(capsys: pytest.CaptureFixture[str], *arguments: str) -> bool:
    """Tell whether a command was done, or was refused with one line."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    _, err = capsys.readouterr()
    return stop.value.code == 0 or (stop.value.code == 2 and err.count("\n") == 1 and len(err) > 20)
