from __future__ import annotations

import platform

import torch

from localmin.tasks.environment import describe_device, versions


def test_versions_are_those_of_what_is_imported() -> None:
    found = versions()
    assert found["torch"] == torch.__version__
    assert found["python"] == platform.python_version()
    assert "not installed" not in found.values()


def test_the_cpu_is_described() -> None:
    assert describe_device("cpu") == describe_device(torch.device("cpu"))
    assert str(torch.get_num_threads()) in describe_device("cpu")
