"""Groups of options: one object for the command, one option each for the user."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer

from localmin.cli import main
from localmin.cli.option_groups import expand_groups
from localmin.cli.options import DataOptions, RecipeOptions
from localmin.errors import InputError
from localmin.tasks.request import TaskRequest


@dataclass(frozen=True)
class Paint:
    color: Annotated[str, typer.Option(metavar="NAME")] = "white"
    coats: int = 1


def test_typer_sees_each_member() -> None:
    seen = []

    @expand_groups
    def brush(wall: Annotated[str, typer.Argument()], *, paint: Paint, quick: bool = False) -> None:
        seen.append((wall, paint, quick))

    application = typer.Typer()
    application.command()(brush)
    application(["north", "--color", "red", "--quick"], standalone_mode=False)
    application(["south", "--coats", "2"], standalone_mode=False)
    assert seen == [("north", Paint("red", 1), True), ("south", Paint("white", 2), False)]
    assert list(inspect.signature(brush).parameters) == ["wall", "color", "coats", "quick"]


def test_two_options_of_one_name_are_a_mistake_of_the_developer() -> None:
    with pytest.raises(TypeError, match="given twice: coats"):

        @expand_groups
        def brush(*, paint: Paint, coats: int = 3) -> None: ...


def test_the_request_has_what_was_typed() -> None:
    reading = DataOptions(label="y", noise=0.2, kind="regression")
    wanted = {"epochs": 3, "batch_size": None, "lr": None}
    assert reading.request("a.csv", RecipeOptions(epochs=3)) == TaskRequest(
        "a.csv", label="y", noise=0.2, kind="regression", recipe=wanted
    )
    assert DataOptions(limit=7).checkpoint_request("a.csv") == TaskRequest("a.csv", limit=7)
    assert DataOptions().checkpoint_request(None) is None


def test_options_for_data_that_are_missing_are_refused() -> None:
    with pytest.raises(InputError, match="--noise, --image-size says how to read DATA, which is missing"):
        DataOptions(noise=0.1, image_size=8).checkpoint_request(None)


@pytest.mark.parametrize("command", ["certify", "reduce"])
def test_a_run_folder_needs_no_reading_options(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, str(tmp_path), "--kind", "regression"])
    assert stop.value.code == 2
    assert "--kind says how to read DATA" in capsys.readouterr().err
