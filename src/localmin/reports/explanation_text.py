"""An explanation of one example, in a terminal's lines."""

from __future__ import annotations

from localmin.sampling.explanation import Explanation

__all__ = ["explanation_lines"]


def explanation_lines(found: Explanation) -> list[str]:
    """Write why an example is drawn as it is.

    Args:
        found: Of `localmin.sampling.explain`.

    Returns:
        Lines of plain text.
    """
    where = "" if found.row is None else f" (row {found.row} of the data)"
    lines = [
        f"example {found.index}{where}: given {found.label!r}, seen as {found.prediction!r}",
        f"drawn {found.draws:.3f} times an epoch (uniform: 1)" + _interval(found),
    ]
    if not found.recommended:
        lines.append("the policy was not recommended: this is what it would have done")
    lines.append("features (share of the examples below):")
    lines += [
        f"  {name:<17} {value:9.4f}  ({100 * found.ranks[name]:5.1f} %)"
        for name, value in found.features.items()
    ]
    lines += [_node_line(found, axis, place) for axis, place in found.places.items()]
    lines.append(f"policy factor {found.factor:.3f}, class prior {found.prior:.3f}")
    lines.append(_verdict(found))
    lines.append("nearest examples by the ranks of the features:")
    lines += [
        f"  {one.index:>7}  given {one.label!r}, seen as {one.prediction!r}, drawn {one.draws:.3f} times"
        for one in found.neighbours
    ]
    return lines


def _interval(found: Explanation) -> str:
    if found.draws_low is None or found.draws_high is None:
        return ""
    return f"; {found.draws_low:.3f} to {found.draws_high:.3f} under 90 % of the policies that fit the trials"


def _node_line(found: Explanation, axis: str, place: float) -> str:
    if axis not in found.nodes:
        return f"place on the axis {axis}: {place:.3f}"
    first, low, second, high, share = found.nodes[axis]
    way = f"{share:.0%} of the way from {first} ({low:.3f}) to {second} ({high:.3f})"
    return f"place on the axis {axis}: {place:.3f}, {way}"


def _verdict(found: Explanation) -> str:
    if found.held_out_credit is None:
        return "no trial held it out: networks that did not see it were not asked"
    verdict = "surely bad" if found.surely_bad else "not surely bad"
    return (
        f"networks that did not see it gave its label a mean credit of {found.held_out_credit:.3f}: {verdict}"
    )
