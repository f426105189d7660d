"""Which examples a policy (nearly) never draws: the list of suspects."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from localmin.sampling.evidence import NEARLY_NEVER, Evidence
from localmin.sampling.feature_table import FeatureTable
from localmin.tasks.task import Task

__all__ = ["DropReport", "DroppedExample", "make_drop_report"]

_MAX_LISTED = 200
_MAX_IN_MARKDOWN = 50
_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r")

# Column of the CSV file -> field. The names are those of tools that people clean data with.
_COLUMNS = {
    "id": "identifier",
    "index": "index",
    "given_label": "label",
    "predicted_label": "prediction",
    "confidence": "confidence",
    "surely_bad": "surely_bad",
    "loss": "loss",
    "renormed_entropy": "renormed_entropy",
    "draws": "relative_probability",
    "draws_low": "draws_low",
    "draws_high": "draws_high",
    "clean_label": "clean_label",
}


@dataclass(frozen=True)
class DroppedExample:
    """An example that is (nearly) never drawn.

    Args:
        index: In the training part.
        identifier: File or row.
        label: Class name as given; the target of a regression; the beginning of a text.
        prediction: What the feature network preferred.
        relative_probability: ``n p_i``: expected draws per epoch; 1 is uniform.
        loss: Feature, nats.
        renormed_entropy: Feature, nats.
        clean_label: Class name before injected noise, where known.
        confidence: 1 minus the share of kept examples that networks which did not see them predict no
            better; None where no trial held the example out.
        draws_low: 5 % quantile of the draws over policies that fit the trials too.
        draws_high: 95 % quantile.
        surely_bad: Dropped by nearly all those policies, with a confidence of 0.95 or more.
    """

    index: int
    identifier: str
    label: str
    prediction: str
    relative_probability: float
    loss: float
    renormed_entropy: float
    clean_label: str | None = None
    confidence: float | None = None
    draws_low: float | None = None
    draws_high: float | None = None
    surely_bad: bool | None = None


@dataclass(frozen=True)
class DropReport:
    """List the dropped examples, surest first, and say how the policy treats wrong labels where known.

    Args:
        threshold: Expected draws per epoch below which an example counts as dropped.
        num_dropped: How many there are.
        num_examples: n.
        examples: All of them: surely bad ones first, then by loss, highest first.
        mean_probability_wrong: Mean of ``n p`` over examples with a wrong label; None where unknown.
        mean_probability_right: Mean of ``n p`` over the others.
        num_dropped_wrong: Dropped examples whose label is wrong.
        feature_auc: Probability that a wrong label has a higher loss than a right one.
        num_surely_bad: Dropped examples that are called surely bad; None without evidence.
        num_surely_bad_wrong: Those of them whose label is wrong; None where unknown.
    """

    threshold: float
    num_dropped: int
    num_examples: int
    examples: tuple[DroppedExample, ...]
    mean_probability_wrong: float | None = None
    mean_probability_right: float | None = None
    num_dropped_wrong: int | None = None
    feature_auc: float | None = None
    num_surely_bad: int | None = None
    num_surely_bad_wrong: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """List counts and the first 200 examples; the CSV has them all."""
        return {
            "threshold": self.threshold,
            "num_dropped": self.num_dropped,
            "num_examples": self.num_examples,
            "share_dropped": self.num_dropped / self.num_examples,
            "mean_probability_wrong": self.mean_probability_wrong,
            "mean_probability_right": self.mean_probability_right,
            "num_dropped_wrong": self.num_dropped_wrong,
            "feature_auc": self.feature_auc,
            "num_surely_bad": self.num_surely_bad,
            "num_surely_bad_wrong": self.num_surely_bad_wrong,
            "examples": [asdict(example) for example in self.examples[:_MAX_LISTED]],
        }

    def to_csv(self) -> str:
        """Write all dropped examples as CSV with a header, one column for each thing that is known."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(_COLUMNS), lineterminator="\n")
        writer.writeheader()
        for example in self.examples:
            values = asdict(example)
            writer.writerow({column: _cell(values[field]) for column, field in _COLUMNS.items()})
        return stream.getvalue()

    def to_markdown(self) -> str:
        """Write the first 50 as a table for a ticket or a review, with what the columns mean."""
        sure = "" if self.num_surely_bad is None else f", {self.num_surely_bad} of them surely bad"
        head = (
            f"{self.num_dropped} of {self.num_examples} training examples are drawn less than "
            f"{self.threshold:g} times an epoch{sure}. The first {min(_MAX_IN_MARKDOWN, self.num_dropped)}:"
        )
        lines = [
            "# Suspects", "", head, "",
            "| id | given label | predicted | confidence | surely bad | loss | E^r | draws |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]  # fmt: skip
        lines += [_markdown_row(example) for example in self.examples[:_MAX_IN_MARKDOWN]]
        lines += ["", _LEGEND, ""]
        return "\n".join(lines)


_LEGEND = (
    "*Confidence*: share of the kept examples that are predicted better by networks that saw neither. "
    "*Surely bad*: confidence of 0.95 or more, and dropped by 95 % of the policies that fit the trials. "
    "A rare but right example can look the same: let a person decide."
)


def _cell(value: Any) -> Any:
    """Keep a spreadsheet from taking a name for a formula, which could run commands or send data away."""
    if not isinstance(value, str) or not value.startswith(_BEGINS_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def _markdown_row(example: DroppedExample) -> str:
    confidence = "" if example.confidence is None else f"{example.confidence:.3f}"
    cells = [
        example.identifier, example.label, example.prediction, confidence,
        "yes" if example.surely_bad else "", f"{example.loss:.3f}", f"{example.renormed_entropy:.3f}",
        f"{example.relative_probability:.3f}",
    ]  # fmt: skip
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def make_drop_report(
    task: Task,
    features: FeatureTable,
    weights: Float[Tensor, " n"],
    *,
    threshold: float = NEARLY_NEVER,
    evidence: Evidence | None = None,
) -> DropReport:
    """List the examples that a sampler draws less than ``threshold`` times an epoch.

    Args:
        task: Gives labels, names and, where they are known, the clean labels.
        features: Of the training examples.
        weights: Relative drawing weights, shape ``(n,)``.
        threshold: In expected draws per epoch.
        evidence: How sure it is, from the trials of a search.

    Returns:
        The report.
    """
    n = len(task.train)
    probability = weights * (n / weights.sum())
    loss = features.column("loss")
    dropped = torch.nonzero(probability < threshold).flatten()
    order = loss[dropped].argsort(descending=True, stable=True)
    dropped = dropped[order]
    sure = torch.zeros(n, dtype=torch.bool) if evidence is None else evidence.surely_bad
    dropped = dropped[(~sure[dropped]).to(torch.int8).argsort(stable=True)]
    examples = tuple(_describe(task, features, probability, evidence, i) for i in dropped.tolist())
    report = DropReport(threshold, len(dropped), n, examples)
    if evidence is not None:
        report = replace(report, num_surely_bad=int(sure[dropped].sum()))
    wrong = task.wrong_labels
    return (
        report
        if wrong is None or not bool(wrong.any())
        else _with_truth(report, probability, loss, dropped, sure, wrong)
    )


def _with_truth(
    report: DropReport,
    probability: Float[Tensor, " n"],
    loss: Float[Tensor, " n"],
    dropped: Tensor,
    sure: Bool[Tensor, " n"],
    wrong: Bool[Tensor, " n"],
) -> DropReport:
    return replace(
        report,
        mean_probability_wrong=float(probability[wrong].mean()),
        mean_probability_right=float(probability[~wrong].mean()),
        num_dropped_wrong=int(wrong[dropped].sum()),
        feature_auc=_area_under_curve(loss, wrong),
        num_surely_bad_wrong=None if report.num_surely_bad is None else int((wrong & sure)[dropped].sum()),
    )


def _describe(
    task: Task,
    features: FeatureTable,
    probability: Float[Tensor, " n"],
    evidence: Evidence | None,
    i: int,
) -> DroppedExample:
    names, kind, clean = task.class_names, task.kind, task.clean_train_labels
    example = DroppedExample(
        i,
        task.train.identifier(i),
        kind.show_label(task.train.labels[i], names),
        kind.show_prediction(features.predictions[i], names),
        float(probability[i]),
        float(features.column("loss")[i]),
        float(features.column("renormed-entropy")[i]),
        None if clean is None else kind.show_label(clean[i], names),
    )
    if evidence is None:
        return example
    p_value = float(evidence.p_value[i])
    return replace(
        example,
        confidence=None if p_value != p_value else 1 - p_value,
        draws_low=float(evidence.draws_low[i]),
        draws_high=float(evidence.draws_high[i]),
        surely_bad=bool(evidence.surely_bad[i]),
    )


def _area_under_curve(feature: Float[Tensor, " n"], positive: Tensor) -> float:
    from localmin.sampling.transforms import mid_rank

    ranks = mid_rank(feature) * len(feature)
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if num_negative == 0:
        return float("nan")
    above = float(ranks[positive].sum()) - num_positive**2 / 2
    return above / (num_positive * num_negative)
