from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from localmin.errors import InputError
from localmin.tasks import Task, digits
from localmin.tasks.factories import open_task
from localmin.tasks.parcel import as_bytes, from_bytes, map_tensors, pack, unpack, write_tensors


def test_large_tensors_travel_apart_and_once() -> None:
    large, small = torch.randn(3, 700), torch.arange(3)
    parcel = pack({"a": large, "again": large, "view": large[1], "small": small, "text": "x"})
    assert [tuple(tensor.shape) for tensor in parcel.tensors] == [(3, 700), (700,)]
    assert len(parcel.payload) < 1_000
    found = unpack(parcel.payload, parcel.tensors)
    assert found["a"] is large
    assert found["again"] is large
    assert torch.equal(found["view"], large[1])
    assert torch.equal(found["small"], small)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float64, torch.int64, torch.bool])
def test_tensors_are_mapped_as_they_were(dtype: torch.dtype) -> None:
    tensors = [(torch.arange(30).reshape(5, 6) % 2).to(dtype), torch.ones(7).to(dtype), torch.zeros(0, 3)]
    tensors[0] = tensors[0].T  # not contiguous
    stream, layout = write_tensors(tensors)
    with stream:
        mapped = map_tensors(f"/dev/fd/{stream.fileno()}", layout)
    for before, after in zip(tensors, mapped, strict=True):
        assert after.dtype == before.dtype
        assert torch.equal(after, before)
    # each process may write to its own pages
    mapped[1][0] = 0
    assert torch.equal(from_bytes(as_bytes(tensors[0]), str(dtype)[6:], (6, 5)), tensors[0])


def local_task(**changes: Any) -> Task:
    return replace(digits(noise=0.2), model=lambda: nn.Linear(64, 10), **changes)


def test_a_task_with_a_local_network_can_be_sent() -> None:
    task = local_task()
    parcel = pack(task)
    again = unpack(parcel.payload, parcel.tensors)
    assert torch.equal(again.train.inputs, task.train.inputs)
    first, second = (t.build_model(3).state_dict() for t in (task, again))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_cannot_be_sent_is_named() -> None:
    lock = threading.Lock()
    task = local_task(loss=lambda logits, labels: (lock, logits)[1].sum(1))
    with pytest.raises(InputError, match=r"this task cannot be sent to another process \(TypeError.*lock"):
        pack(task)


FACTORY = """
import torch
from beside import width
import localmin
from localmin.tasks import Examples


class Net(torch.nn.Linear):
    def __init__(self):
        super().__init__(width(), 2)


def make():
    data = Examples(torch.randn(40, width()), torch.arange(40) % 2)
    return localmin.Task("mine", data, data, data, Net, 2)
"""


def test_classes_of_a_users_file_travel_along(tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "mine.py").write_text(FACTORY)
    (tmp_path / "beside.py").write_text("def width():\n    return 3\n")
    payload = pack(open_task(f"{tmp_path / 'mine.py'}:make")).payload
    (tmp_path / "mine.py").unlink()
    (tmp_path / "beside.py").unlink()
    script = "import sys, pickle; print(pickle.load(sys.stdin.buffer).build_model(0))"
    shown = subprocess.run([sys.executable, "-c", script], input=payload, capture_output=True, check=True)
    assert b"in_features=3" in shown.stdout
