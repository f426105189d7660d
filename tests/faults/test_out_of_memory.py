"""Memory runs out in a training: one line says what to lower, and nothing that was finished is lost."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from localmin.errors import OutOfMemoryError
from localmin.sampling import search
from localmin.tasks.memory import describe_shortage, is_shortage, naming_shortage

Program = Callable[..., Any]

# A network that asks for more memory than any machine has, once so many of it have been made.
NETWORK = """
import os
import signal
import sys
from pathlib import Path
import torch
from torch import nn

class Network(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))
        made = Path("made")
        if made.exists():
            with made.open("a") as stream:  # workers count together: an append loses nothing
                stream.write(".")

    def forward(self, inputs):
        if Path("killed").exists() and any("execution.worker" in word for word in sys.orig_argv):
            os.kill(os.getpid(), signal.SIGKILL)  # as the system does when memory runs out
        made = Path("made")
        if made.exists() and len(made.read_text()) > int(Path("enough").read_text()):
            torch.empty(2**48)
        return super().forward(inputs)

def make():
    return Network()
"""
_SEARCH = (
    "search", "digits", "--model", "network.py:make", "--noise", "0.4", "--limit", "300", "--epochs", "4",
    "--batch-size", "64", "--preset", "quick",
)  # fmt: skip


@pytest.fixture
def network(program: Program, tmp_path: Path) -> Callable[[int | None], None]:
    """Write the network, and give what sets how many fit into memory."""
    (tmp_path / "network.py").write_text(NETWORK)

    def set_room(count: int | None) -> None:
        (tmp_path / "made").unlink(missing_ok=True)
        if count is not None:
            (tmp_path / "made").write_text("")
            (tmp_path / "enough").write_text(str(count))

    return set_room


def errors_of_shortage() -> list[BaseException]:
    """Raise what Python, NumPy and torch raise, and write down what torch raises on a GPU."""
    found: list[BaseException] = [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:75] not enough memory: you tried to allocate 12 bytes."),
    ]
    for ask in (lambda: bytearray(2**62), lambda: np.empty(2**58), lambda: torch.empty(2**58)):
        try:
            ask()
        except (MemoryError, RuntimeError) as error:
            found.append(error)
    return found


def test_errors_of_all_libraries_are_known_and_others_are_left_alone() -> None:
    errors = errors_of_shortage()
    assert len(errors) == 5
    for error in errors:
        assert is_shortage(error)
        expected = r"^memory ran out.* while trying; lower it$"
        with (
            pytest.raises(OutOfMemoryError, match=expected) as raised,
            naming_shortage("while trying", "lower it"),
        ):
            raise error
        assert "\n" not in str(raised.value)
    assert "20.00 GiB" in describe_shortage(errors[0])
    assert "EiB" in describe_shortage(errors[3])
    with pytest.raises(RuntimeError, match=r"^shapes$"), naming_shortage("", ""):
        raise RuntimeError("shapes")
    # What is named once is not named again, and passes between processes.
    with pytest.raises(OutOfMemoryError, match=r"^first$"), naming_shortage("", ""):
        raise OutOfMemoryError("first")
    assert str(pickle.loads(pickle.dumps(OutOfMemoryError("first")))) == "first"


@pytest.mark.parametrize("extra", [(), ("--together", "3")])
def test_a_trial_that_does_not_fit(
    extra: tuple[str, ...],
    program: Program,
    network: Callable[[int | None], None],
    check_same_files: Callable[[Path, Path], None],
) -> None:
    network(10**9)
    expected = program(*_SEARCH, "--out", "whole", "--json").result()
    total = len(Path("made").read_text())
    done = 0
    for room in (total // 3, 2 * total // 3):
        network(room)
        line = program(*_SEARCH, *extra, "--out", "broken").complaint()
        assert "memory ran out when" in line
        assert "batches of 64" in line
        assert "lower --together or --workers" in line
        assert "--batch-size" in line
        before, done = done, len(list(Path("broken", "stages").glob("*.json")))
        assert done >= before
    assert done > 2  # trials that fitted are kept
    network(None)
    # The remedy: the number at once and the number of workers are not part of what the run is.
    assert program(*_SEARCH, "--out", "broken", "--json").result() == expected
    check_same_files(Path("whole"), Path("broken"))


@pytest.mark.slow
def test_a_trial_that_does_not_fit_into_a_worker(
    program: Program, network: Callable[[int | None], None], check_same_files: Callable[[Path, Path], None]
) -> None:
    network(None)
    expected = program(*_SEARCH, "--out", "whole", "--json").result()
    network(6)
    line = program(*_SEARCH, "--workers", "2", "--out", "broken").complaint()
    assert "memory ran out when" in line
    network(None)
    assert program(*_SEARCH, "--workers", "1", "--out", "broken", "--json").result() == expected
    check_same_files(Path("whole"), Path("broken"))


@pytest.mark.slow
def test_workers_that_the_system_kills(
    program: Program, network: Callable[[int | None], None], check_same_files: Callable[[Path, Path], None]
) -> None:
    expected = program(*_SEARCH, "--out", "whole", "--json").result()
    Path("killed").touch()
    line = program(*_SEARCH, "--workers", "2", "--out", "broken").complaint()
    assert "was killed (3 times): if memory ran out, use fewer --workers or a smaller --batch-size" in line
    assert "when the command is repeated" in line
    Path("killed").unlink()
    assert program(*_SEARCH, "--workers", "2", "--out", "broken", "--json").result() == expected
    check_same_files(Path("whole"), Path("broken"))


def test_a_training_that_does_not_fit(program: Program, network: Callable[[int | None], None]) -> None:
    network(0)
    arguments = ("train", "digits", "--model", "network.py:make", "--limit", "300", "--epochs", "2")
    line = program(*arguments, "--out", "run").complaint()
    assert "memory ran out when" in line
    assert "--batch-size" in line
    network(None)
    assert program(*arguments, "--out", "run").code == 0


@pytest.mark.parametrize(
    ("arguments", "target", "remedy"),
    [
        (("certify", "run"), "localmin.certification.certify", "--examples"),
        (("reduce", "run"), "localmin.reduction.reduce_trained", "--points"),
        (("compare", "run", "run"), "localmin.realization.trained_comparison.compare_trained", "--max-work"),
    ],
)
def test_other_commands_say_what_to_lower(
    arguments: tuple[str, ...],
    target: str,
    remedy: str,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program("train", "digits", "--limit", "300", "--epochs", "1", "--out", "run", "--json").result()

    def too_large(*arguments: Any, **options: Any) -> None:
        torch.empty(2**58)

    monkeypatch.setattr(target, too_large)
    line = program(*arguments).complaint()
    assert "memory ran out when" in line
    assert remedy in line


def test_fewer_networks_at_once_than_were_measured(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from localmin.sampling.execution import joint_trials

    used: list[int] = []
    real = joint_trials.run_folds_together

    def spy(task: Any, weights: Any, *arguments: Any, **options: Any) -> Any:
        used.append(len(weights))
        if len(weights) > 2:
            raise OutOfMemoryError("too many")
        return real(task, weights, *arguments, **options)

    favour = joint_trials.JointProbe(True, 4, 1.0, 0.1, "it pays")
    monkeypatch.setitem(search.__globals__, "probe", lambda *arguments, **options: favour)
    monkeypatch.setattr("localmin.sampling.execution.in_process.run_folds_together", spy)
    arguments = (
        "search", "digits", "--noise", "0.4", "--limit", "300", "--batch-size", "64", "--epochs", "4",
        "--trials", "6", "--out", "run",
    )  # fmt: skip
    assert "too many" in program(*arguments, "--together", "4").complaint()
    assert max(used) > 2
    used.clear()
    assert program(*arguments, "--together", "2").code == 0
    assert max(used) == 2
