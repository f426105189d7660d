"""Tensors of one parameter group, sorted by device and dtype for multi-tensor operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import is_
from typing import Any

from torch import Tensor

from localmin.langevin.passes import NoiseRoom

__all__ = ["Bucket", "split_into_buckets"]


@dataclass
class Bucket:
    """Tensors of one group, device and dtype that take the same update.

    Attributes:
        parameters: x.
        gradients: g, in the same order.
        velocities: v, in the same order; empty for first-order dynamics.
        pending: Length of the half kick that the last step left open [time].
        room: Where noise is drawn; None before the first step with noise.
    """

    parameters: list[Tensor]
    gradients: list[Tensor]
    velocities: list[Tensor] = field(default_factory=list)
    pending: float = 0.0
    room: NoiseRoom | None = None

    def holds(self, parameters: list[Tensor], state: Mapping[str, Any] | None) -> bool:
        """Tell whether this is the bucket of these parameters; the first state shows if it was replaced."""
        if len(parameters) != len(self.parameters) or not all(map(is_, parameters, self.parameters)):
            return False
        return not self.velocities or (state is not None and state["velocity"] is self.velocities[0])


def split_into_buckets(
    parameters: list[Tensor], gradients: list[Tensor], states: Mapping[Tensor, Mapping[str, Any]]
) -> list[Bucket]:
    """Sort parameters and their gradients by device, dtype and open half kick, in order of first appearance.

    Args:
        parameters: Parameters.
        gradients: Their gradients.
        states: "velocity" and "pending" per parameter; empty for first-order dynamics.

    Returns:
        Buckets; none if there are no parameters.
    """
    buckets: dict[Any, Bucket] = {}
    for parameter, gradient in zip(parameters, gradients, strict=True):
        state = states.get(parameter)
        pending = 0.0 if state is None else state["pending"]
        key = (parameter.device, parameter.dtype, pending)
        bucket = buckets.get(key)
        if bucket is None:
            bucket = buckets[key] = Bucket([], [], pending=pending)
        bucket.parameters.append(parameter)
        bucket.gradients.append(gradient)
        if state is not None:
            bucket.velocities.append(state["velocity"])
    return list(buckets.values())
