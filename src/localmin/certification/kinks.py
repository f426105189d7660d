"""How near a point is to a kink of its objective: where the Hessian of one piece says nothing."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from localmin.objective import Objective

__all__ = ["KinkReport", "find_kinks"]


@dataclass(frozen=True)
class KinkReport:
    """Piecewise operations that the evaluation of an objective went through.

    Args:
        names: Their names, sorted.
        distance: Smallest distance of an argument from a kink, relative to the largest argument of the same
            call; infinity without any, NaN where an operation is known to be piecewise but was not examined.
    """

    names: tuple[str, ...]
    distance: float


def find_kinks(objective: Objective) -> KinkReport:
    """Evaluate the objective once and look at every piecewise operation on the way.

    Operations are watched where torch dispatches them, so functional calls and the loss are seen as well as
    modules.

    Args:
        objective: Stands at the point in question.

    Returns:
        The operations and the smallest relative distance.

    Cost:
        One value.

    Example:
        >>> hinge = Objective.from_function(lambda p: torch.relu(p).sum(), torch.tensor([2.0, -0.5]))
        >>> report = find_kinks(hinge)
        >>> report.names, report.distance
        (('relu',), 0.25)
    """
    watch = _Watch()
    with watch:
        objective.value()
    return KinkReport(tuple(sorted(watch.names)), objective.ranks.smallest(watch.distance))


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()
        self.distance = math.inf

    def __torch_dispatch__(
        self,
        function: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = function.overloadpacket.__name__.strip("_")
        if name in _EXAMINED:
            for gap, scale in _EXAMINED[name](*args, **(kwargs or {})):
                self._record(name, gap, scale)
        elif name in _NOT_EXAMINED:
            self.names.add(name)
            self.distance = math.nan
        return function(*args, **(kwargs or {}))

    def _record(self, name: str, gap: Tensor, scale: Tensor) -> None:
        if gap.numel() == 0 or not gap.is_floating_point():
            return
        self.names.add(name)
        largest = float(scale.abs().max())
        relative = float(gap.abs().min()) / largest if largest > 0.0 else 0.0
        # A NaN says that something was not examined, and stays.
        if not math.isnan(self.distance):
            self.distance = min(self.distance, relative)


def _at_zero(argument: Tensor, *_: Any, **__: Any) -> list[tuple[Tensor, Tensor]]:
    return [(argument, argument)]


def _at_bounds(
    argument: Tensor, lower: Any = None, upper: Any = None, *_: Any, **kwargs: Any
) -> list[tuple[Tensor, Tensor]]:
    bounds = [lower, upper, kwargs.get("min"), kwargs.get("max")]
    return [(argument - bound, argument) for bound in bounds if bound is not None]


def _at_saturation(
    argument: Tensor, lower: float = -1.0, upper: float = 1.0, *_: Any, **__: Any
) -> list[tuple[Tensor, Tensor]]:
    return [(argument - lower, argument), (argument - upper, argument)]


def _at_threshold(argument: Tensor, threshold: Any, *_: Any, **__: Any) -> list[tuple[Tensor, Tensor]]:
    return [(argument - threshold, argument)]


def _at_plus_minus(argument: Tensor, bound: Any = 0.5, *_: Any, **__: Any) -> list[tuple[Tensor, Tensor]]:
    return [(argument.abs() - bound, argument)]


def _at_equality(first: Tensor, second: Tensor, *_: Any, **__: Any) -> list[tuple[Tensor, Tensor]]:
    return [(first - second, torch.maximum(first.abs(), second.abs()))]


def _at_difference(
    first: Tensor, second: Tensor, reduction: int = 1, bound: float = 1.0, **kwargs: Any
) -> list[tuple[Tensor, Tensor]]:
    bound = kwargs.get("beta", kwargs.get("delta", bound))
    return [((first - second).abs() - bound, first - second)]


def _at_three(argument: Tensor, *_: Any, **__: Any) -> list[tuple[Tensor, Tensor]]:
    return [(argument.abs() - 3.0, argument)]


# For each operation: pairs of (distance from the kink, argument that sets the scale).
_EXAMINED: dict[str, Callable[..., list[tuple[Tensor, Tensor]]]] = {
    **dict.fromkeys(("relu", "leaky_relu", "prelu_kernel", "abs", "sign"), _at_zero),
    **dict.fromkeys(("elu", "celu", "selu", "rrelu_with_noise"), _at_zero),
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max"), _at_bounds),
    **dict.fromkeys(("softshrink", "hardshrink"), _at_plus_minus),
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin"), _at_equality),
    **dict.fromkeys(("huber_loss", "smooth_l1_loss"), _at_difference),
    **dict.fromkeys(("hardsigmoid", "hardswish"), _at_three),
    "hardtanh": _at_saturation,
    "threshold": _at_threshold,
}
_NOT_EXAMINED = frozenset(
    {"max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d"}
    | {"amax", "amin", "max", "min", "sort", "topk", "median", "multi_margin_loss", "round", "floor", "ceil"}
)
