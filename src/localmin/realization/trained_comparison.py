"""Compare two trained networks: the functions, the data, the path between them, and pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from localmin.charts import Figure
from localmin.errors import InputError
from localmin.realization.comparison import Comparison, compare_networks
from localmin.realization.pictures import comparison_figures, path_chart
from localmin.realization.seminorm import seminorm_work
from localmin.realization.sup_distance import SupDistance, sup_distance
from localmin.realization.trained_pairs import TrainedPair
from localmin.tasks.storage import finite

__all__ = ["TrainedComparison", "compare_trained", "parse_box"]

_MAX_BOXES = 20_000
_LONG_WORK = 30_000_000
_MANY_PLANES = 20_000
_STEPS_PER_SECOND = 10_000_000


@dataclass(frozen=True, eq=False)
class TrainedComparison:
    """A comparison with what belongs to trained networks.

    Args:
        comparison: Equality, distances, what differs.
        inputs: What the networks are functions of: "prepared", "raw" or "unknown" inputs.
        widths_a: Layer widths of the first network.
        widths_b: Of the second.
        box: Range of the inputs for ``sup``, or None.
        sup: Bounds of the largest difference on the box; None without one or for deeper networks.
        losses_as_given: Loss of the task on the straight line between the parameters; empty without a
            task.
        losses_aligned: The same to the aligned second network.
        figures: Pictures.
    """

    comparison: Comparison
    inputs: str
    widths_a: tuple[int, ...]
    widths_b: tuple[int, ...]
    box: tuple[float, float] | None
    sup: SupDistance | None
    losses_as_given: tuple[float, ...]
    losses_aligned: tuple[float, ...]
    figures: tuple[Figure, ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types; what is infinite or undefined becomes null."""
        content = {
            **self.comparison.to_dict(),
            "inputs": self.inputs,
            "widths_a": list(self.widths_a),
            "widths_b": list(self.widths_b),
            "box": None if self.box is None else list(self.box),
            "sup": None if self.sup is None else self.sup.to_dict(),
            "losses_as_given": list(self.losses_as_given),
            "losses_aligned": list(self.losses_aligned),
            "figures": [figure.to_dict() for figure in self.figures],
        }
        plain: dict[str, Any] = finite(content)
        return plain


def compare_trained(
    pair: TrainedPair,
    *,
    tolerance_relative: float | None = None,
    max_work: int = 100_000_000,
    box: tuple[float, float] | None = None,
    seed: int = 0,
    announce: Callable[[str], None] | None = None,
) -> TrainedComparison:
    """Compare two trained networks in every way that they allow.

    Args:
        pair: The networks.
        tolerance_relative: As in `same_function`.
        max_work: As in `seminorm_distance`.
        box: Bound the largest difference for inputs in this range, the same for all coordinates.
        seed: Of sampled inputs.
        announce: Told what long work is ahead, before it starts.

    Returns:
        The comparison.

    Raises:
        InputError: If a box is given for networks with several hidden layers, or an option is out of range.
    """
    a, b = pair.a, pair.b
    is_deep = max(a.depth, b.depth) > 2
    if box is not None and is_deep:
        raise InputError(
            "a certified bound on a box is available for at most one hidden layer, got widths "
            f"{a.widths} and {b.widths}; leave --box out"
        )
    say = announce or (lambda text: None)
    if not is_deep and (a.widths[0], a.widths[-1]) == (b.widths[0], b.widths[-1]):
        _announce_work(say, seminorm_work(a, b), max_work)
    comparison = compare_networks(
        a,
        b,
        x=pair.x,
        tolerance_relative=tolerance_relative,
        max_work=max_work,
        seed=seed,
        progress=_tenths(say),
    )
    sup = None
    if box is not None:
        corners = (torch.full((a.widths[0],), edge, dtype=torch.float64) for edge in box)
        sup = sup_distance(a, b, *corners, tolerance_relative=1e-3, max_boxes=_MAX_BOXES)
    alignment = comparison.alignment
    losses = None if alignment is None else pair.losses_along_path(alignment)
    figures = comparison_figures(a, b, comparison)
    return TrainedComparison(
        comparison=comparison,
        inputs=pair.inputs,
        widths_a=a.widths,
        widths_b=b.widths,
        box=box,
        sup=sup,
        losses_as_given=() if losses is None else tuple(losses[0].tolist()),
        losses_aligned=() if losses is None else tuple(losses[1].tolist()),
        figures=figures if losses is None else (*figures, path_chart(*losses)),
    )


def parse_box(text: str | None) -> tuple[float, float] | None:
    """Read a range such as ``"-1,1"``.

    Args:
        text: As typed, or None.

    Returns:
        Both ends, or None.

    Raises:
        InputError: If it is no range.

    Example:
        >>> parse_box("-1,2.5")
        (-1.0, 2.5)
    """
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--box expects two numbers such as -1,1, got {text!r}") from None
    if not (low <= high and abs(low) < float("inf") and abs(high) < float("inf")):
        raise InputError(f"--box expects a finite range LOW,HIGH with LOW <= HIGH, got {text!r}")
    return low, high


def _tenths(say: Callable[[str], None]) -> Callable[[int, int], None]:
    """Report progress of long work once every tenth."""
    told = 0

    def report(done: int, total: int) -> None:
        nonlocal told
        tenth = 10 * done // max(total, 1)
        if total >= _MANY_PLANES and told < tenth < 10:
            told = tenth
            say(f"exact distance: {10 * tenth} %")

    return report


def _announce_work(say: Callable[[str], None], work: int, max_work: int) -> None:
    if work > max_work:
        say(
            f"the exact distance takes {work:.2g} steps, more than --max-work {max_work:.2g}: "
            "giving bounds of it instead"
        )
    elif work > _LONG_WORK:
        say(f"the exact distance takes {work:.2g} steps, about {work / _STEPS_PER_SECOND:.0f} s")
