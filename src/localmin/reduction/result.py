"""What a reduction did: the smaller network, the evidence, and every step."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.reduction.model_reading import ModelT, read_model, read_points
from localmin.reduction.neuron_selection import Selection, apply_selection
from localmin.reduction.projection import projected, settled_once
from localmin.reduction.rank_decisions import RankDecision
from localmin.reduction.reduced_files import write_reduced
from localmin.tasks.storage import write_tensors

__all__ = ["Recheck", "Reduction", "ReductionStep", "replay"]


@dataclass(frozen=True)
class ReductionStep:
    """One attempted step.

    Attributes:
        operation: "project", "settle" (balance, then project), "drop", "design", "thin", "vertex-b",
            "vertex-c" or "pair".
        layer: Hidden layer it acts on (1 is the first), 0 for all layers.
        accepted: Whether outputs and norm passed the test; a step that did not changed nothing.
        width_before: Width of the layer before; 0 for all layers.
        width_after: Width after.
        norm_after: Squared norm of all parameters after the step.
        max_output_change: Largest output change against the original network, absolute.
        gap_relative: For "design" and "thin": how far the layer's norm can be above the optimum of its
            design at most.
        seconds: Wall-clock time.
        selection: Neurons and weights, so that the step can be replayed; None for "project" and "settle".
    """

    operation: str
    layer: int
    accepted: bool
    width_before: int
    width_after: int
    norm_after: float
    max_output_change: float
    gap_relative: float | None
    seconds: float
    selection: Selection | None

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values, without the selection."""
        return {name: value for name, value in vars(self).items() if name != "selection"}


@dataclass(frozen=True)
class Recheck:
    """What a re-computation from the two models alone says.

    Attributes:
        holds: Outputs agree within the tolerance and the norm is not larger.
        max_output_change: Largest absolute change of an output.
        max_output_change_relative: The same over the largest output.
        norm_before: Squared norm of the original.
        norm_after: Squared norm of the reduced model.
    """

    holds: bool
    max_output_change: float
    max_output_change_relative: float
    norm_before: float
    norm_after: float


@dataclass(frozen=True)
class Reduction(Generic[ModelT]):
    """Result of `reduce`: the smaller network and the evidence.

    The network computes the same outputs **on the points it was reduced on**; elsewhere it is another
    function, see `drift_relative`.

    Attributes:
        network: Reduced model, of the kind, dtype and device that was given.
        mode: Mode used.
        widths_before: Layer widths ``(n_0, ..., n_L)`` of the original.
        widths_after: Layer widths of the reduced model.
        num_parameters_before: Number of weights and biases before.
        num_parameters_after: Number after.
        norm_before: Squared norm of all parameters before; with a penalty of ``lambda`` times this, the
            training loss changes by ``lambda (norm_after - norm_before)``.
        norm_after: Squared norm after; never larger (up to rounding, 1e-12 relative).
        loss_before: Regularised loss before; None without a loss.
        loss_after: Regularised loss after.
        max_output_change: Largest absolute change of an output on the points, in float64.
        max_output_change_relative: The same over the largest absolute output.
        max_output_change_stored: Largest change with the reduced weights rounded to the model's dtype.
        drift_relative: Root mean square output change on held-out points over the root mean square output;
            None if no held-out points were given.
        num_points: Points on which outputs are kept, extra points included.
        bounds: For each hidden layer the largest number of neurons that the mode's theorem allows, from the
            numerical ranks of the original.
        ranks: How the numerical rank of what feeds each layer was decided.
        steps: Every step in order.
        remarks: What the figures do not show: absent drift, steps left out, ranks that are not clear-cut.
        seconds: Wall-clock time.
    """

    network: ModelT
    mode: str
    widths_before: tuple[int, ...]
    widths_after: tuple[int, ...]
    num_parameters_before: int
    num_parameters_after: int
    norm_before: float
    norm_after: float
    loss_before: float | None
    loss_after: float | None
    max_output_change: float
    max_output_change_relative: float
    max_output_change_stored: float
    drift_relative: float | None
    num_points: int
    bounds: tuple[int, ...]
    ranks: tuple[RankDecision, ...]
    steps: tuple[ReductionStep, ...]
    remarks: tuple[str, ...]
    seconds: float

    def recheck(
        self, model: ModelT, x: Float[Tensor, "n inputs"], *, tolerance_relative: float | None = None
    ) -> Recheck:
        """Compare outputs and norms of the original and the reduced model, computed afresh.

        Args:
            model: The original model.
            x: The points, with the extra points if there were any.
            tolerance_relative: Allowed output change over the largest output; by default 1e-10, and for
                models stored in a narrower dtype one hundred times its precision.

        Returns:
            The verdict with its figures.
        """
        before, after = read_model(model), read_model(self.network)
        points = read_points("x", x, before)
        reference = before.network(points)
        change = float((after.network(points) - reference).abs().max())
        relative = change / max(float(reference.abs().max()), torch.finfo(torch.float64).tiny)
        precision = _precision_of(self.network)
        if tolerance_relative is None:
            tolerance_relative = max(1e-10, 100 * precision)
        norms = before.network.squared_norm, after.network.squared_norm
        holds = relative <= tolerance_relative and norms[1] <= norms[0] * (1 + 1e-12 + 2 * precision)
        return Recheck(holds, change, relative, *norms)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values; the network is left out, see `save`."""
        plain = {name: value for name, value in vars(self).items() if name != "network"}
        plain["ranks"] = [decision.to_dict() for decision in self.ranks]
        plain["steps"] = [step.to_dict() for step in self.steps]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}

    def save(self, folder: str | Path) -> Path:
        """Write ``reduction.json``, ``network.safetensors`` and ``steps.safetensors`` into a folder.

        `load_reduced` reads the network back.

        Args:
            folder: Created if it does not exist.

        Returns:
            Path of the JSON file.
        """
        folder = Path(folder)
        selections: dict[str, Tensor] = {}
        for number, step in enumerate(self.steps):
            if step.selection is not None:
                selections[f"{number}.kept"] = step.selection.kept
                selections[f"{number}.weights"] = step.selection.weights
        write_tensors(folder / "steps.safetensors", selections)
        return write_reduced(folder, self.network, self.to_dict())


def replay(model: ModelT, x: Float[Tensor, "n inputs"], steps: tuple[ReductionStep, ...]) -> ModelT:
    """Carry out the accepted steps of a reduction again, without searching for them.

    Args:
        model: The original model.
        x: The points, followed by the extra points if there were any.
        steps: `Reduction.steps`.

    Returns:
        The reduced model.

    Raises:
        InputError: If a step names neurons that the model does not have.
    """
    reading = read_model(model)
    points = read_points("x", x, reading)
    network = reading.network
    for step in steps:
        if not step.accepted:
            continue
        if step.selection is None:
            settles = step.operation == "settle"
            network = settled_once(network, points) if settles else projected(network, points)[0]
            continue
        if bool((step.selection.kept >= network.widths[step.layer]).any()):
            raise InputError(f"step {step.operation!r} of layer {step.layer} does not belong to this model")
        network = apply_selection(network, points, step.selection)
    return reading.rebuild(network)


def _precision_of(model: object) -> float:
    parts = list(model.parameters()) if hasattr(model, "parameters") else list(getattr(model, "weights", ()))
    precision = max((torch.finfo(part.dtype).eps for part in parts), default=0.0)
    return precision if precision > torch.finfo(torch.float64).eps else 0.0
