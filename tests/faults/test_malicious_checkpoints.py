"""Checkpoints of strangers: what would run code is refused unread, whatever it is called."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Program = Callable[..., Any]


class Bomb:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("how", ["torch", "torch-old", "pickle"])
@pytest.mark.parametrize("name", ["bomb.pt", "bomb.pth", "bomb.bin", "bomb.safetensors"])
def test_code_in_a_checkpoint_is_never_run(how: str, name: str, program: Program) -> None:
    content = {"1.weight": torch.zeros(2, 2), "more": Bomb()}
    if how == "pickle":
        Path(name).write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, name, _use_new_zipfile_serialization=how == "torch")
    for command in ("certify", "reduce"):
        assert name in program(command, name, "digits").complaint()
    assert name in program("compare", name, name, "--data", "digits").complaint()
    assert name in program("compare", name, name).complaint()
    assert not Path("exploded").exists()


def test_code_in_the_files_of_a_run_folder_is_never_run(program: Program) -> None:
    arguments = ("train", "digits", "--limit", "300", "--epochs", "2", "--out", "run")
    program(*arguments, "--json").result()
    weights = sorted(Path("run").rglob("*.safetensors"))
    assert len(weights) == 2  # the model, and the stage that the training resumes from
    for file in weights:
        file.write_bytes(pickle.dumps({"1.weight": Bomb()}))
    for command in (arguments, ("certify", "run"), ("reduce", "run"), ("compare", "run", "run")):
        assert ".safetensors" in program(*command).complaint()
    assert not Path("exploded").exists()
