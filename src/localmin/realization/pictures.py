"""Pictures of a pair of networks as data: kinks in one or two dimensions, and how neurons match."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from localmin.charts import Chart, Emphasis, Figure, HeatMap, Level, Series
from localmin.networks import ReLUNetwork
from localmin.realization.comparison import Comparison, kink_differences
from localmin.realization.deep_symmetries import NeuronMatch, match_neurons
from localmin.realization.invariants import Invariants, invariants
from localmin.realization.neurons import as_network

__all__ = ["comparison_figures", "kinks_in_the_plane", "kinks_on_a_line", "matching_chart", "path_chart"]

_NUM_POINTS = 401
_GRID = 61
_MAX_KINKS = 400


def comparison_figures(
    a: ReLUNetwork | nn.Module, b: ReLUNetwork | nn.Module, comparison: Comparison
) -> tuple[Figure, ...]:
    """Choose the pictures that a pair allows.

    Args:
        a: First network.
        b: Second network.
        comparison: What `compare_networks` found.

    Returns:
        Kinks for one or two inputs and at most one hidden layer; how neurons match for any with hidden
        layers.
    """
    first, second = as_network(a), as_network(b)
    figures: list[Figure] = []
    is_shallow = max(first.depth, second.depth) <= 2
    if first.widths[0] == 1:
        figures.append(kinks_on_a_line(first, second))
    if first.widths[0] == 2 and is_shallow:
        figures += kinks_in_the_plane(first, second)
    chart = matching_chart(first, second, match=comparison.neurons)
    return (*figures, chart) if chart is not None else tuple(figures)


def kinks_on_a_line(
    a: ReLUNetwork | nn.Module, b: ReLUNetwork | nn.Module, *, output: int | None = None
) -> Chart:
    """Show two functions of one input, with the kinks of both for at most one hidden layer.

    Args:
        a: First network, one input.
        b: Second network.
        output: Output to show; by default the one that differs most.

    Returns:
        A chart.

    Example:
        >>> one, two = torch.ones(1, 1), 2 * torch.ones(1, 1)
        >>> chart = kinks_on_a_line(ReLUNetwork([one, one]), ReLUNetwork([two, one]))
        >>> [series.name for series in chart.series]
        ['a', 'b', 'kinks of a', 'kinks of b']
    """
    first, second = (as_network(net).to(dtype=torch.float64, device="cpu") for net in (a, b))
    is_shallow = max(first.depth, second.depth) <= 2
    places = [_kinks_1d(invariants(net)) if is_shallow else [] for net in (first, second)]
    low, high = _interval([*places[0], *places[1]])
    x = torch.linspace(low, high, _NUM_POINTS, dtype=torch.float64)
    x = torch.unique(torch.cat([x, torch.tensor([*places[0], *places[1]], dtype=torch.float64)]))
    values = [net(x[:, None]).detach() for net in (first, second)]
    if output is None:
        output = int((values[0] - values[1]).abs().amax(dim=0).argmax())
    looks: tuple[tuple[str, Emphasis], ...] = (("a", "accent"), ("b", "dashed"))
    series = [
        Series(name, tuple(x.tolist()), tuple(value[:, output].tolist()), emphasis=emphasis)
        for (name, emphasis), value in zip(looks, values, strict=True)
    ]
    for (name, _), net, kinks in zip(looks, (first, second), places, strict=True):
        if kinks:
            at = torch.tensor(kinks, dtype=torch.float64)
            heights = net(at[:, None]).detach()[:, output]
            emphasis: Emphasis = "accent" if name == "a" else "plain"
            series.append(
                Series(f"kinks of {name}", tuple(kinks), tuple(heights.tolist()), "points", emphasis)
            )
    note = f"Output {output} of both functions" + (", a dot at every kink." if is_shallow else ".")
    return Chart("functions", "The two functions", "input", f"output {output}", tuple(series), note=note)


def kinks_in_the_plane(a: ReLUNetwork | nn.Module, b: ReLUNetwork | nn.Module) -> tuple[Figure, Figure]:
    """Show the kink lines of two functions of two inputs, and where the functions differ.

    Args:
        a: First network, two inputs, at most one hidden layer.
        b: Second network.

    Returns:
        A chart of the lines (common ones, those of one network only, those with different jumps), and a map
        of the largest difference of an output over the same square.
    """
    first, second = (as_network(net).to(dtype=torch.float64, device="cpu") for net in (a, b))
    differences, _ = kink_differences(first, second)
    apart = {_key(each.normal, each.offset): each.kind for each in differences}
    lines: dict[str, list[tuple[tuple[float, float], float]]] = {}
    for net, kinds in ((first, ("common", "both", "only-a")), (second, ("only-b",))):
        found = invariants(net)
        for normal, offset in list(zip(found.normals.tolist(), found.offsets.tolist(), strict=True))[
            :_MAX_KINKS
        ]:
            kind = apart.get(_key(normal, offset), "common")
            if kind not in kinds:
                continue
            lines.setdefault(kind, []).append(((normal[0], normal[1]), offset))
    reach = 1.5 * max((abs(offset) for group in lines.values() for _, offset in group), default=1.0) or 1.0
    looks: dict[str, tuple[str, Emphasis]] = {
        "common": ("in both", "muted"),
        "only-a": ("only in a", "accent"),
        "only-b": ("only in b", "plain"),
        "both": ("different jump", "dashed"),
    }
    series = []
    for kind, (name, emphasis) in looks.items():
        points = [point for normal, offset in lines.get(kind, []) for point in _clip(normal, offset, reach)]
        if any(math.isfinite(x) for x, _ in points):
            xs, ys = zip(*points, strict=True)
            series.append(Series(name, xs, ys, emphasis=emphasis))
    if not series:
        series = [Series("no kink", (0.0,), (0.0,), "points", "muted")]
    chart = Chart(
        "kinks",
        "Lines at which the gradients jump",
        "first input",
        "second input",
        tuple(series),
        note="Between the lines both functions are affine.",
    )
    axis = torch.linspace(-reach, reach, _GRID, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    gaps = (first(grid) - second(grid)).abs().amax(dim=1).view(_GRID, _GRID).T
    heat = HeatMap(
        "differences",
        "Where the functions differ",
        "first input",
        "second input",
        "largest difference of an output",
        tuple(axis.tolist()),
        tuple(axis.tolist()),
        tuple(tuple(row) for row in gaps.tolist()),
        note=f"Largest in this square: {float(gaps.max()):.3g}.",
    )
    return chart, heat


def matching_chart(
    a: ReLUNetwork | nn.Module, b: ReLUNetwork | nn.Module, *, match: NeuronMatch | None = None
) -> Chart | None:
    """Show how the hidden neurons of two networks correspond, as bars for each layer.

    Args:
        a: First network.
        b: Second network.
        match: What `match_neurons` found; computed if None.

    Returns:
        Common groups and neurons without a partner, or None where nothing could be matched.
    """
    first, second = as_network(a), as_network(b)
    if match is None:
        match = match_neurons(first, second)
    if not match.layers:
        return None
    index = tuple(float(layer) for layer in range(len(match.layers)))
    looks: Sequence[tuple[str, Emphasis, Callable[[int], int]]] = (
        ("in both", "muted", lambda layer: match.layers[layer].num_common),
        ("only in a", "accent", lambda layer: len(match.layers[layer].only_a)),
        ("only in b", "plain", lambda layer: len(match.layers[layer].only_b)),
    )
    return Chart(
        "matching",
        "Neurons that match up to a positive factor",
        "hidden layer",
        "neurons",
        tuple(
            Series(name, index, tuple(float(count(layer)) for layer in range(len(index))), "bars", emphasis)
            for name, emphasis, count in looks
        ),
        categories=tuple(str(layer + 1) for layer in range(len(index))),
        note="A neuron of a later layer can only match if its inputs were matched.",
    )


def path_chart(before: Tensor, after: Tensor, *, loss_name: str = "loss") -> Chart:
    """Show the loss on the straight line between two networks, before and after alignment.

    Args:
        before: Losses from the first network to the second, as `loss_along_path` gives them.
        after: Losses from the first network to the aligned second one.
        loss_name: For the axis.

    Returns:
        A chart.
    """
    shares = tuple(torch.linspace(0, 1, len(before), dtype=torch.float64).tolist())
    ends = max(float(before[0]), float(before[-1]))
    return Chart(
        "path",
        "Loss on the straight line between the two networks",
        "share of the second network",
        loss_name,
        (
            Series("as given", shares, tuple(before.tolist()), emphasis="muted"),
            Series("aligned", shares, tuple(after.tolist()), emphasis="accent"),
        ),
        levels=(Level(ends, "worse end"),),
        note=f"Highest above the worse end: {float(before.max()) - ends:.3g} as given, "
        f"{float(after.max()) - ends:.3g} aligned.",
    )


def _kinks_1d(found: Invariants) -> list[float]:
    return sorted((-found.offsets * found.normals[:, 0]).tolist())[:_MAX_KINKS]


def _interval(places: Sequence[float]) -> tuple[float, float]:
    low, high = min(places, default=-1.0), max(places, default=1.0)
    margin = 0.25 * (high - low) or 1.0
    return low - margin, high + margin


def _key(normal: Sequence[float], offset: float) -> tuple[float, ...]:
    return tuple(round(value, 9) for value in (*normal, offset))


def _clip(normal: tuple[float, float], offset: float, reach: float) -> list[tuple[float, float]]:
    """Cut the line ``<normal, x> + offset = 0`` to the square; a gap follows."""
    foot = (-offset * normal[0], -offset * normal[1])
    step = (-normal[1], normal[0])
    low, high = -math.inf, math.inf
    for at, move in zip(foot, step, strict=True):
        if move == 0.0:
            if abs(at) > reach:
                return []
            continue
        ends = sorted(((-reach - at) / move, (reach - at) / move))
        low, high = max(low, ends[0]), min(high, ends[1])
    if low >= high:
        return []
    points = [(foot[0] + t * step[0], foot[1] + t * step[1]) for t in (low, high)]
    return [*points, (math.nan, math.nan)]
