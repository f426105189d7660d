"""Reduction of a network that was trained on a task: which points, which loss, what it costs elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor, nn

from localmin.errors import InputError
from localmin.reduction.approximate_result import ApproximateReduction
from localmin.reduction.coreset import coreset_reduction
from localmin.reduction.exact_reduction import reduce
from localmin.reduction.rank_decisions import ExactMode
from localmin.reduction.reduced_files import write_reduced
from localmin.reduction.reduction_plan import ReductionPlan, plan_reduction
from localmin.reduction.reduction_steps import Progress
from localmin.reduction.result import Reduction
from localmin.reduction.ridge_refit import approximate_reduction
from localmin.reduction.truncated_ranks import truncated_rank_reduction
from localmin.tasks.prediction import score_parts
from localmin.tasks.trained import TrainedModel

__all__ = ["REDUCTION_MODES", "ApproximateMode", "TrainedReduction", "plan_trained", "reduce_trained"]

ApproximateMode = Literal["coreset", "truncated-ranks", "ridge-refit"]
REDUCTION_MODES: tuple[str, ...] = (*get_args(ExactMode), *get_args(ApproximateMode))
_MAX_HELD_OUT = 2000


@dataclass(frozen=True)
class TrainedReduction:
    """Result of `reduce_trained`.

    Attributes:
        reduction: What was done, with the smaller network.
        mode: Mode used.
        is_exact: Whether the mode keeps the outputs on the points; the approximate ones measure their error.
        source: Run folder or checkpoint.
        num_train_points: Training examples used as points.
        num_train_examples: Training examples there are.
        num_extra_points: Validation inputs on which the outputs were kept too, without their labels.
        num_held_out: Test inputs on which the drift was measured.
        metric: Name of the score.
        test_before: Score of the network on the whole test part.
        test_after: Score of the smaller one.
        penalty: Factor of the squared norm in the losses, from the weight decay of the training; 0 if there
            was none, or a decoupled one.
        remarks: What the figures do not show.
    """

    reduction: Reduction[nn.Module] | ApproximateReduction[nn.Module]
    mode: str
    is_exact: bool
    source: Path
    num_train_points: int
    num_train_examples: int
    num_extra_points: int
    num_held_out: int
    metric: str
    test_before: float
    test_after: float
    penalty: float
    remarks: tuple[str, ...]

    @property
    def num_neurons(self) -> tuple[int, int]:
        """Hidden neurons before and after."""
        widths = self.reduction.widths_before, self.reduction.widths_after
        return sum(widths[0][1:-1]), sum(widths[1][1:-1])

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values: those of the reduction, and where it comes from."""
        plain = {name: value for name, value in vars(self).items() if name != "reduction"}
        plain |= {"source": str(self.source), "num_neurons": list(self.num_neurons)}
        return {**self.reduction.to_dict(), **plain, "remarks": list(self.remarks)}

    def save(self, folder: str | Path) -> Path:
        """Write the smaller network and the figures into a folder, see `Reduction.save`.

        Args:
            folder: Created if it does not exist.

        Returns:
            Path of the JSON file.
        """
        self.reduction.save(folder)
        return write_reduced(Path(folder), self.reduction.network, self.to_dict())


def plan_trained(
    trained: TrainedModel,
    *,
    mode: ExactMode = "design",
    num_points: int | None = None,
    num_extra_points: int = 0,
) -> ReductionPlan:
    """Say what `reduce_trained` needs in an exact mode, before it starts.

    Args:
        trained: As in `reduce_trained`.
        mode: As in `reduce_trained`.
        num_points: As in `reduce_trained`.
        num_extra_points: As in `reduce_trained`.

    Returns:
        Counts and memory.
    """
    points, _ = trained.examples("train", limit=num_points)
    extra = _extra_points(trained, num_extra_points)
    return plan_reduction(trained.model, points, mode=mode, extra_points=extra)


