"""The steps of an exact reduction: tried one after the other, kept only if they pass the accept test."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from localmin.errors import InputError
from localmin.reduction.caratheodory import Solver
from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.neuron_selection import (
    Selection,
    VertexMode,
    apply_selection,
    design_selection,
    view_layer,
)
from localmin.reduction.projection import projected, settled_once
from localmin.reduction.rank_decisions import ExactMode
from localmin.reduction.result import ReductionStep
from localmin.reduction.vertex_problem import VertexProblem

__all__ = ["Progress", "ReductionRun", "ReductionSettings"]

Progress = Callable[[str, int, int, int], None]

_NORM_SLACK_RELATIVE = 1e-12
_NEGLIGIBLE_FEATURE_RELATIVE = 1e-7
_ROUNDING_RELATIVE = 1e-15
# Thinning repeats designs that are nearly solved already: few steps are enough.
_THINNING_SWEEPS = 2
_THINNING_STEPS = 200
_THINNING_GAP_RELATIVE = 1e-4
_MAX_SETTLING_STEPS = 30
_SETTLED_RELATIVE = 1e-7


@dataclass(frozen=True)
class ReductionSettings:
    """Settings of `reduce` beyond the mode.

    Attributes:
        output_tolerance_relative: Largest output change, over the largest output, that a step may leave.
        num_sweeps: For "design": passes over the layers, top layer first, before the vertex steps.
        max_design_steps: Limit on evaluations of one layer's design functional.
        design_gap_relative: A design is good enough at this certified relative gap.
        first_gap_relative: The same in the first pass, whose result the next pass refines anyway.
        thinning_norm_relative: After the design the norm may rise by this share again, never above that of
            the original, where that saves neurons. The last neurons of an optimal design carry almost no
            norm. 0 keeps the smallest norm.
        drop_below_relative: Neurons whose share of the norm in their layer falls below this part of the
            largest are dropped after a design.
        solver: How vertices are found, see `recombine`.
        max_memory_bytes: Limit for one vertex step. The vertex modes refuse what needs more; "design" leaves
            that step out and says so.
    """

    output_tolerance_relative: float = 1e-11
    num_sweeps: int = 3
    max_design_steps: int = 2000
    design_gap_relative: float = 1e-5
    first_gap_relative: float = 1e-3
    thinning_norm_relative: float = 5e-4
    drop_below_relative: float = 1e-6
    solver: Solver = "auto"
    max_memory_bytes: float = 8 * 2.0**30


class ReductionRun:
    """The network while it shrinks, and the record of what was tried."""

    def __init__(
        self,
        original: HomogeneousNetwork,
        points: Tensor,
        settings: ReductionSettings,
        progress: Progress | None,
    ) -> None:
        self.network = original
        self.points = points
        self.settings = settings
        self.progress = progress
        self.outputs = original(points)
        self.norm = original.squared_norm
        self.scale = max(float(self.outputs.abs().max()), torch.finfo(torch.float64).tiny)
        self.steps: list[ReductionStep] = []
        self.left_out: list[str] = []
        self.mode: ExactMode = "design"

    def carry_out(self, mode: ExactMode) -> None:
        """Try every step of a mode.

        Args:
            mode: Mode of the reduction.
        """
        self.mode = mode
        layers = range(self.network.depth - 1, 0, -1)  # from the top: the rank above bounds the layer below
        self._project()
        for layer in layers:
            self._drop_dead(layer, keep_values=mode == "pair")
        if mode != "design":
            for layer in layers:
                self._vertex(layer, mode)
            return
        for sweep in range(self.settings.num_sweeps):
            norm = self.network.squared_norm
            for layer in layers:
                self._design(layer, rough=sweep == 0)
            if self.network.squared_norm > norm * (1 - self.settings.design_gap_relative):
                break
        for layer in layers:
            self._drop_dead(layer, keep_values=False)
            self._vertex(layer, "vertex-b")
            self._design(layer)
        self._thin(layers)
        # A design moves weights, so that more columns may have become superfluous.
        for layer in layers:
            self._vertex(layer, "vertex-b")
        self._settle()

    def _project(self) -> None:
        started = self._announce("project", 0)
        candidate, _ = projected(self.network, self.points)
        self._judge("project", 0, candidate, None, started)

    def _drop_dead(self, layer: int, *, keep_values: bool) -> None:
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

    def _vertex(self, layer: int, mode: VertexMode) -> None:
        if self.network.widths[layer] == 0:
            return
        started = self._announce(mode, layer)
        view = view_layer(self.network, self.points, layer)
        problem = VertexProblem.of(view, mode)
        if problem.memory_bytes > self.settings.max_memory_bytes:
            if problem.can_shrink:
                self._leave_out(mode, layer, problem)
            return
        selection = problem.solve(self.settings.solver, self._inside(mode, layer))
        if selection is not None:
            candidate = apply_selection(self.network, self.points, selection)
            self._judge(mode, layer, candidate, selection, started)

    def _design(self, layer: int, *, rough: bool = False) -> None:
        view = view_layer(self.network, self.points, layer)
        if self.network.widths[layer] == 0 or not bool((view.costs > 0).all()):
            return
        started = self._announce("design", layer)
        settings = self.settings
        threshold = settings.drop_below_relative
        selections, result = design_selection(
            view,
            max_steps=settings.max_design_steps,
            gap_tolerance_relative=settings.first_gap_relative if rough else settings.design_gap_relative,
            drop_below_relative=(threshold, threshold * 1e-3, 0.0),
            progress=self._inside("design", layer),
        )
        # Dropping too many neurons can cost norm: then fewer are dropped.
        for selection in selections:
            candidate = apply_selection(self.network, self.points, selection)
            if self._judge("design", layer, candidate, selection, started, result.gap_relative):
                return

    def _thin(self, layers: range) -> None:
        limit = min(self.network.squared_norm * (1 + self.settings.thinning_norm_relative), self.norm)
        for _ in range(_THINNING_SWEEPS):
            before = self.network.widths
            for left, layer in zip(range(len(layers), 0, -1), layers, strict=True):
                norm = self.network.squared_norm
                share = norm + max(limit - norm, 0.0) / left
                number = self.network.widths[layer] // 4
                while number > 0:
                    if not self._drop_weakest(layer, number, share):
                        number //= 2
            if self.network.widths == before:
                break

    def _settle(self) -> None:
        # Designs weigh two neighbouring layers; what is left is the balance of all of them.
        for _ in range(_MAX_SETTLING_STEPS):
            started, norm = self._announce("settle", 0), self.network.squared_norm
            candidate = settled_once(self.network, self.points)
            if candidate.squared_norm > norm * (1 - _SETTLED_RELATIVE):
                break
            if not self._judge("settle", 0, candidate, None, started):
                break

    def _drop_weakest(self, layer: int, number: int, norm_limit: float) -> bool:
        started = self._announce("thin", layer)
        view = view_layer(self.network, self.points, layer)
        kept = view.costs.argsort(descending=True, stable=True)[:-number].sort().values
        selection = Selection(layer, kept, view.costs.new_ones(len(kept)))
        candidate = apply_selection(self.network, self.points, selection)
        if not self._same_outputs(candidate):
            return False
        selections, result = design_selection(
            view_layer(candidate, self.points, layer),
            max_steps=_THINNING_STEPS,
            gap_tolerance_relative=_THINNING_GAP_RELATIVE,
            drop_below_relative=(self.settings.drop_below_relative,),
        )
        # Both in one step: which of the neurons that are there now stay, and with which weights.
        whole = Selection(layer, kept[selections[0].kept], selections[0].weights)
        candidate = apply_selection(self.network, self.points, whole)
        if candidate.squared_norm > norm_limit or not self._same_outputs(candidate):
            return False
        return self._judge("thin", layer, candidate, whole, started, result.gap_relative, norm_limit)

    def _same_outputs(self, candidate: HomogeneousNetwork) -> bool:
        change = float((candidate(self.points) - self.outputs).abs().max())
        return change <= self.settings.output_tolerance_relative * self.scale

    def _announce(self, operation: str, layer: int) -> float:
        if self.progress is not None:
            self.progress(operation, layer, 0, 0)
        return time.perf_counter()

    def _inside(self, operation: str, layer: int) -> Callable[[int, int], None] | None:
        progress = self.progress
        if progress is None:
            return None
        return lambda done, total: progress(operation, layer, done, total)

    def _leave_out(self, mode: VertexMode, layer: int, problem: VertexProblem) -> None:
        needs = (
            f"the {mode} step of layer {layer} ({problem.num_rows} constraints on {problem.num_neurons} "
            f"neurons) needs about {problem.memory_bytes / 2**30:.1f} GiB, the limit is "
            f"{self.settings.max_memory_bytes / 2**30:.1f} GiB"
        )
        if self.mode != "design":
            raise InputError(
                f"{needs}: raise ReductionSettings.max_memory_bytes, take fewer points, mode 'design' (which "
                "can do without the step), or an approximate mode (truncated_rank_reduction, "
                "coreset_reduction)"
            )
        if needs not in self.left_out:
            self.left_out.append(needs)

    def _judge(
        self,
        operation: str,
        layer: int,
        candidate: HomogeneousNetwork,
        selection: Selection | None,
        started: float,
        gap_relative: float | None = None,
        norm_limit: float | None = None,
    ) -> bool:
        change = float((candidate(self.points) - self.outputs).abs().max())
        if norm_limit is None:
            norm_limit = min(self.network.squared_norm, self.norm) * (1 + _NORM_SLACK_RELATIVE)
        accepted = (
            change <= self.settings.output_tolerance_relative * self.scale
            and candidate.squared_norm <= norm_limit
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
