"""Exact reduction: the same outputs on the points, no larger norm, as few neurons as theory gives."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.numerics import numerical_rank
from localmin.reduction.caratheodory import Solver
from localmin.reduction.homogeneous_network import HomogeneousNetwork, ModelT, read_model, read_points
from localmin.reduction.neuron_selection import (
    Selection,
    VertexMode,
    apply_selection,
    design_selection,
    vertex_selection,
    view_layer,
)
from localmin.reduction.projection import RANK_TOLERANCE_RELATIVE, projected
from localmin.reduction.result import Reduction, ReductionStep

__all__ = ["ReductionMode", "ReductionSettings", "reduce"]

ReductionMode = Literal["design", "vertex-b", "vertex-c", "pair"]
Progress = Callable[[str, int], None]

_NORM_SLACK_RELATIVE = 1e-12
_NEGLIGIBLE_FEATURE_RELATIVE = 1e-7
_ROUNDING_RELATIVE = 1e-15


@dataclass(frozen=True)
class ReductionSettings:
    """Settings of `reduce` beyond the mode.

    Attributes:
        output_tolerance_relative: Largest output change, over the largest output, that a step may leave.
        num_sweeps: For "design": passes over the layers, top layer first, before the vertex steps.
        max_design_steps: Limit on evaluations of one layer's design functional.
        design_gap_relative: A design is good enough at this certified relative gap.
        drop_below_relative: Neurons whose share of the norm in their layer falls below this part of the
            largest are dropped after a design.
        solver: How vertices are found, see `recombine`.
        max_memory_bytes: Vertex steps that would need more are skipped.
    """

    output_tolerance_relative: float = 1e-11
    num_sweeps: int = 3
    max_design_steps: int = 2000
    design_gap_relative: float = 1e-5
    drop_below_relative: float = 1e-6
    solver: Solver = "auto"
    max_memory_bytes: float = 8 * 2.0**30


def reduce(
    model: ModelT,
    x: Float[Tensor, "n inputs"],
    *,
    mode: ReductionMode = "design",
    extra_points: Float[Tensor, "extra inputs"] | None = None,
    held_out_points: Float[Tensor, "held inputs"] | None = None,
    settings: ReductionSettings | None = None,
    progress: Progress | None = None,
) -> Reduction[ModelT]:
    """Find a smaller network with the same outputs on ``x`` and no larger squared norm.

    Every mode starts by giving each layer its smallest weights with the same result, and every step is
    kept only if outputs and norm pass a test. With N points, a hidden layer keeps at most
    N(N+1) neurons ("pair"), N(N+1)/2 ("vertex-c"), and N c - c(c-1)/2 in the last hidden layer with
    c <= N outputs ("vertex-b" and "design"); ranks below N make all of them smaller.

    The result is exact on the points only. It says nothing about other inputs (pass ``held_out_points``
    to see the drift, ``extra_points`` without labels to bound it), and it does not say that wide networks
    have no bad local minima: they can have them at every width.

    Args:
        model: `nn.Sequential` of linear layers with ReLU, leaky ReLU or nothing between, `ReLUNetwork` or
            `DeepLinear`. Not modified. Biases count in the norm: if weight decay was off for them, the
            norm below is not the penalty that was trained with.
        x: Points on which the outputs stay, shape ``(n, n_0)``; usually the training inputs.
        mode: "design": optimal re-weighting of the neurons, then vertices; fewest neurons and smallest norm.
            "vertex-b": keep the next pre-activations. "vertex-c": keep the covariance of the activations.
            "pair": keep both covariances of each hidden layer; changes least elsewhere.
        extra_points: Further inputs, without labels, on which the outputs stay too, shape ``(e, n_0)``.
        held_out_points: Inputs on which the drift is measured only, shape ``(h, n_0)``.
        settings: Tolerances and limits.
        progress: Called as ``progress(operation, layer)`` before each step.

    Returns:
        The reduced model of the same kind, with the evidence.

    Raises:
        InputError: If the model cannot be reduced exactly (the message names module and reason), the mode
            is unknown, or the points do not fit.

    Source:
        Jacot, Golikov, Hongler, Gabriel 2022: projection (Proposition 1) and the count N(N+1)
        (Proposition 7 and the conic Carathéodory theorem). Modes B, C and design, the sharper counts and
        the accept test are derived here.

    Cost:
        Singular value decompositions of the activations; a vertex step about d^3 operations and 20 d m
        bytes with d the bound above and m the width; a design O(m n^2) a step. Deterministic.

    Example:
        >>> from localmin.networks import ReLUNetwork
        >>> inputs = torch.tensor([[1.0], [2.0], [4.0], [8.0], [3.0], [5.0]]).double()
        >>> wide = ReLUNetwork([inputs, inputs.T / 4])
        >>> small = reduce(wide, torch.tensor([[1.0]]).double())
        >>> small.widths_before, small.widths_after, round(small.norm_after, 6)
        ((1, 6, 1), (1, 1, 1), 59.5)
    """
    if mode not in get_args(ReductionMode):
        raise InputError(
            f"unknown mode {mode!r}: choose one of {', '.join(map(repr, get_args(ReductionMode)))}"
        )
    started = time.perf_counter()
    reading = read_model(model)
    points = read_points("x", x, reading)
    if extra_points is not None:
        points = torch.cat([points, read_points("extra_points", extra_points, reading)])
    original = reading.network
    run = _Run(original, points, settings or ReductionSettings(), progress)
    run.carry_out(mode)
    rebuilt = reading.rebuild(run.network)
    outputs = original(points)
    scale = max(float(outputs.abs().max()), torch.finfo(torch.float64).tiny)
    drift = None
    if held_out_points is not None:
        held_out = read_points("held_out_points", held_out_points, reading)
        drift = float((run.network(held_out) - original(held_out)).norm() / original(held_out).norm())
    change = float((run.network(points) - outputs).abs().max())
    return Reduction(
        network=rebuilt,
        mode=mode,
        widths_before=original.widths,
        widths_after=run.network.widths,
        num_parameters_before=original.num_parameters,
        num_parameters_after=run.network.num_parameters,
        norm_before=original.squared_norm,
        norm_after=run.network.squared_norm,
        max_output_change=change,
        max_output_change_relative=change / scale,
        max_output_change_stored=float((read_model(rebuilt).network(points) - outputs).abs().max()),
        drift_relative=drift,
        num_points=points.shape[0],
        bounds=tuple(run.bounds(mode)),
        steps=tuple(run.steps),
        seconds=time.perf_counter() - started,
    )


class _Run:
    """The network while it shrinks, and the record of what was tried."""

    def __init__(
        self,
        original: HomogeneousNetwork,
        points: Tensor,
        settings: ReductionSettings,
        progress: Progress | None,
    ) -> None:
        self.network = original
        self.original = original
        self.points = points
        self.settings = settings
        self.progress = progress
        self.outputs = original(points)
        self.scale = max(float(self.outputs.abs().max()), torch.finfo(torch.float64).tiny)
        self.steps: list[ReductionStep] = []

    def carry_out(self, mode: ReductionMode) -> None:
        layers = range(self.original.depth - 1, 0, -1)  # from the top: the rank above bounds the layer below
        self.project()
        for layer in layers:
            self.drop_dead(layer, keep_values=mode == "pair")
        if mode != "design":
            for layer in layers:
                self.vertex(layer, mode)
            return
        for _ in range(self.settings.num_sweeps):
            norm = self.network.squared_norm
            for layer in layers:
                self.design(layer)
            if self.network.squared_norm > norm * (1 - self.settings.design_gap_relative):
                break
        for layer in layers:
            self.drop_dead(layer, keep_values=False)
            self.vertex(layer, "vertex-b")
            self.design(layer)
        # A design moves weights, so that more columns may have become superfluous.
        for layer in layers:
            self.vertex(layer, "vertex-b")

    def project(self) -> None:
        started = self._announce("project", 0)
        candidate, _ = projected(self.network, self.points)
        self._judge("project", 0, candidate, None, started)

    def drop_dead(self, layer: int, *, keep_values: bool) -> None:
        view = view_layer(self.network, self.points, layer)
        values = view.preactivations if keep_values else view.features
        if values.shape[1] == 0:
            return
        size = values.abs().amax(dim=0)
        audible = size > _NEGLIGIBLE_FEATURE_RELATIVE * size.max()
        if not keep_values:
            # What is below the rounding of the next layer, next to a bias for instance, says nothing there.
            said = size * view.outgoing.norm(dim=0)
            audible &= said > _ROUNDING_RELATIVE * view.next_preactivations.norm()
        kept = torch.nonzero(audible).flatten()
        if len(kept) == len(size):
            return
        started = self._announce("drop", layer)
        selection = Selection(layer, kept, view.costs.new_ones(len(kept)))
        self._judge("drop", layer, apply_selection(self.network, self.points, selection), selection, started)

    def vertex(self, layer: int, mode: VertexMode) -> None:
        if self.network.widths[layer] == 0:
            return
        started = self._announce(mode, layer)
        view = view_layer(self.network, self.points, layer)
        selection = vertex_selection(
            view, mode, solver=self.settings.solver, max_memory_bytes=self.settings.max_memory_bytes
        )
        if selection is not None:
            candidate = apply_selection(self.network, self.points, selection)
            self._judge(mode, layer, candidate, selection, started)

    def design(self, layer: int) -> None:
        view = view_layer(self.network, self.points, layer)
        if self.network.widths[layer] == 0 or not bool((view.costs > 0).all()):
            return
        started = self._announce("design", layer)
        settings = self.settings
        threshold = settings.drop_below_relative
        selections, result = design_selection(
            view,
            max_steps=settings.max_design_steps,
            gap_tolerance_relative=settings.design_gap_relative,
            drop_below_relative=(threshold, threshold * 1e-3, 0.0),
        )
        # Dropping too many neurons can cost norm: then fewer are dropped.
        for selection in selections:
            candidate = apply_selection(self.network, self.points, selection)
            if self._judge("design", layer, candidate, selection, started, result.gap_relative):
                return

    def bounds(self, mode: ReductionMode) -> list[int]:
        """Compute the counts of the theorems from the numerical ranks of the original.

        Args:
            mode: Mode of the reduction.

        Returns:
            One count for each hidden layer.
        """
        values = self.original.preactivations(self.points)
        found = []
        for layer in range(1, self.original.depth):
            rank = _rank(self.original.activate(layer, values[layer - 1]))
            above = min(_rank(values[layer]), rank)
            own = _rank(values[layer - 1])
            if mode == "pair":
                found.append((own * (own + 1) + rank * (rank + 1)) // 2)
            elif mode == "vertex-c":
                found.append(rank * (rank + 1) // 2)
            else:
                found.append(above * rank - above * (above - 1) // 2)
        return found

    def _announce(self, operation: str, layer: int) -> float:
        if self.progress is not None:
            self.progress(operation, layer)
        return time.perf_counter()

    def _judge(
        self,
        operation: str,
        layer: int,
        candidate: HomogeneousNetwork,
        selection: Selection | None,
        started: float,
        gap_relative: float | None = None,
    ) -> bool:
        change = float((candidate(self.points) - self.outputs).abs().max())
        accepted = (
            change <= self.settings.output_tolerance_relative * self.scale
            and candidate.squared_norm <= self.network.squared_norm * (1 + _NORM_SLACK_RELATIVE)
        )
        widths = (self.network.widths[layer], candidate.widths[layer]) if layer else (0, 0)
        step = ReductionStep(
            operation,
            layer,
            accepted,
            *widths,
            candidate.squared_norm,
            change,
            gap_relative,
            time.perf_counter() - started,
            selection,
        )
        self.steps.append(step if accepted else replace(step, width_after=widths[0]))
        if accepted:
            self.network = candidate
        return accepted


def _rank(matrix: Tensor) -> int:
    return numerical_rank(matrix, tolerance_relative=RANK_TOLERANCE_RELATIVE)
