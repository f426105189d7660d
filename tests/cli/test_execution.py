"""Options that say where trials run: what excludes what, and what is written down."""

from __future__ import annotations

import shlex
import sys

import pytest

from localmin.cli import main
from localmin.cli.execution import ExecutionOptions, open_executor
from localmin.cli.session import typed_command
from localmin.errors import InputError
from localmin.sampling.execution import ProcessPool


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers", "0"], "workers must be at least 1, got 0"),
        (["--workers", "2", "--ray", "auto"], "give one of them"),
        (["--gpu-share", "0.5"], "give --ray too"),
        (["--storage", "trials.log"], "expects a database URL"),
        (["--together", "0"], "at least 1 network"),
    ],
)
@pytest.mark.parametrize("command", ["search", "run"])
def test_options_that_cannot_work_are_one_line(
    command: str, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "digits", "--epochs", "2", "--out", str(tmp_path), *arguments])
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


def test_workers_have_one_thread_unless_told_otherwise() -> None:
    for threads, expected in ((None, 1), (3, 3)):
        with open_executor(ExecutionOptions(workers=2), threads=threads) as pool:
            assert isinstance(pool, ProcessPool)
            assert (pool.num_workers, pool.threads, pool.process_ids) == (2, expected, [])
    with open_executor(ExecutionOptions(), threads=4) as nothing:
        assert nothing is None


def test_torchrun_excludes_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    for options in (ExecutionOptions(workers=2), ExecutionOptions(ray="auto")):
        with (
            pytest.raises(InputError, match="torchrun divides each training"),
            open_executor(options, threads=None),
        ):
            pass


def test_a_password_is_not_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://me:secret@host/db"
    monkeypatch.setattr(sys, "argv", ["localmin", "search", "digits", "--storage", url, f"--storage={url}"])
    command = typed_command(url)
    assert "secret" not in command
    shown = "postgresql+psycopg://me:***@host/db"
    assert shlex.split(command) == ["localmin", "search", "digits", "--storage", shown, f"--storage={shown}"]


def test_a_command_is_written_as_a_shell_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["localmin", "search", "my data.csv", "--label", "the 'class'"]
    monkeypatch.setattr(sys, "argv", words)
    assert shlex.split(typed_command()) == words
