"""Regularised loss against width: where does it stop falling?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.reduction.regularized_training import Loss, train_regularized

__all__ = ["Plateau", "plateau"]


@dataclass(frozen=True)
class Plateau:
    """Result of `plateau`.

    Attributes:
        widths: Widths of all hidden layers, ascending.
        losses: Smallest regularised loss over the seeds at each width.
        losses_by_seed: One row a width, one entry a seed.
        start: Smallest width whose loss is within the tolerance of the widest network's.
        tolerance_relative: Tolerance used.
    """

    widths: tuple[int, ...]
    losses: tuple[float, ...]
    losses_by_seed: tuple[tuple[float, ...], ...]
    start: int
    tolerance_relative: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        plain = {**vars(self), "widths": list(self.widths), "losses": list(self.losses)}
        return {**plain, "losses_by_seed": [list(row) for row in self.losses_by_seed]}


def plateau(
    widths: Sequence[int],
    x: Float[Tensor, "n inputs"],
    y: Float[Tensor, "n outputs"],
    penalty: float,
    *,
    depth: int = 3,
    loss: Loss | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    tolerance_relative: float = 0.01,
    num_adam_steps: int = 1000,
    max_lbfgs_steps: int = 1000,
    bias: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Plateau:
    """Train ReLU networks of several widths and find the width from which wider ones gain nothing.

    Training finds local minima: each loss is an upper bound of the minimum at its width, so the curve can
    show a plateau that starts too early or too late. The minimum over seeds makes that less likely.

    Args:
        widths: Widths to try, each at least 1.
        x: Inputs, shape ``(n, n_0)``.
        y: Targets, shape ``(n, n_L)``, or whatever ``loss`` takes.
        penalty: Factor of the squared norm, at least 0.
        depth: Number of weight matrices, at least 2.
        loss: Maps outputs and targets to a scalar; ``(1/n) sum of squares`` by default.
        seeds: Seeds of the initial weights.
        tolerance_relative: Share of the widest network's loss that still counts as the same.
        num_adam_steps: As in `train_regularized`.
        max_lbfgs_steps: As in `train_regularized`.
        bias: Give every layer a (regularised) bias.
        progress: Called as ``progress(width, seed)`` before each training.

    Returns:
        Losses and the start of the plateau.

    Raises:
        InputError: If there is no width or no seed, or the depth is below 2.

    Source:
        Jacot et al. 2022, Figure 2 and Propositions 6 and 7; the criterion for the start is chosen here.

    Cost:
        One training a width and seed.
    """
    if not widths or min(widths) < 1 or not seeds or depth < 2:
        raise InputError(
            f"expected widths of at least 1, some seeds and depth >= 2, got {list(widths)}, {seeds}, {depth}"
        )
    ordered = sorted(set(widths))
    table = []
    for width in ordered:
        row = []
        for seed in seeds:
            if progress is not None:
                progress(width, seed)
            _, value = train_regularized(
                x,
                y,
                [width] * (depth - 1),
                penalty,
                loss=loss,
                seed=seed,
                num_adam_steps=num_adam_steps,
                max_lbfgs_steps=max_lbfgs_steps,
                bias=bias,
                num_outputs=None if y.ndim == 2 else int(y.max()) + 1,
            )
            row.append(value)
        table.append(tuple(row))
    losses = tuple(min(row) for row in table)
    limit = losses[-1] * (1 + tolerance_relative)
    start = next(width for width, value in zip(ordered, losses, strict=True) if value <= limit)
    return Plateau(tuple(ordered), losses, tuple(table), start, tolerance_relative)
