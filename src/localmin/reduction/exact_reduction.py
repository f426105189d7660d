"""Exact reduction: the same outputs on the points, no larger norm, as few neurons as theory gives."""

import time
from collections.abc import Callable
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.model_reading import ModelT, read_model, read_points
from localmin.reduction.rank_decisions import (
    ExactMode,
    RankDecision,
    count_bounds,
    needed_widths,
    rank_decisions,
)
from localmin.reduction.reduction_steps import Progress, ReductionRun, ReductionSettings
from localmin.reduction.result import Reduction

__all__ = ["reduce"]


def reduce(
    model: ModelT,
    x: Float[Tensor, "n inputs"],
    *,
    mode: ExactMode = "design",
    extra_points: Float[Tensor, "extra inputs"] | None = None,
    held_out_points: Float[Tensor, "held inputs"] | None = None,
    loss: Callable[[Tensor], Tensor] | None = None,
    penalty: float | None = None,
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
        model: A module that is a chain of linear layers with ReLU, leaky ReLU or nothing between (an
            `nn.Sequential`, or a forward of your own), `ReLUNetwork` or `DeepLinear`. Not modified. Biases
            count in the norm: if weight decay was off for them, the norm below is not the penalty that was
            trained with.
        x: Points on which the outputs stay, shape ``(n, n_0)``; usually the training inputs.
        mode: "design": optimal re-weighting of the neurons, then vertices; fewest neurons and smallest norm.
            "vertex-b": keep the next pre-activations. "vertex-c": keep the covariance of the activations.
            "pair": keep both covariances of each hidden layer; changes least elsewhere.
        extra_points: Further inputs, without labels, on which the outputs stay too, shape ``(e, n_0)``.
        held_out_points: Inputs on which the drift is measured only, shape ``(h, n_0)``.
        loss: Maps the outputs on ``x``, shape ``(n, n_L)``, to the unregularised loss; for the figures of the
            result only.
        penalty: Factor of the squared norm, with a loss. torch's ``weight_decay = w`` means ``w / 2``.
        settings: Tolerances and limits.
        progress: Called as ``progress(operation, layer, done, total)``: with zeros before each step, and
            inside long ones with how far they are. `plan_reduction` says beforehand what memory is needed.

    Returns:
        The reduced model of the same kind, with the evidence.

    Raises:
        InputError: If the model cannot be reduced exactly (the message names module and reason), the mode
            is unknown, the points do not fit, or a vertex mode needs more memory than the limit.

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
    if mode not in get_args(ExactMode):
        raise InputError(f"unknown mode {mode!r}: choose one of {', '.join(map(repr, get_args(ExactMode)))}")
    if (loss is None) != (penalty is None) or not (penalty is None or penalty >= 0):
        raise InputError(
            f"loss and penalty belong together, and the penalty must be at least 0, got penalty {penalty}"
        )
    started = time.perf_counter()
    reading = read_model(model)
    original, points = reading.network, read_points("x", x, reading)
    num_labelled = len(points)
    if extra_points is not None:
        points = torch.cat([points, read_points("extra_points", extra_points, reading)])
    held_out = None if held_out_points is None else read_points("held_out_points", held_out_points, reading)
    run = ReductionRun(original, points, settings or ReductionSettings(), progress)
    run.carry_out(mode)
    reduced, rebuilt = run.network, reading.rebuild(run.network)
    outputs, after = original(points), reduced(points)
    change = float((after - outputs).abs().max())
    decisions = rank_decisions(original, points)
    bounds = count_bounds(original, points, mode)
    needed = needed_widths(mode, bounds, decisions)
    losses: tuple[float | None, float | None] = (None, None)
    if loss is not None and penalty is not None:
        losses = (
            float(loss(outputs[:num_labelled])) + penalty * original.squared_norm,
            float(loss(after[:num_labelled])) + penalty * reduced.squared_norm,
        )
    return Reduction(
        network=rebuilt,
        mode=mode,
        widths_before=original.widths,
        widths_after=reduced.widths,
        num_parameters_before=original.num_parameters,
        num_parameters_after=reduced.num_parameters,
        norm_before=original.squared_norm,
        norm_after=reduced.squared_norm,
        loss_before=losses[0],
        loss_after=losses[1],
        max_output_change=change,
        max_output_change_relative=change / run.scale,
        max_output_change_stored=float((read_model(rebuilt).network(points) - outputs).abs().max()),
        drift_relative=None if held_out is None else drift(reduced, original, held_out),
        num_points=len(points),
        bounds=bounds,
        ranks=decisions,
        steps=tuple(run.steps),
        remarks=tuple(_remarks(original, mode, needed, decisions, run.left_out, held_out is None)),
        seconds=time.perf_counter() - started,
    )


def drift(
    network: HomogeneousNetwork, original: HomogeneousNetwork, points: Float[Tensor, "n inputs"]
) -> float:
    """Compute the root mean square output change over the root mean square output.

    Args:
        network: Changed network.
        original: Network before.
        points: Rows to measure on.

    Returns:
        The ratio; the plain change if the original is zero there.
    """
    reference = original(points)
    size = float(reference.norm())
    return float((network(points) - reference).norm()) / (size if size > 0 else 1.0)


def _remarks(
    network: HomogeneousNetwork,
    mode: ExactMode,
    needed: tuple[int, ...],
    decisions: tuple[RankDecision, ...],
    left_out: list[str],
    no_held_out: bool,
) -> list[str]:
    remarks = []
    if no_held_out:
        remarks.append("drift off the points was not measured: no held-out points were given")
    full = [
        f"layer {layer} ({width} neurons, {need} needed)"
        for layer, (width, need) in enumerate(zip(network.widths[1:-1], needed, strict=True), start=1)
        if width <= need
    ]
    if full:
        remarks.append(
            f"not wider than what so many points need in mode {mode!r}: {', '.join(full)}; there only dead, "
            "parallel or dependent neurons can go exactly. Fewer points or an approximate mode go further"
        )
    remarks += [f"left out: {text}" for text in left_out]
    remarks += [
        f"the rank {decision.rank} of what feeds layer {decision.layer + 1} is not clear-cut: next to the "
        f"tolerance lie the singular values {decision.smallest_kept_relative:.0e} (kept) and "
        f"{decision.largest_dropped_relative:.0e} (dropped), relative to the largest"
        for decision in decisions
        if not decision.is_clear
    ]
    if any(bias is not None for bias in network.biases):
        remarks.append(
            "biases count in the norm: it is the training penalty only if weight decay was on for them too"
        )
    return remarks
