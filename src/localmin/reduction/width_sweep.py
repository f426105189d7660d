"""Regularised loss against width: where does it stop falling?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from localmin.charts import Chart, Level, Series
from localmin.errors import InputError
from localmin.reduction.regularized_training import Loss, mean_square, train_regularized

__all__ = ["Plateau", "plateau"]


@dataclass(frozen=True)
class Plateau:
    """Result of `plateau`.

    Attributes:
        widths: Widths of all hidden layers, ascending.
        losses: Smallest regularised loss over the seeds at each width.
        losses_by_seed: One row a width, one entry a seed.
        test_losses: Unregularised loss on the test points, of the best seed at each width; None without them.
        start: Smallest width whose loss is within the tolerance of the widest network's.
        tolerance_relative: Tolerance used.
    """

    widths: tuple[int, ...]
    losses: tuple[float, ...]
    losses_by_seed: tuple[tuple[float, ...], ...]
    test_losses: tuple[float, ...] | None
    start: int
    tolerance_relative: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        plain = {**vars(self), "widths": list(self.widths), "losses": list(self.losses)}
        plain["test_losses"] = None if self.test_losses is None else list(self.test_losses)
        return {**plain, "losses_by_seed": [list(row) for row in self.losses_by_seed]}

    def chart(self, name: str = "plateau", levels: tuple[Level, ...] = ()) -> Chart:
        """Plot the losses against the width.

        Args:
            name: Name of the chart.
            levels: Known values, such as a minimum in closed form.

        Returns:
            The smallest regularised loss over the seeds, all seeds, and the test loss.
        """
        widths = tuple(float(width) for width in self.widths)
        seeds = tuple(zip(*self.losses_by_seed, strict=True))
        series = [Series("", widths, row, kind="points", emphasis="muted") for row in seeds]
        series.append(Series("smallest over seeds", widths, self.losses, emphasis="accent"))
        if self.test_losses is not None:
            series.append(Series("test, without penalty", widths, self.test_losses, emphasis="dashed"))
        note = (
            f"From width {self.start} on the regularised loss stays within {self.tolerance_relative:.1%} of "
            f"that at width {self.widths[-1]}."
        )
        return Chart(
            name,
            "Regularised loss against width",
            "width of every hidden layer",
            "loss",
            tuple(series),
            levels,
            x_log=True,
            y_log=True,
            note=note,
        )


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
    test: tuple[Tensor, Tensor] | None = None,
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
        test: Inputs and targets for a test loss without the penalty.
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
    measure = loss if loss is not None else mean_square
    table, test_losses = [], []
    for width in ordered:
        row, networks = [], []
        for seed in seeds:
            if progress is not None:
                progress(width, seed)
            network, value = train_regularized(
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
            networks.append(network)
        table.append(tuple(row))
        if test is not None:
            best = networks[row.index(min(row))]
            targets = test[1].double() if test[1].is_floating_point() else test[1]
            test_losses.append(float(measure(best(test[0].double()), targets)))
    losses = tuple(min(row) for row in table)
    limit = losses[-1] * (1 + tolerance_relative)
    start = next(width for width, value in zip(ordered, losses, strict=True) if value <= limit)
    tested = None if test is None else tuple(test_losses)
    return Plateau(tuple(ordered), losses, tuple(table), tested, start, tolerance_relative)
