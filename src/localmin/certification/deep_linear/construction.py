"""Critical points of deep linear networks whose kind is known from how they were built."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.certification.deep_linear.data import Target, decompose, read_data, whiten
from localmin.errors import InputError
from localmin.numerics import as_generator

__all__ = ["ConstructedPoint", "construct_critical_point"]

_NUM_DRAWS = 200


@dataclass(frozen=True, eq=False)
class ConstructedPoint:
    """A critical point and its kind.

    Args:
        weights: ``W_1, ..., W_N``, float64.
        verdict: Known from the construction alone, without any linear algebra on the weights.
        selected: Components of the target that the product uses, counted from 1.
        reason: "exchange" or "pivot" for a strict saddle, else empty.
    """

    weights: tuple[Float[Tensor, "_ _"], ...]
    verdict: Literal["global-minimum", "strict-saddle", "non-strict-saddle"]
    selected: tuple[int, ...]
    reason: Literal["", "exchange", "pivot"]


def construct_critical_point(
    x: Float[Tensor, "n inputs"],
    y: Float[Tensor, "n outputs"],
    hidden_widths: Sequence[int],
    *,
    selected: Sequence[int] | None = None,
    links: Literal["random", "none"] = "random",
    gauge_condition: float = 3.0,
    seed: int | torch.Generator = 0,
) -> ConstructedPoint:
    """Build a critical point from singular components of the target and from links between spare units.

    In every layer some units carry the selected components through the network; the others are joined by
    a random partial matching. Whether the point is critical, and of which kind, depends only on
    how far the chains of links reach. A random change of basis in every hidden layer hides it all.

    Args:
        x: Inputs, shape ``(n, d_0)``.
        y: Targets, shape ``(n, d_N)``.
        hidden_widths: ``(d_1, ..., d_{N-1})``; empty for a single layer.
        selected: Components the product uses, counted from 1; at most the smallest width. None: random.
        links: "random" matchings, or "none": spare units are not joined at all.
        gauge_condition: Largest condition number of each change of basis; 1 gives rotations.
        seed: Integer or CPU generator.

    Returns:
        Weights and verdict.

    Raises:
        ShapeError: If ``x`` or ``y`` is no matrix of the right size.
        InputError: If ``selected`` names a component that does not exist, or too many, or an option is out
            of range.
        DataError: If the data are empty or not finite.

    Source:
        Derived here. With layers counted from 0: for a missing component let l be the last layer reached by
        the chain from its input, k the last one reached by the chain back from its output. Critical
        means ``k - l >= 2`` for all; it is then a strict saddle if links lead from layer ``l + 1`` to
        ``k - 1``, or these are the same layer, for some component.

    Cost:
        One singular value decomposition; up to 200 draws of the links.

    Example:
        >>> target = torch.diag(torch.tensor([3.0, 1.0]))
        >>> point = construct_critical_point(torch.eye(2), target, (2,), selected=[2])
        >>> point.verdict, point.reason
        ('strict-saddle', 'exchange')
    """
    x, y = read_data(x, y)
    if not (math.isfinite(gauge_condition) and gauge_condition >= 1.0):
        raise InputError(f"expected gauge_condition >= 1, got {gauge_condition}")
    if links not in ("random", "none"):
        raise InputError(f"expected links 'random' or 'none', got {links!r}")
    if any(width < 1 for width in hidden_widths):
        raise InputError(f"expected hidden widths >= 1, got {tuple(hidden_widths)}")
    generator = as_generator(seed)
    whitening = whiten(x, y)
    target = decompose(whitening.target, y)
    widths = (whitening.target.shape[1], *hidden_widths, y.shape[1])
    used = _read_selection(selected, len(target.values), min(widths), generator)
    matchings = _draw_matchings(widths, len(used), len(target.values), links, generator)
    verdict, reason = _kind(matchings, widths, used, target)
    adapted = _assemble(matchings, widths, used, target)
    gauges = [_gauge(width, gauge_condition, generator) for width in hidden_widths]
    weights = []
    for layer, weight in enumerate(adapted):
        if layer < len(gauges):
            weight = gauges[layer] @ weight
        if layer > 0:
            weight = weight @ torch.linalg.inv(gauges[layer - 1])
        weights.append(weight)
    unseen = torch.eye(x.shape[1], dtype=x.dtype) - (whitening.lift @ whitening.pull).cpu()
    free = torch.randn(weights[0].shape[0], x.shape[1], generator=generator, dtype=x.dtype) @ unseen
    weights = [weight.to(x) for weight in weights]
    weights[0] = weights[0] @ whitening.pull + free.to(x)
    return ConstructedPoint(tuple(weights), verdict, tuple(k + 1 for k in used), reason)


Matching = dict[int, tuple[int, float]]


def _draw_matchings(
    widths: Sequence[int], rank: int, num_components: int, links: str, generator: torch.Generator
) -> list[Matching]:
    # Spare unit u of layer 0 or N belongs to the u-th missing component, if there are so many.
    spare = [width - rank for width in widths]
    num_missing = num_components - rank
    empty: list[Matching] = [{} for _ in widths[1:]]
    for _ in range(_NUM_DRAWS if links == "random" else 0):
        drawn = [_draw_matching(before, after, generator) for before, after in itertools.pairwise(spare)]
        if _is_critical(drawn, spare[0], num_missing):
            return drawn
    return empty


def _draw_matching(num_before: int, num_after: int, generator: torch.Generator) -> Matching:
    density = float(torch.rand((), generator=generator))
    order = torch.randperm(num_after, generator=generator).tolist()
    strengths = 0.5 + torch.rand(num_before, generator=generator, dtype=torch.float64)
    signs = torch.randint(0, 2, (num_before,), generator=generator) * 2 - 1
    is_kept = torch.rand(num_before, generator=generator) < density
    matching = {}
    for unit, partner in zip(torch.randperm(num_before, generator=generator).tolist(), order, strict=False):
        if is_kept[unit]:
            matching[unit] = (partner, float(strengths[unit] * signs[unit]))
    return matching


def _is_critical(matchings: list[Matching], num_inputs: int, num_missing: int) -> bool:
    depth = len(matchings)
    if any(_reach_forward(matchings, unit) == depth for unit in range(num_inputs)):
        return False
    return all(
        _reach_backward(matchings, unit) - _reach_forward(matchings, unit) >= 2 for unit in range(num_missing)
    )


def _kind(
    matchings: list[Matching], widths: Sequence[int], used: Sequence[int], target: Target
) -> tuple[Literal["global-minimum", "strict-saddle", "non-strict-saddle"], Literal["", "exchange", "pivot"]]:
    values = target.values.tolist()
    missing = [k for k in range(len(values)) if k not in used]
    if any(values[q] > values[i] * (1.0 + 1e-9) for i in used for q in missing):
        return "strict-saddle", "exchange"
    if len(used) == min(*widths, len(values)):
        return "global-minimum", ""
    for unit in range(len(missing)):
        first, last = _reach_forward(matchings, unit) + 1, _reach_backward(matchings, unit) - 1
        starts = range(widths[first] - len(used))
        if any(_reach_forward(matchings[first:last], start) == last - first for start in starts):
            return "strict-saddle", "pivot"
    return "non-strict-saddle", ""


def _reach_forward(matchings: Sequence[Matching], unit: int) -> int:
    layer = 0
    while layer < len(matchings) and unit in matchings[layer]:
        unit = matchings[layer][unit][0]
        layer += 1
    return layer


def _reach_backward(matchings: Sequence[Matching], unit: int) -> int:
    layer = len(matchings)
    while layer > 0:
        sources = [source for source, (partner, _) in matchings[layer - 1].items() if partner == unit]
        if not sources:
            break
        unit = sources[0]
        layer -= 1
    return layer


def _assemble(
    matchings: list[Matching], widths: Sequence[int], used: Sequence[int], target: Target
) -> list[Tensor]:
    rank = len(used)
    weights = []
    for matching, before, after in zip(matchings, widths, widths[1:], strict=False):
        weight = torch.zeros(after, before, dtype=torch.float64)
        weight[:rank, :rank] = torch.eye(rank, dtype=torch.float64)
        for unit, (partner, strength) in matching.items():
            weight[rank + partner, rank + unit] = strength
        weights.append(weight)
    right, left = target.right.cpu(), target.left.cpu()
    weights[0][:, :rank] *= target.values.cpu()[list(used)]
    weights[0] = weights[0] @ right[_order(used, widths[0])]
    weights[-1] = left[:, _order(used, widths[-1])] @ weights[-1]
    return weights


def _order(used: Sequence[int], size: int) -> list[int]:
    return [*used, *(k for k in range(size) if k not in used)]


def _gauge(size: int, condition: float, generator: torch.Generator) -> Tensor:
    left, right = (
        torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]
        for _ in range(2)
    )
    exponents = torch.rand(size, generator=generator, dtype=torch.float64) - 0.5
    gauge: Tensor = left @ torch.diag(condition**exponents) @ right
    return gauge


def _read_selection(
    selected: Sequence[int] | None, num_components: int, smallest_width: int, generator: torch.Generator
) -> tuple[int, ...]:
    largest = min(num_components, smallest_width)
    if selected is None:
        size = int(torch.randint(0, largest + 1, (), generator=generator))
        return tuple(sorted(torch.randperm(num_components, generator=generator)[:size].tolist()))
    chosen = tuple(sorted(index - 1 for index in selected))
    if len(set(chosen)) != len(chosen) or any(not 0 <= index < num_components for index in chosen):
        raise InputError(
            f"expected distinct components from 1 to {num_components} (the rank of the whitened target), "
            f"got {tuple(selected)}"
        )
    if len(chosen) > largest:
        raise InputError(
            f"the smallest width {smallest_width} (inputs count with the rank of the data) carries at most "
            f"{largest} components, got {tuple(selected)}"
        )
    return chosen