def reduce_trained(
    trained: TrainedModel,
    *,
    mode: str = "design",
    num_points: int | None = None,
    num_extra_points: int = 0,
    hidden_widths: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> TrainedReduction:
    """Reduce a trained network on its own training examples.

    Args:
        trained: From `localmin.tasks.open_trained`.
        mode: An exact mode of `reduce`, or "coreset" (exact on chosen points), "truncated-ranks",
            "ridge-refit" (with ``hidden_widths``).
        num_points: Training examples to use, evenly spaced (for "coreset": chosen); None uses all.
        num_extra_points: Validation inputs, evenly spaced, on which the outputs stay too; exact modes only.
        hidden_widths: Neurons to keep in each hidden layer; for "ridge-refit" only.
        progress: As in `reduce`.

    Returns:
        The smaller network, the losses, and the score on the test part before and after.

    Raises:
        InputError: If the mode is unknown, an option does not belong to it, or the network cannot be reduced.

    Source:
        As `reduce`.
    """
    _check(mode, num_points, num_extra_points, hidden_widths)
    task, model = trained.task, trained.model
    limit = num_points if mode != "coreset" else None
    points, labels = trained.examples("train", limit=limit)
    held_out, _ = trained.examples("test", limit=_MAX_HELD_OUT)
    penalty = _penalty(trained)

    def loss(outputs: Tensor) -> Tensor:
        return task.loss(outputs, labels).mean()

    result: Reduction[nn.Module] | ApproximateReduction[nn.Module]
    if mode == "coreset":
        assert num_points is not None  # checked
        result = coreset_reduction(model, points, num_points, held_out_points=held_out, progress=progress)
    elif mode == "truncated-ranks":
        result = truncated_rank_reduction(model, points, held_out_points=held_out)
    elif mode == "ridge-refit":
        assert hidden_widths is not None  # checked
        result = approximate_reduction(
            model, points, hidden_widths, held_out_points=held_out, loss=loss, penalty=penalty
        )
    else:
        result = reduce(
            model,
            points,
            mode=mode,  # type: ignore[arg-type]
            extra_points=_extra_points(trained, num_extra_points),
            held_out_points=held_out,
            loss=loss,
            penalty=penalty,
            progress=progress,
        )
    return TrainedReduction(
        reduction=result,
        mode=mode,
        is_exact=mode in get_args(ExactMode),
        source=trained.source,
        num_train_points=num_points if mode == "coreset" and num_points else len(points),
        num_train_examples=len(task.train),
        num_extra_points=num_extra_points,
        num_held_out=len(held_out),
        metric=task.metric,
        test_before=score_parts(model, task)["test"],
        test_after=score_parts(result.network, task)["test"],
        penalty=penalty,
        remarks=tuple(_remarks(trained, result, penalty)),
    )


def _check(
    mode: str, num_points: int | None, num_extra_points: int, hidden_widths: Sequence[int] | None
) -> None:
    if mode not in REDUCTION_MODES:
        raise InputError(f"unknown mode {mode!r}: choose one of {', '.join(REDUCTION_MODES)}")
    if num_extra_points < 0:
        raise InputError(f"the number of extra points must not be negative, got {num_extra_points}")
    if num_extra_points and mode not in get_args(ExactMode):
        raise InputError(f"extra points belong to the exact modes, not to {mode!r}")
    if mode == "coreset" and num_points is None:
        raise InputError("mode 'coreset' needs a number of points to choose (num_points, --points)")
    if (mode == "ridge-refit") != (hidden_widths is not None):
        raise InputError(
            "mode 'ridge-refit' needs the hidden widths to reach (hidden_widths, --widths 60,40), and they "
            "belong to no other mode"
        )


def _extra_points(trained: TrainedModel, count: int) -> Tensor | None:
    return trained.examples("validation", limit=count)[0] if count else None


def _penalty(trained: TrainedModel) -> float:
    recipe = trained.task.recipe
    # AdamW's decay is no penalty of a loss; a custom optimiser keeps its own counsel.
    return recipe.weight_decay / 2 if recipe.optimizer in ("sgd", "adam") else 0.0


def _remarks(
    trained: TrainedModel,
    result: Reduction[nn.Module] | ApproximateReduction[nn.Module],
    penalty: float,
) -> list[str]:
    remarks = list(result.remarks) if isinstance(result, Reduction) else []
    if penalty == 0.0:
        remarks.append(
            "the training had no L2 penalty (or a decoupled one), so its solution was not asked for a small "
            "norm: expect the function to change more off the points"
        )
    if trained.weights is not None:
        remarks.append("the loss is the plain mean over the points, not weighted as the training drew them")
    return remarks
