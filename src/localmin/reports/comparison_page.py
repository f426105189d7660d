"""A comparison of two networks as lines in a terminal, as JSON, and as one HTML file."""

from __future__ import annotations

from pathlib import Path

from localmin.realization.comparison import Comparison, KinkDifference
from localmin.realization.trained_comparison import TrainedComparison
from localmin.reports.plots import draw_figure
from localmin.reports.templating import page_assets, template_environment
from localmin.tasks.environment import versions
from localmin.tasks.schemas import write_versioned
from localmin.tasks.storage import write_text

__all__ = ["describe_comparison", "render_comparison", "write_comparison"]

VERDICT_WORDS = {
    "equal": "the same function",
    "different": "different functions",
    "undecided": "undecided: neither equality nor a difference could be shown",
}
_INPUT_WORDS = {
    "prepared": "as functions of the normalised inputs",
    "raw": "as functions of the raw inputs, because the runs normalise them differently",
    "unknown": "from bare weights, read as linear layers with ReLUs between",
}
_NUM_SHOWN = 5


def describe_comparison(result: TrainedComparison) -> list[tuple[str, str]]:
    """Put a comparison into words.

    Args:
        result: The comparison.

    Returns:
        Pairs of a short name and a sentence, the verdict first.
    """
    found = result.comparison
    equality = found.equality
    lines = [
        ("verdict", f"{VERDICT_WORDS[equality.verdict]} ({equality.reason})"),
        (
            "networks",
            f"{_widths(result.widths_a)} and {_widths(result.widths_b)}, {_INPUT_WORDS[result.inputs]}",
        ),
    ]
    if equality.witness is not None:
        text = f"outputs differ by {equality.gap:.3g} at an input of {len(equality.witness)} numbers"
        if len(equality.witness) <= _NUM_SHOWN:
            text += f", ({', '.join(f'{value:.4g}' for value in equality.witness.tolist())})"
        lines.append(("witness", text))
    if equality.upper_bound < float("inf"):
        lines.append(
            (
                "bound",
                f"outputs differ by at most {equality.upper_bound:.2g} of the scale, for every input",
            )
        )
    if found.seminorm is not None:
        exact, low, high = found.seminorm.exact, found.seminorm.lower, found.seminorm.upper
        text = f"exactly {found.seminorm.value:.6g}" if exact else f"between {low:.4g} and {high:.4g}"
        lines.append(("largest difference of a derivative", text))
        if not exact:
            lines.append(("exact value", f"needs {found.seminorm.work:.2g} steps; --max-work allows them"))
    if result.sup is not None and result.box is not None:
        lines.append(
            (
                f"largest difference for inputs in [{result.box[0]:g}, {result.box[1]:g}]",
                f"between {result.sup.lower:.4g} and {result.sup.upper:.4g}, certified",
            )
        )
    if found.on_data is not None:
        text = f"largest {found.on_data.largest:.3g}, mean {found.on_data.mean:.3g}"
        if found.on_data.same_prediction == found.on_data.same_prediction:
            text += f"; the same prediction for {found.on_data.same_prediction:.1%}"
        lines.append((f"difference on {found.on_data.num_rows} validation examples", text))
    return [*lines, *_what_differs(found), *_distances(result)]


def render_comparison(result: TrainedComparison, *, names: tuple[str, str]) -> None:
    """Print a comparison, one line a fact.

    Args:
        result: The comparison.
        names: Of both networks.
    """
    print(f"a: {names[0]}\nb: {names[1]}")
    for name, text in describe_comparison(result):
        print(f"{name}: {text}")


def write_comparison(
    folder: Path, result: TrainedComparison, *, names: tuple[str, str], command: str
) -> Path:
    """Write ``comparison.json`` and ``comparison.html``.

    Args:
        folder: Where to.
        result: The comparison.
        names: Of both networks.
        command: What was typed.

    Returns:
        The page. It needs no network and no other file.
    """
    environment = template_environment()
    lines = describe_comparison(result)
    page = environment.get_template("comparison_of_networks.html").render(
        names=names,
        lead=VERDICT_WORDS[result.comparison.equality.verdict],
        lines=lines,
        kinks=[_kink_row(each) for each in result.comparison.differences[:60]],
        num_kinks=len(result.comparison.differences),
        figures=[(draw_figure(figure), figure.title, figure.note) for figure in result.figures],
        command=command,
        versions=versions(),
        **page_assets(environment),
    )
    content = {**result.to_dict(), "command": command, "versions": versions()}
    write_versioned(folder / "comparison.json", "comparison", content)
    path = folder / "comparison.html"
    write_text(path, page)
    return path


def _what_differs(found: Comparison) -> list[tuple[str, str]]:
    lines = []
    if found.seminorm is not None and found.num_common_kinks + len(found.differences) > 0:
        kinds = [each.kind for each in found.differences]
        lines.append(
            (
                "kinks",
                f"{found.num_common_kinks} agree, {kinds.count('both')} jump differently, "
                f"{kinds.count('only-a')} only in a, {kinds.count('only-b')} only in b",
            )
        )
        for each in found.differences[:_NUM_SHOWN]:
            lines.append(
                (
                    "differs",
                    f"neurons {_list(each.neurons_a)} of a and {_list(each.neurons_b)} of b, jump by "
                    f"{each.size:.3g}",
                )
            )
    if found.neurons is not None:
        for layer, match in enumerate(found.neurons.layers, start=1):
            lines.append(
                (
                    f"hidden layer {layer}",
                    f"{match.num_common} neurons match, {len(match.only_a)} only in a "
                    f"({_list(match.only_a)}), {len(match.only_b)} only in b ({_list(match.only_b)})",
                )
            )
    return lines


def _distances(result: TrainedComparison) -> list[tuple[str, str]]:
    found, lines = result.comparison, []
    if found.alignment is not None:
        lines.append(
            (
                "distance of the parameters",
                f"{found.alignment.distance_before:.4g} as given, {found.alignment.distance_after:.4g} "
                "after permuting and rescaling neurons",
            )
        )
    if result.losses_as_given:
        ends = max(result.losses_as_given[0], result.losses_as_given[-1])
        lines.append(
            (
                "loss on the straight line",
                f"rises to {max(result.losses_as_given):.4g} as given, {max(result.losses_aligned):.4g} "
                f"aligned (worse end {ends:.4g})",
            )
        )
    return lines


def _kink_row(each: KinkDifference) -> list[str]:
    return [
        each.kind.replace("-", " "),
        f"{each.size:.4g}",
        _list(each.neurons_a),
        _list(each.neurons_b),
        f"{each.offset:.4g}",
    ]


def _list(indices: tuple[int, ...]) -> str:
    if not indices:
        return "none"
    shown = ", ".join(str(index) for index in indices[:_NUM_SHOWN])
    return f"{shown} and {len(indices) - _NUM_SHOWN} more" if len(indices) > _NUM_SHOWN else shown


def _widths(widths: tuple[int, ...]) -> str:
    return "-".join(str(width) for width in widths)
