"""What a result was made with: versions, machine, device."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import torch

__all__ = ["describe_device", "versions"]

_PACKAGES = ("localmin", "numpy", "scipy", "optuna", "scikit-learn")


@cache
def versions() -> dict[str, str]:
    """List the versions of Python and of the packages that decide results."""
    # Not torch's metadata, which may leave out what it was built for (+cpu, +cu130).
    found = {"python": platform.python_version(), "torch": str(torch.__version__)}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def describe_device(device: torch.device | str) -> str:
    """Name a device for reports: the GPU's name, or the number of CPU threads."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
