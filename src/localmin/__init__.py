"""Good local minima for PyTorch.

Names are loaded when they are first used, so that ``import localmin`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localmin import (
        certification,
        charts,
        experiments,
        langevin,
        networks,
        numerics,
        objective,
        realization,
        reduction,
        reports,
        sampling,
        tasks,
        workflow,
    )
    from localmin.certification import certify, classify_deep_linear
    from localmin.langevin import LangevinDynamics, NonReversibleLangevin, UnderdampedLangevin
    from localmin.objective import Objective
    from localmin.realization import normal_form, same_function
    from localmin.reduction import reduce
    from localmin.sampling import WeightedSampler, load_result, search, train
    from localmin.tasks import Task

__version__ = "0.1.0"

__all__ = [
    "LangevinDynamics",
    "NonReversibleLangevin",
    "Objective",
    "Task",
    "UnderdampedLangevin",
    "WeightedSampler",
    "certification",
    "certify",
    "charts",
    "classify_deep_linear",
    "experiments",
    "langevin",
    "load_result",
    "networks",
    "normal_form",
    "numerics",
    "objective",
    "realization",
    "reduce",
    "reduction",
    "reports",
    "same_function",
    "sampling",
    "search",
    "tasks",
    "train",
    "workflow",
]

_PACKAGES = (
    "certification",
    "charts",
    "experiments",
    "langevin",
    "networks",
    "numerics",
    "objective",
    "realization",
    "reduction",
    "reports",
    "sampling",
    "tasks",
    "workflow",
)
_HOMES = {
    "LangevinDynamics": "localmin.langevin",
    "NonReversibleLangevin": "localmin.langevin",
    "UnderdampedLangevin": "localmin.langevin",
    "Objective": "localmin.objective",
    "Task": "localmin.tasks",
    "WeightedSampler": "localmin.sampling",
    "certify": "localmin.certification",
    "classify_deep_linear": "localmin.certification",
    "load_result": "localmin.sampling",
    "normal_form": "localmin.realization",
    "reduce": "localmin.reduction",
    "same_function": "localmin.realization",
    "search": "localmin.sampling",
    "train": "localmin.sampling",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _PACKAGES:
        return import_module(f"localmin.{name}")
    raise AttributeError(f"module 'localmin' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
