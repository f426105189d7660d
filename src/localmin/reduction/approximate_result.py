"""What an approximate reduction did: the smaller network and its measured errors."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.reduction.exact_reduction import drift
from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.model_reading import ModelReading, ModelT, read_points
from localmin.reduction.projection import settled_once
from localmin.reduction.reduced_files import write_reduced

__all__ = ["ApproximateReduction", "Measurement", "settled"]


@dataclass(frozen=True)
class ApproximateReduction(Generic[ModelT]):
    """Result of an approximate reduction: **not exact**, and the norm can be larger.

    Attributes:
        network: Model of the kind that was given.
        method: "ridge-refit", "truncated-ranks" or "coreset".
        settings: What the method was told, by name.
        widths_before: Layer widths before.
        widths_after: Layer widths after.
        num_parameters_before: Number of weights and biases before.
        num_parameters_after: Number after.
        norm_before: Squared norm before.
        norm_after: Squared norm after; it can be larger.
        loss_before: Regularised loss on ``x`` before; None without a loss.
        loss_after: Regularised loss after.
        output_error_relative: Root mean square output change on ``x`` over the root mean square output.
        max_output_change_relative: Largest absolute output change on ``x`` over the largest output.
        drift_relative: As ``output_error_relative``, on held-out points; None without them.
        num_points: Number of points the errors were measured on.
        seconds: Wall-clock time.
    """

    network: ModelT
    method: str
    settings: dict[str, Any]
    widths_before: tuple[int, ...]
    widths_after: tuple[int, ...]
    num_parameters_before: int
    num_parameters_after: int
    norm_before: float
    norm_after: float
    loss_before: float | None
    loss_after: float | None
    output_error_relative: float
    max_output_change_relative: float
    drift_relative: float | None
    num_points: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values; the network is left out, see `save`."""
        plain = {name: value for name, value in vars(self).items() if name != "network"}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

    def save(self, folder: str | Path) -> Path:
        """Write ``reduction.json`` and ``network.safetensors`` into a folder.

        Args:
            folder: Created if it does not exist.

        Returns:
            Path of the JSON file.
        """
        return write_reduced(Path(folder), self.network, self.to_dict())


class Measurement(Generic[ModelT]):
    """The model before, the points, and the clock: everything that an approximate method reports on.

    Args:
        reading: The model.
        x: Points, shape ``(n, n_0)``.
        held_out_points: Points on which the drift is measured, or None.
        loss: Maps the outputs on ``x`` to the unregularised loss, or None.
        penalty: Factor of the squared norm, with a loss.

    Raises:
        InputError: If the loss comes without a penalty, or the other way round.
    """

    def __init__(
        self,
        reading: ModelReading[ModelT],
        x: Tensor,
        held_out_points: Tensor | None = None,
        loss: Callable[[Tensor], Tensor] | None = None,
        penalty: float | None = None,
    ) -> None:
        if (loss is None) != (penalty is None) or not (penalty is None or penalty >= 0):
            raise InputError(f"loss and penalty (at least 0) belong together, got penalty {penalty}")
        self._started = time.perf_counter()
        self._reading = reading
        self.original = reading.network
        self.points = read_points("x", x, reading)
        self.loss, self.penalty = loss, penalty
        self._held_out = (
            None if held_out_points is None else read_points("held_out_points", held_out_points, reading)
        )

    def regularized(self, network: HomogeneousNetwork) -> float | None:
        """Compute the regularised loss of a network on the points; None without a loss.

        Args:
            network: In float64.

        Returns:
            The loss.
        """
        if self.loss is None or self.penalty is None:
            return None
        with torch.no_grad():
            return float(self.loss(network(self.points))) + self.penalty * network.squared_norm

    def result(
        self, network: HomogeneousNetwork, method: str, settings: dict[str, Any]
    ) -> ApproximateReduction[ModelT]:
        """Measure the errors of a network.

        Args:
            network: The smaller network.
            method: Name of the method.
            settings: What it was told.

        Returns:
            The result.
        """
        original, points = self.original, self.points
        outputs = original(points)
        scale = max(float(outputs.abs().max()), torch.finfo(torch.float64).tiny)
        return ApproximateReduction(
            network=self._reading.rebuild(network),
            method=method,
            settings=settings,
            widths_before=original.widths,
            widths_after=network.widths,
            num_parameters_before=original.num_parameters,
            num_parameters_after=network.num_parameters,
            norm_before=original.squared_norm,
            norm_after=network.squared_norm,
            loss_before=self.regularized(original),
            loss_after=self.regularized(network),
            output_error_relative=drift(network, original, points),
            max_output_change_relative=float((network(points) - outputs).abs().max()) / scale,
            drift_relative=None if self._held_out is None else drift(network, original, self._held_out),
            num_points=len(points),
            seconds=time.perf_counter() - self._started,
        )


def settled(
    network: HomogeneousNetwork, points: Float[Tensor, "n inputs"], num_steps: int
) -> HomogeneousNetwork:
    """Lower the norm at the same outputs: balance, then the smallest layers, in turn.

    Args:
        network: In float64.
        points: Float64 rows.
        num_steps: Alternations.

    Returns:
        A network with the same outputs on the points; the one given where no alternation lowers the norm.
    """
    outputs = network(points)
    limit = 1e-11 * max(float(outputs.abs().max()), torch.finfo(torch.float64).tiny)
    for _ in range(num_steps):
        candidate = settled_once(network, points)
        if candidate.squared_norm >= network.squared_norm:
            break
        if float((candidate(points) - outputs).abs().max()) > limit:
            break
        network = candidate
    return network
