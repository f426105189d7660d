"""How small does the network get? Exactly where theory allows; narrower, with measured scores."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from localmin.charts import Chart, Series
from localmin.errors import InputError
from localmin.reduction import (
    ApproximateReduction,
    Reduction,
    ReductionPlan,
    approximate_reduction,
    plan_reduction,
    reduce,
)
from localmin.tasks.prediction import evaluation_mode, predict, score_parts
from localmin.tasks.task import Task
from localmin.tasks.trained import TrainedModel

__all__ = ["SHARES", "Rung", "Shrinking", "shrink"]

SHARES = (0.75, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08)
_MAX_LOSS_OF_SCORE = 0.005
_MIN_AGREEMENT = 0.98
_MAX_OUTPUT_ERROR = 0.05


@dataclass(frozen=True)
class Rung:
    """One narrower network.

    Args:
        share: Of the hidden neurons that were kept.
        widths: Of all layers, inputs and outputs included.
        num_parameters: Weights and biases.
        output_error_relative: Root mean square change of the outputs on training examples, over the root mean
            square of the outputs.
        validation: Score on the validation examples, with their labels as given.
        agreement: Share of the validation examples that it predicts as the trained network does; None where
            predictions are no classes.
    """

    share: float
    widths: tuple[int, ...]
    num_parameters: int
    output_error_relative: float
    validation: float
    agreement: float | None

    def is_close(self, validation: float) -> bool:
        """Tell whether it may stand for a network with this validation score.

        Scores alone would not do: on few examples with wrong labels among them they hide real losses.

        Args:
            validation: Score of the trained network.

        Returns:
            Whether score and predictions are near.
        """
        near = (
            self.agreement >= _MIN_AGREEMENT
            if self.agreement is not None
            else self.output_error_relative <= _MAX_OUTPUT_ERROR
        )
        return near and self.validation >= validation - _MAX_LOSS_OF_SCORE


@dataclass(frozen=True, eq=False)
class Shrinking:
    """How small a trained network gets.

    Args:
        refused: Why the network cannot be reduced; empty if it can.
        widths_before: Of all layers.
        num_parameters_before: Weights and biases.
        exact: The exact reduction on the training points; None where it cannot remove anything.
        exact_note: What exact reduction can do here, in words.
        rungs: Narrower networks, widest first.
        chosen: The narrowest before the first that is not close: close ones lose at most half a point
            of validation score and predict 98 % of the validation examples as before (other kinds of task:
            change outputs by at most 5 %). None if none is.
        network: The chosen network.
        validation_before: Score of the original.
        test_before: Score of the original on the test examples.
        test_after: Score of the chosen network, computed once; None without one.
        comparison: Whether original and chosen network are the same function, in words of `same_function`.
        chart: Score over number of parameters; None without rungs.
    """

    refused: str
    widths_before: tuple[int, ...]
    num_parameters_before: int
    exact: Reduction[Any] | None
    exact_note: str
    rungs: tuple[Rung, ...]
    chosen: Rung | None
    network: nn.Module | None
    validation_before: float
    test_before: float
    test_after: float | None
    comparison: dict[str, Any] | None
    chart: Chart | None

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON types; networks are left out."""
        return {
            "refused": self.refused,
            "widths_before": list(self.widths_before),
            "num_parameters_before": self.num_parameters_before,
            "exact": None if self.exact is None else self.exact.to_dict(),
            "exact_note": self.exact_note,
            "rungs": [asdict(rung) for rung in self.rungs],
            "chosen": None if self.chosen is None else asdict(self.chosen),
            "validation_before": self.validation_before,
            "test_before": self.test_before,
            "test_after": self.test_after,
            "comparison": self.comparison,
            "chart": None if self.chart is None else self.chart.to_dict(),
        }


def shrink(
    trained: TrainedModel, *, limit: int | None = 2000, on_step: Callable[[str], None] | None = None
) -> Shrinking:
    """Reduce a trained network exactly where that is possible, and try narrower ones.

    Exact reduction keeps every output on the training points; with more points than neurons theory promises
    nothing, and then only dead neurons go. Narrower networks keep the strongest neurons and refit the next
    layer; their errors are measured, and validation scores choose among them.

    Args:
        trained: Network and task.
        limit: At most so many training examples, evenly spaced.
        on_step: Told what is being done.

    Returns:
        What is possible, with figures. A network of another kind is no error: the reason is in the result.

    Cost:
        One ridge regression a layer and rung.
    """
    say = on_step or (lambda _: None)
    model, task = copy.deepcopy(trained.model).eval(), trained.task
    inputs, _ = trained.examples("train", limit=limit)
    before = score_parts(model, task)
    count = _num_parameters(model)
    try:
        with evaluation_mode(model):
            plan = plan_reduction(model, inputs)
    except InputError as error:
        return Shrinking(
            str(error), (), count, None, "", (), None, None,
            before["validation"], before["test"], None, None, None,
        )  # fmt: skip
    exact, note = _exactly(model, inputs, plan, say)
    rungs, narrowed = _ladder(model, inputs, [layer.width for layer in plan.layers], task, say)
    # A lucky narrow one below a bad wider one is not trusted.
    last = (
        next((i for i, rung in enumerate(rungs) if not rung.is_close(before["validation"])), len(rungs)) - 1
    )
    network = narrowed[last].network if last >= 0 else None
    return Shrinking(
        refused="",
        widths_before=tuple(narrowed[0].widths_before),
        num_parameters_before=count,
        exact=exact,
        exact_note=note,
        rungs=tuple(rungs),
        chosen=rungs[last] if last >= 0 else None,
        network=network,
        validation_before=before["validation"],
        test_before=before["test"],
        test_after=None if network is None else score_parts(network, task)["test"],
        comparison=None if network is None else _compare(model, network),
        chart=_chart(rungs, count, before["validation"], task.metric),
    )


def _exactly(
    model: nn.Module, inputs: Tensor, plan: ReductionPlan, say: Callable[[str], None]
) -> tuple[Reduction[Any] | None, str]:
    """Reduce exactly where theory promises something, and say in words what that means."""
    if not any(layer.can_shrink for layer in plan.layers):
        return None, (
            "exact reduction is promised for fewer training points than neurons only; here there are "
            f"{plan.num_points} points"
        )
    say("exact reduction")
    reduction = reduce(model, inputs)
    return reduction, "every output on the training points stays the same, and the norm does not grow"


def _ladder(
    model: nn.Module, inputs: Tensor, hidden: Sequence[int], task: Task, say: Callable[[str], None]
) -> tuple[list[Rung], list[ApproximateReduction[Any]]]:
    """Try narrower networks, widest first."""
    rungs, narrowed = [], []
    for share in SHARES:
        widths = [max(1, round(share * width)) for width in hidden]
        say(f"widths {', '.join(map(str, widths))}")
        narrow = approximate_reduction(model, inputs, widths)
        narrowed.append(narrow)
        rungs.append(
            Rung(
                share,
                tuple(narrow.widths_after),
                _num_parameters(narrow.network),
                narrow.output_error_relative,
                score_parts(narrow.network, task, parts=("validation",))["validation"],
                _agreement(model, narrow.network, task),
            )
        )
    return rungs, narrowed


def _agreement(model: nn.Module, other: nn.Module, task: Task) -> float | None:
    if task.kind.name != "classification":
        return None
    first, second = (predict(each, task, task.validation) for each in (model, other))
    return float((first == second).double().mean())


def _compare(before: nn.Module, after: nn.Module) -> dict[str, Any]:
    from localmin.realization import same_function

    return same_function(before, after).to_dict()


def _num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _chart(rungs: list[Rung], count: int, validation: float, metric: str) -> Chart:
    sizes = [*(rung.num_parameters for rung in reversed(rungs)), count]
    agreements = [rung.agreement for rung in reversed(rungs) if rung.agreement is not None]
    if agreements:
        values, name = [*agreements, 1.0], "share of predictions that stay the same"
    else:
        values = [*(rung.validation for rung in reversed(rungs)), validation]
        name = f"validation score ({metric.replace('-', ' ')})"
    return Chart(
        "shrinking",
        "Narrower networks against the trained one",
        "weights and biases",
        name,
        (Series("", sizes, values, emphasis="accent"),),
        x_log=True,
        note="On validation examples. Each point keeps the strongest neurons and refits the next layer, "
        "without further training; the last one is the trained network.",
    )
